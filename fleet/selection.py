"""Which nodes an operation takes, as an operator thinks: so many, such a share, but leave some. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from contract.errors import HltmodeError
from contract.modes import Mode, Wanted


class NothingToDo(HltmodeError):
    """No node is left; the message says what took them away."""

    exit_code = 2


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it was seen last; `jobs` is how many must end before it can leave, None when nobody knows."""

    host: str
    appliance: str = ""
    mode: Mode | None = None
    jobs: int | None = None
    held: str = ""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`count` nodes or `percent` of them, `keep` left in HLT in each appliance, those without jobs first."""

    to: Wanted
    count: int | None = None
    percent: float | None = None
    keep: int = 0
    prefer_idle: bool = False


class Selected(NamedTuple):
    """Those that are asked, in order, and why each of the others is not."""

    hosts: tuple[str, ...]
    left_out: dict[str, str]


def select(candidates: Sequence[Candidate], choice: Choice) -> Selected:
    """Returns which of `candidates` to ask. Raises NothingToDo when none is left."""
    left_out = {each.host: f"on hold: {each.held}" for each in candidates if each.held}
    free = [each for each in candidates if not each.held]
    if choice.to is Wanted.CLOUD:
        kept = _kept(free, choice.keep)
        left_out |= dict.fromkeys(kept, f"{choice.keep} of each appliance are kept in HLT")
        free = [each for each in free if each.host not in kept]
    if choice.prefer_idle:
        free = sorted(free, key=_cost)
    most = _most(len(candidates), choice)
    left_out |= dict.fromkeys((each.host for each in free[most:]), f"more than the {most} that are wanted")
    hosts = tuple(each.host for each in free[:most])
    if not hosts:
        words = "; ".join(sorted(set(left_out.values()))) or "the set is empty"
        raise NothingToDo(f"no node is left to ask ({words})")
    return Selected(hosts, left_out)


def _kept(candidates: Iterable[Candidate], keep: int) -> set[str]:
    """Returns `keep` nodes of each appliance that stay in HLT: those that would be the most work to move."""
    by_appliance: dict[str, list[Candidate]] = defaultdict(list)
    for each in candidates:
        if each.mode in (None, Mode.HLT):
            by_appliance[each.appliance].append(each)
    return {each.host for nodes in by_appliance.values() for each in sorted(nodes, key=_cost, reverse=True)[:keep]}


def _cost(candidate: Candidate) -> float:
    return math.inf if candidate.jobs is None else candidate.jobs


def _most(nodes: int, choice: Choice) -> int:
    if choice.count is not None:
        return choice.count
    if choice.percent is not None:
        return math.floor(nodes * choice.percent / 100)
    return nodes
