"""An operation in figures, for those who watch it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from contract.modes import Mode
from fleet.forecast import left_s, slow_s, times_s
from fleet.onlooking import step_now
from fleet.operation import Operation, counts
from fleet.rollout import Doing, stage_sizes
from fleet.serving.forms import OperationView, Slow, Switchover
from fleet.standing import ENDED, UNDER_WAY, NodeState, Standing

SLOWEST: Final = 4


def operation_view(
    operation: Operation,
    nodes: dict[str, NodeState],
    now_s: float,
    *,
    run_by: str,
    earlier_s: Sequence[float] = (),
    trouble: str = "",
) -> OperationView:
    """Returns how an operation stands at `now_s` (Unix seconds); `earlier_s` is how long nodes took in earlier ones."""
    step = step_now(operation, nodes, now_s)
    ended = [node.ended_s for node in nodes.values() if node.standing in ENDED]
    times = times_s(nodes.values())
    parts = operation.order, nodes, operation.ramp, earlier_s, operation.limit_s
    return OperationView(
        id=operation.id,
        to=operation.to,
        who=operation.who,
        reason=operation.reason,
        created_s=operation.created_s,
        nodes=len(nodes),
        ended=len(ended),
        counts=counts(nodes.values()),
        doing=Doing.OVER if operation.over else step.doing,
        stage=step.stage + 1,
        stages=len(stage_sizes(operation.ramp, len(operation.order))),
        run_by=run_by,
        of=operation.of,
        called_off=operation.called_off,
        verdict=operation.verdict,
        left_s=None if operation.over else left_s(*parts, now_s),
        median_s=statistics.median(times) if times else None,
        slow_s=slow_s(times),
        ended_s=max((each for each in ended if each is not None), default=None) if operation.over else None,
        slowest=() if operation.over else slowest(nodes),
        trouble=trouble,
    )


def switchovers(operation: Operation, nodes: Iterable[NodeState]) -> list[Switchover]:
    """Returns the switchovers that an operation brought about."""
    return [
        Switchover(
            host=node.host,
            appliance=operation.places[node.host].appliance,
            to=Mode(operation.to.value),
            at_s=node.ended_s,
            took_s=node.ended_s - node.asked_s,
        )
        for node in nodes
        if node.standing is Standing.DONE and node.ended_s is not None and node.asked_s is not None
    ]


def slowest(nodes: Mapping[str, NodeState]) -> tuple[Slow, ...]:
    """Returns the nodes under way that were asked first, stuck ones before all, and what they wait for."""
    under_way = [node for node in nodes.values() if node.standing in UNDER_WAY]
    first = sorted(under_way, key=lambda node: (not node.stuck, node.asked_s or 0.0))[:SLOWEST]
    return tuple(
        Slow(
            host=node.host,
            asked_s=node.asked_s or 0.0,
            mode=node.mode,
            waits=node.blocker or node.words,
            stuck=node.stuck,
        )
        for node in first
    )
