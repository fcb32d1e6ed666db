"""Which nodes are asked when: canary, growing stages, pauses, limits, and when it is better to stop. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from contract.errors import HltmodeError
from contract.modes import Wanted
from fleet.standing import BAD, ENDED, GOOD, UNDER_WAY, NodeState, Standing


class BadRamp(HltmodeError):
    """A ramp that can't be understood; the message says which part and why."""

    exit_code = 2


class Ramp(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation spreads.

    `stages` are counts of nodes asked by the end of each stage, as numbers or as a share such as `25%`. Between two
    stages lie `pause_s`, and a stage begins when all nodes before it have ended. At most `in_flight` are on their way
    at once and at most `per_s` are asked in any second; fewer than one means one in so many seconds. It stops when more
    than `bad_share` of those that ended are bad.
    """

    stages: tuple[str, ...] = ("100%",)
    pause_s: float = 0.0
    in_flight: int = 1500
    per_s: float = 1000.0
    bad_share: float = 0.1
    bad_at_least: int = 1


# How it spreads where nobody says otherwise. To the cloud a systematic fault must show before all have left: VMs that
# come up nowhere are told after a drain only. Back to HLT nothing is waited for, and nothing stops it.
USUAL: Final = {
    Wanted.CLOUD: Ramp(stages=("1", "5%", "100%"), bad_at_least=2),
    Wanted.HLT: Ramp(bad_share=1.0, bad_at_least=2),
}


class Doing(StrEnum):
    """What the operation does now."""

    ASKING = "asking"
    WATCHING = "watching"  # everyone of this stage was asked
    PAUSING = "pausing"
    STOPPED = "stopped"  # too many are bad
    OVER = "over"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now: whom to ask, and why it is better to stop."""

    doing: Doing
    ask: tuple[str, ...] = ()
    stage: int = 0
    why: str = ""


def stages_of(text: str) -> tuple[str, ...]:
    """Returns the stages that operators write as `1,5%,100%`."""
    return tuple(part.strip() for part in text.split(","))


def usual_of(stages: str | None, bad_share: float | None) -> frozenset[str]:
    """Returns which fields of a ramp are as usual, because nobody has given them."""
    given = {"stages": stages, "bad_share": bad_share}
    return frozenset(name for name, value in given.items() if value in (None, ""))


def stage_sizes(ramp: Ramp, nodes: int) -> tuple[int, ...]:
    """Returns how many of so many nodes are asked by the end of each stage; the last is all. Raises BadRamp."""
    sizes: list[int] = []
    for text in ramp.stages:
        try:
            size = math.ceil(nodes * float(text[:-1]) / 100) if text.endswith("%") else int(text)
        except (ValueError, OverflowError):
            raise BadRamp(f"--ramp {text}: a number of nodes or a share such as 25% wanted") from None
        if size <= 0:
            raise BadRamp(f"--ramp {text}: more than 0 wanted")
        if sizes and size < sizes[-1]:
            raise BadRamp(f"--ramp {text}: less than the stage before; stages count all nodes asked by their end")
        sizes.append(min(size, nodes))
    if not sizes or sizes[-1] < nodes:
        sizes.append(nodes)
    return tuple(dict.fromkeys(sizes))


def stop_words(nodes: Iterable[NodeState], ramp: Ramp) -> str:
    """Returns why it is better to stop, empty when it isn't."""
    counts = Counter(node.standing for node in nodes if node.standing in ENDED or node.stuck)
    ended = sum(counts.values())
    bad = sum(counts[each] for each in BAD) + sum(counts[each] for each in UNDER_WAY)
    if bad >= max(1, ramp.bad_at_least) and bad > ramp.bad_share * ended:
        which = [f"{n} {each.value}" for each in Standing if each in BAD and (n := counts[each])]
        which += [f"{n} under way and stuck" for n in [sum(counts[each] for each in UNDER_WAY)] if n]
        return f"{bad} of {ended} nodes so far are bad ({', '.join(which)}), more than {ramp.bad_share:.0%}"
    return ""


def next_step(order: Sequence[str], nodes: Mapping[str, NodeState], ramp: Ramp, now_s: float) -> Step:
    """Returns what to do at `now_s` with `nodes`, to be asked in `order`; none of their times may lie in the future.

    Who is left out takes no place in a stage: those behind move up, so that the first stage is still asked first.
    """
    states = [nodes[host] for host in order if nodes[host].standing is not Standing.LEFT_OUT]
    waiting = [node.host for node in states if node.standing is Standing.WAITING]
    under_way = sum(node.standing in UNDER_WAY for node in states)
    sizes = stage_sizes(ramp, len(order))
    asked = len(states) - len(waiting)
    stage = _stage(asked, sizes, idle=under_way == 0)
    if not waiting:
        return Step(doing=Doing.WATCHING if under_way else Doing.OVER, stage=stage)
    if why := stop_words(states, ramp):
        return Step(doing=Doing.STOPPED, stage=stage, why=why)
    if asked in sizes and _ago_s((node.ended_s for node in states), now_s) < ramp.pause_s:
        # Between two stages; before the first nobody has ended, while one goes on the stage is not over.
        return Step(doing=Doing.WATCHING if under_way else Doing.PAUSING, stage=stage)
    room = min(sizes[stage] - asked, ramp.in_flight - under_way, _rate_allows(states, ramp.per_s, now_s))
    if room <= 0:
        return Step(doing=Doing.WATCHING, stage=stage)
    return Step(doing=Doing.ASKING, ask=tuple(waiting[:room]), stage=stage)


def _ago_s(moments: Iterable[float | None], now_s: float) -> float:
    return now_s - max((moment for moment in moments if moment is not None), default=-math.inf)


def _rate_allows(states: Iterable[NodeState], per_s: float, now_s: float) -> int:
    """Returns how many may be asked now: any window of a second holds `per_s`, or a longer one a single node."""
    window_s = max(1.0, 1.0 / per_s)
    lately = sum(node.asked_s is not None and now_s - node.asked_s < window_s for node in states)
    return max(1, math.floor(per_s)) - lately


def _stage(asked: int, sizes: Sequence[int], *, idle: bool) -> int:
    """Returns the number of the stage: the next one begins only when everyone of this one has ended."""
    stage = next((place for place, size in enumerate(sizes) if asked < size or (asked == size and not idle)), None)
    return len(sizes) - 1 if stage is None else stage


class Verdict(StrEnum):
    """How an operation ended as a whole."""

    ALL_GOOD = "all good"
    PARTIAL = "partial"
    GOING_ON = "going on"
    STOPPED = "stopped"
    CALLED_OFF = "called off"


# 0 only when every node is where it was wanted.
EXIT_CODES = {
    Verdict.ALL_GOOD: 0,
    Verdict.PARTIAL: 10,
    Verdict.GOING_ON: 11,
    Verdict.STOPPED: 12,
    Verdict.CALLED_OFF: 13,
}


NOT_MOVED = frozenset({Standing.SUPERSEDED, Standing.LEFT_OUT})


def verdict(nodes: Iterable[NodeState], *, stopped: bool, called_off: bool) -> Verdict:
    """Returns how the operation stands as a whole."""
    states = list(nodes)
    if stopped:
        return Verdict.STOPPED
    if called_off:
        return Verdict.CALLED_OFF
    if all(node.standing in GOOD for node in states):
        return Verdict.ALL_GOOD
    if any(node.standing in BAD or node.standing in NOT_MOVED for node in states):
        return Verdict.PARTIAL
    return Verdict.GOING_ON
