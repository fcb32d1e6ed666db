"""The faults file: which stand-in of which node misbehaves, and how. Standard library only; the scripts read it.

    {"fu-01": {"job": {"behave": "ignore_stop"}, "status": {"exit": 14}},
     "*": {"stop": {"behave": "lie"}, "merge": {"behave": "slow", "delay_s": 3}}}

Nodes by host name, "*" is every node; a program's entry under the node's own name replaces the one under "*".
The file is read again each time that it matters, so faults come and go while things run; `write` replaces it whole.

`behave`       what the program does
- hang         nothing any more, until the fault is taken away; jobs and merge scripts ignore SIGTERM meanwhile
- crash        ends with exit 1 without having done its work
- slow         answers `delay_s` late: a job for each lumisection and at its end, a merge script at its end
- ignore_stop  jobs: neither CMSSW_STOP nor CMSSW_STOP_pid; merge script: never ends; stop: like lie
- lie          start and stop: exit 0 with nothing done; status: the reverse of the truth
`delay_s`      seconds of delay; works without `behave` too
`exit`         exit code in place of the program's own; without `behave` the work is done all the same
`after_ls`     jobs and merge scripts: the fault begins after this lumisection
`print_bytes`  prints that many bytes first
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

EVERY_NODE: Final = "*"
BEHAVIOURS: Final[dict[str, tuple[str, ...]]] = {
    "job": ("hang", "crash", "slow", "ignore_stop"),
    "merge": ("hang", "crash", "slow", "ignore_stop"),
    "start": ("hang", "crash", "slow", "lie"),
    "stop": ("hang", "crash", "slow", "lie", "ignore_stop"),
    "status": ("hang", "crash", "slow", "lie"),
}
CRASHED: Final = 1
LINE_BYTES: Final = 1 << 10


class BadFaults(ValueError):
    """The faults file does not hold what it should; the message names file, entry and remedy."""


class Fault(NamedTuple):
    """How one program misbehaves; the default is not at all."""

    behave: str = ""
    delay_s: float = 0.0
    exit_code: int | None = None
    after_ls: int = 0
    print_bytes: int = 0


NONE: Final = Fault()
Faults = Mapping[str, Mapping[str, Fault]]


def read(path: Path | None, node: str, program: str) -> Fault:
    """Returns the fault of `program` on `node` as the file says now, none without a file. Raises BadFaults."""
    if path is None:
        return NONE
    try:
        content = path.read_text()
    except FileNotFoundError:
        return NONE
    return of(parse(content, str(path)), node, program)


def of(faults: Faults, node: str, program: str) -> Fault:
    """Returns the fault of `program` on `node`."""
    every = faults.get(EVERY_NODE, {})
    return faults.get(node, {}).get(program, every.get(program, NONE))


def parse(content: str, where: str) -> dict[str, dict[str, Fault]]:
    """Returns the faults in `content`, by node and program. Raises BadFaults, naming `where`."""
    try:
        table = json.loads(content)
    except ValueError as error:
        raise BadFaults(f"{where}: not JSON ({error})") from error
    faults: dict[str, dict[str, Fault]] = {}
    for node, programs in _object(table, where).items():
        at = f"{where}: {node}"
        for program, entry in _object(programs, at).items():
            if program not in BEHAVIOURS:
                raise BadFaults(f"{at}: no program {program!r}; known are {', '.join(BEHAVIOURS)}")
            faults.setdefault(node, {})[program] = _fault(program, _object(entry, at), f"{at}: {program}")
    return faults


def write(path: Path, table: Mapping[str, Mapping[str, Mapping[str, object]]]) -> None:
    """Replaces the faults file as a whole. Raises BadFaults for a table that no program would understand."""
    content = json.dumps(table, indent=1)
    parse(content, str(path))
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content)
    temporary.rename(path)


def chatter(fault: Fault) -> None:
    """Prints `print_bytes` bytes, in lines."""
    left = fault.print_bytes
    while left > 0:
        line = "x" * (min(left, LINE_BYTES) - 1) + "\n"
        sys.stdout.write(line)
        left -= len(line)
    sys.stdout.flush()


def _fault(program: str, entry: dict[str, object], at: str) -> Fault:
    known = {"behave", "delay_s", "exit", "after_ls", "print_bytes"}
    if unknown := sorted(entry.keys() - known):
        raise BadFaults(f"{at}: no key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    behave = entry.get("behave", "")
    if behave not in ("", *BEHAVIOURS[program]):
        raise BadFaults(f"{at}: cannot behave {behave!r}; known are {', '.join(BEHAVIOURS[program])}")
    delay_s = _number(entry, "delay_s", at)
    if behave == "slow" and delay_s <= 0:
        raise BadFaults(f"{at}: slow wants a delay_s above 0")
    exit_code = _integer(entry, "exit", at) if "exit" in entry else None
    return Fault(str(behave), delay_s, exit_code, _integer(entry, "after_ls", at), _integer(entry, "print_bytes", at))


def _object(value: object, at: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise BadFaults(f"{at}: an object wanted, not {value!r}")
    return value


def _number(entry: dict[str, object], key: str, at: str) -> float:
    value = entry.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise BadFaults(f"{at}: {key}: a number from 0 up wanted, not {value!r}")
    return float(value)


def _integer(entry: dict[str, object], key: str, at: str) -> int:
    value = entry.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadFaults(f"{at}: {key}: a whole number from 0 up wanted, not {value!r}")
    return value
