"""Which nodes an operation takes, as an operator thinks: so many, such a share, but leave some. Pure.

`--count` and `--percent` say how many are to move. Whoever is there already, or on the way, uses up nothing of them,
and neither does a node that does not answer: what it would do, nobody knows. A share is one of all nodes named.
Whoever has a way to go is asked before those who are there, with a journal before without, and silent ones last: the
first stages are to show whether it works, and a node that does not answer would hold up the next one until its time is
over.

`--keep` and `--keep-total` say how many of the nodes named stay in HLT. Only those count that were seen in HLT and
will stay: one on hold does, a silent one or one that is leaving does not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from contract.errors import HltmodeError
from contract.modes import Mode, Wanted

# In these nothing is left to be moved.
THERE: Final = {
    Wanted.CLOUD: (Mode.CLOUD, Mode.ACTIVATING_CLOUD),
    Wanted.HLT: (Mode.HLT, Mode.DEACTIVATING_CLOUD),
}


class NothingToDo(HltmodeError):
    """No node is left; the message says what took them away."""

    exit_code = 2


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it was seen last.

    `mode` is None when it did not answer, `jobs` is how many must end before it can leave and `cores` how many it has,
    each None when nobody knows; `working` has the pids of those jobs by run. A node that is not `certain` speaks only
    hltd's URLs.
    """

    host: str
    appliance: str = ""
    mode: Mode | None = None
    jobs: int | None = None
    working: dict[str, tuple[int, ...]] = {}
    cores: int | None = None
    held: str = ""
    certain: bool = True


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """`count` nodes or `percent` of them move, those without jobs first if so preferred.

    On the way to the cloud `keep` stay in HLT in each appliance, and `keep_total` in all.
    """

    to: Wanted
    count: int | None = None
    percent: float | None = None
    keep: int = 0
    keep_total: int = 0
    prefer_idle: bool = False


class Selected(NamedTuple):
    """Those that are asked, in order, and why each of the others is not."""

    hosts: tuple[str, ...]
    left_out: dict[str, str]


def select(candidates: Sequence[Candidate], choice: Choice) -> Selected:
    """Returns which of `candidates` to ask. Raises NothingToDo when none is left."""
    left_out = {each.host: f"on hold: {each.held}" for each in candidates if each.held}
    if choice.to is Wanted.CLOUD:
        left_out |= _kept(candidates, choice)
    free = [each for each in candidates if each.host not in left_out]
    if choice.prefer_idle:
        free = sorted(free, key=_cost)
    free = sorted(free, key=lambda each: _tells(each, choice.to))
    most = _most(len(candidates), choice)
    if most == 0:
        share = f"{choice.percent:g} % of {len(candidates)} nodes"
        raise NothingToDo(f"{share} is less than one node; ask for a greater share, or for a number (count)")
    if most is not None:
        free, others = _limited(free, most, choice)
        left_out |= others
    if not free:
        words = "; ".join(sorted(set(left_out.values()))) or "the set is empty"
        raise NothingToDo(f"no node is left to ask ({words})")
    return Selected(tuple(each.host for each in free), left_out)


def _limited(free: Sequence[Candidate], most: int, choice: Choice) -> tuple[list[Candidate], dict[str, str]]:
    """Returns the first `most` that have a way to go, and why each of the others is not asked."""
    chosen: list[Candidate] = []
    others: dict[str, str] = {}
    for each in free:
        if each.mode is None:
            others[each.host] = "no answer, so it is not counted on"
        elif each.mode in THERE[choice.to]:
            others[each.host] = "there already, or on the way"
        elif len(chosen) < most:
            chosen.append(each)
        else:
            others[each.host] = f"more than the {most} that are wanted"
    return chosen, others


def _kept(candidates: Sequence[Candidate], choice: Choice) -> dict[str, str]:
    """Returns who stays in HLT and why: those that would be the most work to move."""
    in_hlt = sorted((each for each in reversed(candidates) if each.mode is Mode.HLT), key=lambda each: -_cost(each))
    staying = Counter(each.appliance for each in in_hlt if each.held)
    kept: dict[str, str] = {}
    for each in in_hlt:
        if not each.held and staying[each.appliance] < choice.keep:
            staying[each.appliance] += 1
            kept[each.host] = f"{choice.keep} of each appliance are kept in HLT"
    for each in in_hlt:
        if not each.held and each.host not in kept and staying.total() < choice.keep_total:
            staying[each.appliance] += 1
            kept[each.host] = f"{choice.keep_total} of all are kept in HLT"
    return kept


def _cost(candidate: Candidate) -> float:
    return math.inf if candidate.jobs is None else candidate.jobs


def _tells(candidate: Candidate, to: Wanted) -> int:
    """Returns how late a node is asked: a canary that is there tells nothing, a silent one is waited for."""
    if candidate.mode is None:
        return 3
    return 2 if candidate.mode in THERE[to] else int(not candidate.certain)


def _most(nodes: int, choice: Choice) -> int | None:
    if choice.count is not None:
        return choice.count
    if choice.percent is not None:
        return math.floor(nodes * choice.percent / 100)
    return None
