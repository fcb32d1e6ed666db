"""The targets that Prometheus scrapes, from a list of hosts. Each carries host and appliance, as its own series do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from contract.config import Collector
from contract.errors import Unreadable
from contract.value_types import HostName

PORT: Final = Collector().metrics_port


class Target(NamedTuple):
    """A collector: its host as its own configuration names it, its appliance, and its address if that is another."""

    host: str
    appliance: str
    address: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What its own series say too."""
        return {"host": self.host, "appliance": self.appliance}


def read_hosts(text: str, where: str) -> list[Target]:
    """Returns the targets of the fleet tool's file: lines `host appliance [address[:port]]`; `#` begins a comment.

    The port is the switcher's, so it is left out. Raises Unreadable with file and line.
    """
    lines: dict[str, int] = {}
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        target = _target(words, f"{where}:{number}")
        if target.host in lines:
            raise Unreadable(f"{where}:{number}: {target.host} stands in line {lines[target.host]} already")
        lines[target.host] = number
        found.append(target)
    if not found:
        raise Unreadable(f"{where}: names no host; write lines `host appliance`")
    return found


def target_file(targets: Iterable[Target], *, port: int = PORT, domain: str = "") -> str:
    """Returns the JSON for file_sd_configs, a line for each target, at host.domain:port."""
    groups = (
        {"targets": [f"{each.address or _named(each.host, domain)}:{port}"], "labels": each.labels} for each in targets
    )
    return "[\n" + ",\n".join(f"  {json.dumps(group)}" for group in groups) + "\n]\n"


def _named(host: str, domain: str) -> str:
    return f"{host}.{domain}" if domain else host


def _target(words: list[str], where: str) -> Target:
    if not 2 <= len(words) <= len(Target._fields):
        raise Unreadable(f"{where}: {' '.join(words)}: write it as `host appliance [address[:port]]`")
    words = [*words[:2], *(word.rpartition(":")[0] or word for word in words[2:])]
    for word in words:
        try:
            msgspec.convert(word, HostName)
        except msgspec.ValidationError:
            raise Unreadable(f"{where}: {word!r} is no host name: letters, digits, dots and dashes") from None
    return Target(*words)
