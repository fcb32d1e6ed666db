"""Which nodes are meant, and where each answers: names as operators write them, and a file of the farm's nodes.

A line of the file is `host appliance [address[:port]]`; `#` begins a comment. The same file makes Prometheus' targets.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ClusterShell.NodeSet import NodeSet, NodeSetException

from contract.errors import HltmodeError

PORT: Final = 9000
STDIN: Final = "-"
MOST: Final = 200_000
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class BadHosts(HltmodeError):
    """A set of nodes that can't be understood, or names nobody; the message says which."""

    exit_code = 2


class Place(NamedTuple):
    """Where a node is found: `host:port` for HTTP, and its appliance if it is known."""

    address: str
    appliance: str = ""


def expand(words: Iterable[str], known: Mapping[str, Place]) -> list[str]:
    """Returns the nodes that `words` mean, in order: sets and groups in ClusterShell's form, `-` for stdin.

    With `known` nodes every name must be one of them. Raises BadHosts.
    """
    found = NodeSet()
    for word in words:
        texts = sys.stdin.read().split() if word == STDIN else [word]
        for text in texts:
            try:
                part = NodeSet(text)
                if len(part) > MOST:
                    raise BadHosts(f"{text[:60]}: more than {MOST} nodes")
                found.update(part)
            except NodeSetException as error:
                raise BadHosts(f"{text[:60]}: not a set of nodes ({error})") from error
    hosts = [str(host) for host in found]
    if not hosts:
        raise BadHosts("no node is named; write such as 'fu-c2f[01-40]-[01-08]', @GROUP, or - for names from stdin")
    if bad := [host for host in hosts if not NAME.fullmatch(host)]:
        raise BadHosts(f"{bad[0][:60]}: no host name: letters, digits, dots and dashes")
    if known and (unknown := [host for host in hosts if host not in known]):
        raise BadHosts(f"{folded(unknown)}: not in the file of nodes")
    return hosts


def folded(hosts: Iterable[str]) -> str:
    """Returns names in the short form in which operators write them."""
    text = str(NodeSet.fromlist(list(hosts)))
    return text if len(text) <= 300 else f"{text[:300]}…"


def read_places(path: Path) -> dict[str, Place]:
    """Returns the nodes of a file. Raises BadHosts with the line that is wrong."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadHosts(f"{path}: cannot be read ({error})") from error
    places: dict[str, Place] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if not 2 <= len(words) <= 3 or not NAME.fullmatch(words[0]):
            raise BadHosts(f"{path}:{number}: write it as `host appliance [address[:port]]`")
        if words[0] in places:
            raise BadHosts(f"{path}:{number}: {words[0]} stands there twice")
        places[words[0]] = Place(_with_port(words[2] if len(words) == 3 else words[0]), words[1])
    return places


def place_of(host: str, known: Mapping[str, Place]) -> Place:
    """Returns where `host` answers: as the file says, else by its name."""
    return known.get(host) or Place(_with_port(host))


def _with_port(address: str) -> str:
    return address if ":" in address else f"{address}:{PORT}"
