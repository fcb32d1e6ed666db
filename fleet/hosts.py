"""Which nodes are meant, and where each answers: names as operators write them, and a file of the farm's nodes.

A line of the file is `host appliance [address[:port]]`; `#` begins a comment. The same file makes Prometheus' targets.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from ClusterShell.RangeSet import RangeSet

from fleet.node_sets import NAME, BadHosts, expand_names

PORT: Final = 9000
TLS_PORT: Final = 9443  # where the API is by https at a node whose plain port is PORT
STDIN: Final = "-"
LONGEST: Final = 300  # letters of a set in short
LISTED: Final = 100  # of nodes that are unknown
LAST_NUMBER: Final = re.compile(r"(\D*)(\d+)(.*)")  # of a name that is read from its end
LARGEST_BYTES: Final = 16 << 20

ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252})(?::(\d{1,5}))?")


class Place(NamedTuple):
    """Where a node is found: `host:port` for HTTP, and its appliance if it is known."""

    address: str
    appliance: str = ""


def expand(words: Iterable[str], known: Mapping[str, Place]) -> list[str]:
    """Returns the nodes that `words` mean, in order, each once: sets and groups in ClusterShell's form, `-` for stdin.

    With `known` nodes every name must be one of them. Raises BadHosts.
    """
    texts = [text for word in words for text in (_stdin() if word == STDIN else [word])]
    hosts = expand_names(texts)
    if not hosts and (given := " ".join(texts).strip()):
        raise BadHosts(f"{given[:60]}: nobody is left; what it takes away is all there was")
    if not hosts:
        raise BadHosts("no node is named; write such as 'fu-c2f[01-40]-[01-08]', @GROUP, or - for names from stdin")
    if known and (unknown := [host for host in hosts if host not in known]):
        more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        raise BadHosts(f"{folded(unknown[:LISTED])}{more}: not in the file of nodes")
    return hosts


def read_names(path: Path) -> list[str]:
    """Returns the sets of nodes in a file: words, of which `#` ends those of a line. Raises BadHosts."""
    return _words(_read(path))


def _stdin() -> list[str]:
    try:
        return _words(_bounded(sys.stdin.buffer, "stdin"))
    except OSError as error:
        raise BadHosts(f"stdin: cannot be read ({error.strerror})") from error


def _words(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


def folded(hosts: Iterable[str]) -> str:
    """Returns names in the short form in which operators write them."""
    text = folded_whole(hosts)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def folded_whole(hosts: Iterable[str]) -> str:
    """Returns names in short, of whatever length: a set of nodes that means the same.

    ClusterShell's own folding of several numbers in a name takes seconds for a farm; this one is as quick as sorting.
    """
    return ",".join(_fold(sorted(set(hosts))))


def _fold(names: Sequence[str]) -> list[str]:
    """Returns sets that together are `names`: those that differ in their last number only, then in the one before."""
    found: list[str] = []
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if parts := LAST_NUMBER.fullmatch(name[::-1]):
            tail, number, head = (part[::-1] for part in parts.groups())
            numbers.setdefault((head, tail), []).append(number)
        else:
            found.append(name)
    heads: dict[str, list[str]] = {}
    for (head, tail), digits in numbers.items():
        text = f"[{RangeSet.fromlist(digits)}]" if len(digits) > 1 else digits[0]
        heads.setdefault(text + tail, []).append(head)
    for tail, alike in heads.items():
        found += [head + tail for head in (_fold(alike) if len(alike) > 1 else alike)]
    return found


def read_places(path: Path) -> dict[str, Place]:
    """Returns the nodes of a file. Raises BadHosts with the line that is wrong."""
    lines = _read(path).splitlines()
    places: dict[str, Place] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not 2 <= len(words) <= 3 or not NAME.fullmatch(words[0]) or not _is_address(words[-1]):
            raise BadHosts(f"{path}:{number}: write it as `host appliance [address[:port]]`")
        if words[0] in places:
            raise BadHosts(f"{path}:{number}: {words[0]} stands there twice")
        places[words[0]] = Place(_with_port(words[2] if len(words) == 3 else words[0]), words[1])
    return places


def place_of(host: str, known: Mapping[str, Place]) -> Place:
    """Returns where `host` answers: as the file says, else by its name."""
    return known.get(host) or by_name(host)


def by_name(host: str, appliance: str = "") -> Place:
    """Returns the place of a node that is found by its name."""
    return Place(_with_port(host), appliance)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _bounded(file, str(path))
    except OSError as error:
        raise BadHosts(f"{path}: cannot be read ({error.strerror}); name another") from error


def _bounded(file: IO[bytes], where: str) -> str:
    content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise BadHosts(f"{where}: more than {LARGEST_BYTES >> 20} MiB; no list of nodes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadHosts(f"{where}: not text; no list of nodes") from error


def _is_address(text: str) -> bool:
    found = ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1] or PORT) < 1 << 16


def _with_port(address: str) -> str:
    return address if re.search(r":\d+$", address) else f"{address}:{PORT}"
