"""What a source knows of a node, and what it is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from contract.errors import Surroundings
from contract.modes import Mode
from fleet.hosts import folded
from fleet.node_sets import expand_names


class BadSource(Surroundings):
    """A source that is not there, does not answer in time, or answers what makes no sense."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A node as a source knows it. `mode` is None when what it knows is too old, or says nothing of it."""

    host: str
    appliance: str = ""
    mode: Mode | None = None


class Filters(NamedTuple):
    """Of which appliances and in which modes nodes are wanted; empty is any."""

    appliances: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.appliances or self.modes)


class Known(NamedTuple):
    """The nodes that a source knows, and what people should hear of it."""

    nodes: tuple[Found, ...]
    notes: tuple[str, ...] = ()


def unknown_mode(nodes: Iterable[Found], source: str, why: str) -> tuple[str, ...]:
    """Returns the note about the nodes whose mode a source can't tell, if there are any."""
    hosts = [each.host for each in nodes if each.mode is None]
    return (f"{source}: the mode of {len(hosts)} nodes is not known, {why}: {folded(hosts)}",) if hosts else ()


def merged(parts: Iterable[Known]) -> Known:
    """Returns what several sources know; the first that knows a node's mode is believed."""
    nodes: dict[str, Found] = {}
    notes: list[str] = []
    for part in parts:
        notes += part.notes
        for each in part.nodes:
            if each.host not in nodes or nodes[each.host].mode is None:
                nodes[each.host] = each
    return Known(tuple(nodes.values()), tuple(notes))


def filtered(nodes: Iterable[Found], filters: Filters) -> list[Found]:
    """Returns those that `filters` want. Raises BadHosts for a set of appliances that can't be understood."""
    names, patterns = _appliances(filters.appliances)
    return [
        each
        for each in nodes
        if (not filters.modes or each.mode in filters.modes)
        and (not filters.appliances or each.appliance in names or _fits(each.appliance, patterns))
    ]


def named(nodes: Sequence[Found], hosts: Iterable[str]) -> tuple[list[Found], list[str]]:
    """Returns those nodes that are named as well, and the names of which the source knows nothing."""
    by_host: Mapping[str, Found] = {each.host: each for each in nodes}
    wanted = list(hosts)
    return [by_host[host] for host in wanted if host in by_host], [host for host in wanted if host not in by_host]


def _appliances(words: Iterable[str]) -> tuple[set[str], list[str]]:
    """Returns names and patterns: a word with `*` or `?` is a pattern, every other one a set as of nodes."""
    patterns = [word for word in words if set("*?") & set(word)]
    names = [word for word in words if word not in patterns]
    return set(expand_names(names)) if names else set(), patterns


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)
