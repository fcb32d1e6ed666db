"""What is told of an operation afterwards: who, why, how it ended, and how long it took. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import msgspec

from contract.modes import Wanted
from fleet.forecast import slow_s, times_s
from fleet.operation import Operation, counts
from fleet.rollout import Verdict
from fleet.standing import NodeState, Standing


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """An operation in short. Times are Unix seconds; `duration_s` is None while it is not over.

    `median_s` and `slow_s` (one in twenty took longer; None of fewer than twenty) are of the nodes that it has moved.
    `counts` is nodes by standing; `less_certain` counts those without a journal.
    """

    id: str
    to: Wanted
    who: str
    reason: str
    of: str
    created_s: float
    duration_s: float | None
    verdict: Verdict | None
    stopped: str
    nodes: int
    counts: dict[Standing, int]
    less_certain: int
    median_s: float | None
    slow_s: float | None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one operation was for one node."""

    id: str
    to: Wanted
    who: str
    reason: str
    created_s: float
    took_s: float | None
    standing: str
    words: str
    certain: bool


def past(operation: Operation, nodes: Iterable[NodeState]) -> Past:
    """Returns an operation in short."""
    states = list(nodes)
    times = times_s(states)
    ended_s = max((node.ended_s for node in states if node.ended_s is not None), default=None)
    over = operation.over and ended_s is not None
    return Past(
        id=operation.id,
        to=operation.to,
        who=operation.who,
        reason=operation.reason,
        of=operation.of,
        created_s=operation.created_s,
        duration_s=max(0.0, (ended_s or 0.0) - operation.created_s) if over else None,
        verdict=operation.verdict,
        stopped=operation.stopped,
        nodes=len(states),
        counts=counts(states),
        less_certain=sum(not node.certain for node in states),
        median_s=statistics.median(times) if times else None,
        slow_s=slow_s(times),
    )


def part(operation: Operation, node: NodeState) -> Part:
    """Returns what an operation was for one of its nodes."""
    took = node.ended_s - node.asked_s if node.ended_s is not None and node.asked_s is not None else None
    return Part(
        id=operation.id,
        to=operation.to,
        who=operation.who,
        reason=operation.reason,
        created_s=operation.created_s,
        took_s=took,
        standing=node.standing.value,
        words=node.words,
        certain=node.certain,
    )
