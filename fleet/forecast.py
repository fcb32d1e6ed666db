"""How long it will take, by how long it took before. Pure.

There is no other ground for a guess: without earlier times there is no forecast, and the answer is None.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fleet.rollout import Ramp, stage_sizes
from fleet.standing import UNDER_WAY, NodeState, Standing

TWENTY: Final = 20
LEAST: Final = 3  # fewer times of an operation's own say nothing of the rest of it


def times_s(nodes: Iterable[NodeState]) -> list[float]:
    """Returns how long each node took that arrived."""
    return [
        node.ended_s - node.asked_s
        for node in nodes
        if node.standing is Standing.DONE and node.ended_s is not None and node.asked_s is not None
    ]


def slow_s(times: Sequence[float]) -> float | None:
    """Returns what one node in twenty took longer than; None of fewer than twenty, which don't tell it."""
    return sorted(times)[-(-19 * len(times) // 20) - 1] if len(times) >= TWENTY else None


def expected_s(earlier_s: Sequence[float], nodes: int) -> float | None:
    """Returns after how long the last of so many nodes is expected, when each takes as long as one before."""
    if not earlier_s or not nodes:
        return None
    ordered = sorted(earlier_s)
    return ordered[min(len(ordered), math.ceil(len(ordered) * nodes / (nodes + 1))) - 1]


def left_s(
    order: Sequence[str],
    nodes: Mapping[str, NodeState],
    ramp: Ramp,
    earlier_s: Sequence[float],
    limit_s: float,
    now_s: float,
) -> float | None:
    """Returns how many seconds an operation still takes; `earlier_s` is of earlier ones, `limit_s` ends every wait.

    Who is under way is expected by the time of those that took at least as long as it does already.
    """
    times = list(earlier_s)
    own = times_s(nodes.values())
    if len(own) >= LEAST:
        times += own
    if not times:
        return None
    times.sort()
    under_way = [node for node in nodes.values() if node.standing in UNDER_WAY]
    left = max((_rest_s(times, now_s - (node.asked_s or now_s), limit_s) for node in under_way), default=0.0)
    asked = sum(nodes[host].standing is not Standing.WAITING for host in order)
    sizes = stage_sizes(ramp, len(order))
    for size in sizes:
        if size > asked:
            more_s = expected_s(times, size - asked) or 0.0
            begun = asked not in (0, *sizes)  # the rest of a stage goes along with those of it that are under way
            left = max(left, more_s) if begun else left + (ramp.pause_s if asked else 0.0) + more_s
            asked = size
    return left


def _rest_s(times: Sequence[float], gone_s: float, limit_s: float) -> float:
    first = bisect_right(times, gone_s)
    longer = len(times) - first
    until_s = times[first + math.ceil(0.9 * longer) - 1] if longer else limit_s
    return max(0.0, min(until_s, limit_s) - gone_s)
