"""What the programs of one run share: their options and what they see in its directories. Standard library only.

The names are those of `contract.paths`, said again because these programs must start within milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Final

OUTPUT: Final = re.compile(r"run\d{6,9}_ls(\d{4,})_pid(\d+)\.jsn")
PRESENCE: Final = re.compile(r"run\d{6,9}_pid(\d+)\.ini")
EOLS: Final = re.compile(r"run\d{6,9}_ls(\d{4,})_EoLS\.jsn")


class Options(argparse.Namespace):
    """The options of a job or merge script; folders as the switcher names them."""

    run: int
    run_dir: Path
    bu_run_dir: Path
    cores: int
    faults: Path | None
    node: str
    ls_poll_s: float


def parser(description: str, example: str, *, poll_s: float) -> argparse.ArgumentParser:
    """Returns the parser of a job's or merge script's command line."""
    wanted = argparse.ArgumentParser(description=description, epilog=f"Example: {example}", allow_abbrev=False)
    wanted.add_argument("--run", type=int, required=True, help="run number")
    wanted.add_argument("--run-dir", type=Path, required=True, help="the run's directory on this node")
    wanted.add_argument("--bu-run-dir", type=Path, required=True, help="the run's directory on the BU's ramdisk")
    wanted.add_argument("--cores", type=int, default=1, help="core tokens that this process works on")
    wanted.add_argument("--faults", type=Path, default=None, help="faults file")
    wanted.add_argument("--node", default="", help="this node's name in the faults file")
    wanted.add_argument("--ls-poll-s", type=float, default=poll_s, help="seconds between two looks")
    return wanted


def say(text: str) -> None:
    """Prints one line at once."""
    print(text, flush=True)


def put(path: Path, content: dict[str, object]) -> None:
    """Puts `content` at `path` as a whole: temporary name, rename. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content))
    temporary.rename(path)


def last_closed(bu_run_dir: Path) -> int:
    """Returns the highest lumisection complete on the BU, 0 with none. Raises OSError."""
    found = (EOLS.fullmatch(name) for name in os.listdir(bu_run_dir))  # noqa: PTH208 - many times a second
    return max((int(match[1]) for match in found if match), default=0)


def ended(bu_run_dir: Path, run: int) -> bool:
    """Returns whether the BU has written the end of the run."""
    return (bu_run_dir / f"run{run:06d}_ls0000_EoR.jsn").exists()


def output_file(options: Options, lumisection: int, pid: int) -> Path:
    """What a job writes for one lumisection; the merge script takes it away."""
    return options.run_dir / f"run{options.run:06d}_ls{lumisection:04d}_pid{pid}.jsn"


def presence_file(options: Options, pid: int) -> Path:
    """What a job writes at its start, so that the merge script knows whom to wait for."""
    return options.run_dir / f"run{options.run:06d}_pid{pid}.ini"


def merged_file(options: Options, lumisection: int) -> Path:
    """What the merge script makes of all jobs' output of one lumisection."""
    return options.run_dir / f"run{options.run:06d}_ls{lumisection:04d}_merged.jsn"
