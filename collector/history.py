"""Questions to past switches: which, the slowest, how long phases take. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from collector.documents import PHASES
from collector.reading import Switchover
from contract.modes import Wanted
from contract.times import unix

UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
WHOLE: Final = "whole"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. Times are Unix seconds of the start; names are patterns with * and ?; empty is any."""

    since_s: float = -math.inf
    until_s: float = math.inf
    nodes: tuple[str, ...] = ()
    appliances: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    who: str = "*"
    slowest: int = 0
    limit: int = 0


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


def moment_s(text: str, now_s: float) -> float:
    """Returns the Unix seconds of an ISO time, or of a time ago such as `90m`, `12h` or `7d`. Raises ValueError."""
    ago = AGO.fullmatch(text.strip())
    return now_s - float(ago[1]) * UNITS_S[ago[2]] if ago else unix(text.strip())


def select(found: Iterable[Switchover], wish: Wish) -> list[Switchover]:
    """Returns what `wish` asks for: oldest first and the newest `limit` of them, or the `slowest` first."""
    wanted = [switch for switch in found if _matches(switch, wish)]
    if wish.slowest:
        return sorted(wanted, key=lambda switch: -switch.duration_s)[: wish.slowest]
    wanted.sort(key=lambda switch: unix(switch.started))
    return wanted[-wish.limit :] if wish.limit else wanted


def _matches(switch: Switchover, wish: Wish) -> bool:
    return (
        wish.since_s <= unix(switch.started) < wish.until_s
        and _any(switch.host, wish.nodes)
        and _any(switch.appliance, wish.appliances)
        and (not wish.outcomes or switch.outcome in wish.outcomes)
        and fnmatchcase(switch.who, wish.who)
    )


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
    times[WHOLE] = [switch.duration_s for switch in done]
    return Summary(
        to=to,
        outcomes=dict(Counter(switch.outcome for switch in found).most_common()),
        stuck=sum(switch.was_stuck for switch in found),
        durations={name: _spread(sorted(seconds)) for name, seconds in times.items() if seconds},
    )


def _spread(ordered: Sequence[float]) -> Spread:
    return Spread(len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.95), ordered[-1])
