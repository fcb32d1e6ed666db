"""Questions to past switches: which, the slowest, how long phases take; and who is stuck now. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from collector.history.past import NodeNow, Switchover
from contract.config import Switch
from contract.journal import PHASES
from contract.modes import Wanted
from contract.times import unix

WHOLE: Final = "whole"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Times are Unix seconds of the start; names are patterns with * and ?; empty is any.

    `slowest` is how many of the slowest, as a whole or in one `phase`; switches whose time nobody knows are none.
    """

    since_s: float = -math.inf
    until_s: float = math.inf
    nodes: tuple[str, ...] = ()
    appliances: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    who: str = "*"
    slowest: int = 0
    phase: str = ""
    limit: int = 0

    @property
    def at_most(self) -> int:
        """How many are wanted; 0 is all."""
        return self.slowest or self.limit


class Spread(msgspec.Struct, frozen=True):
    """How long something took: how often, and the seconds of the median, the slowest in twenty and the slowest."""

    n: int
    p50_s: float
    p95_s: float
    max_s: float


class Summary(msgspec.Struct, frozen=True):
    """All switches to one side: how they ended, and how long each phase and the whole took."""

    to: Wanted
    outcomes: dict[str, int]
    stuck: int
    durations: dict[str, Spread]


def select(found: Iterable[Switchover], wish: Wish) -> list[Switchover]:
    """Returns what `wish` asks for, in its order."""
    return arranged((switch for switch in found if matches(switch, wish)), wish)


def arranged(wanted: Iterable[Switchover], wish: Wish) -> list[Switchover]:
    """Returns those that `wish` asks for oldest first and the newest `limit` of them, or the `slowest` first.

    What is equal in that comes by node and id, wherever it was found.
    """
    if wish.slowest:
        return sorted(wanted, key=lambda each: (-rank(each, wish), each.host, each.switch_id))[: wish.slowest]
    ordered = sorted(wanted, key=lambda each: (rank(each, wish), each.host, each.switch_id))
    return ordered[-wish.limit :] if wish.limit else ordered


def rank(switch: Switchover, wish: Wish) -> float:
    """Returns the number by which `switch` is ordered: its start, or how long what is asked for took."""
    if not wish.slowest:
        return unix(switch.started)
    return _took_s(switch, wish) or 0.0


def _took_s(switch: Switchover, wish: Wish) -> float | None:
    return switch.phases.get(wish.phase) if wish.phase else switch.duration_s


def matches(switch: Switchover, wish: Wish) -> bool:
    """Returns whether `wish` asks for `switch`."""
    return (
        wish.since_s <= unix(switch.started) < wish.until_s
        and _any(switch.host, wish.nodes)
        and _any(switch.appliance, wish.appliances)
        and (not wish.outcomes or switch.outcome in wish.outcomes)
        and fnmatchcase(switch.who, wish.who)
        and (not wish.slowest or _took_s(switch, wish) is not None)
    )


def stuck_nodes(found: Iterable[NodeNow], wish: Wish, limits: Switch) -> list[NodeNow]:
    """Returns which nodes are stuck, longest first: those that say so, and of others who is under way beyond `limits`.

    `since_s` and `until_s` of `wish` bound when a node was seen last.
    """
    newest: dict[str, NodeNow] = {}
    for node in sorted(found, key=lambda node: unix(node.seen)):
        newest[node.host] = node
    stuck = [
        node
        for node in newest.values()
        if _stuck(node, limits)
        and wish.since_s <= unix(node.seen) < wish.until_s
        and _any(node.host, wish.nodes)
        and _any(node.appliance, wish.appliances)
    ]
    stuck.sort(key=lambda node: (-(node.mode_age_s or 0.0), node.host))
    return stuck[: wish.limit] if wish.limit else stuck


def _stuck(node: NodeNow, limits: Switch) -> bool:
    if node.stuck is not None or node.mode is None:
        return bool(node.stuck)
    return 0 < limits.timeout_s(node.mode) < (node.mode_age_s or 0.0)


def _any(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Returns the smallest of `ordered` (ascending, not empty) that `share` of them don't exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarize(found: Iterable[Switchover]) -> list[Summary]:
    """Returns the summary of each side to which there were switches; durations are of those that ended well."""
    every = list(found)
    return [_summary(to, [switch for switch in every if switch.to is to]) for to in Wanted if _to(every, to)]


def _to(found: Iterable[Switchover], to: Wanted) -> bool:
    return any(switch.to is to for switch in found)


def _summary(to: Wanted, found: Sequence[Switchover]) -> Summary:
    done = [switch for switch in found if switch.outcome == "done"]
    times = {name: [switch.phases[name] for switch in done if name in switch.phases] for name in PHASES}
    times[WHOLE] = [switch.duration_s for switch in done if switch.duration_s is not None]
    return Summary(
        to=to,
        outcomes=dict(Counter(switch.outcome for switch in found).most_common()),
        stuck=sum(switch.was_stuck for switch in found),
        durations={name: _spread(sorted(seconds)) for name, seconds in times.items() if seconds},
    )


def _spread(ordered: Sequence[float]) -> Spread:
    return Spread(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.95), ordered[-1])
