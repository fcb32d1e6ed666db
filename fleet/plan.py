"""What an operation would do, before it does it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contract.modes import Mode, Wanted
from fleet.rollout import Ramp, stage_sizes
from fleet.selection import Candidate
from fleet.standing import NodeState, Standing


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: who is asked, how many jobs must end first, and what of the farm is in HLT after it.

    `jobs_unknown` is of how many nodes nobody knows the jobs.
    """

    hosts: tuple[str, ...]
    jobs: int
    jobs_unknown: int
    hlt_after: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All stages, of how many nodes, and how long one took in earlier operations (median and slowest in twenty)."""

    to: Wanted
    stages: tuple[Stage, ...]
    left_out: dict[str, str]
    nodes: int
    hlt_before: int
    median_s: float | None = None
    slow_s: float | None = None


def plan(
    to: Wanted,
    order: Sequence[str],
    left_out: Mapping[str, str],
    seen: Sequence[Candidate],
    ramp: Ramp,
    earlier_s: Sequence[float],
) -> Plan:
    """Returns what asking `order` in the stages of `ramp` means for the nodes `seen`."""
    by_host = {each.host: each for each in seen}
    in_hlt = before = sum(each.mode is Mode.HLT for each in seen)
    stages = []
    first = 0
    for upto in stage_sizes(ramp, len(order)):
        hosts = tuple(order[first:upto])
        some = [by_host[host] for host in hosts]
        leaving = sum(each.mode is Mode.HLT for each in some)
        in_hlt += -leaving if to is Wanted.CLOUD else len(some) - leaving
        known = [each.jobs for each in some if each.jobs is not None]
        stages.append(Stage(hosts=hosts, jobs=sum(known), jobs_unknown=len(some) - len(known), hlt_after=in_hlt))
        first = upto
    return Plan(
        to=to,
        stages=tuple(stages),
        left_out=dict(left_out),
        nodes=len(seen),
        hlt_before=before,
        median_s=statistics.median(earlier_s) if earlier_s else None,
        slow_s=_slow_s(earlier_s),
    )


def times_s(nodes: Iterable[NodeState]) -> list[float]:
    """Returns how long each node took that arrived."""
    return [
        node.ended_s - node.asked_s
        for node in nodes
        if node.standing is Standing.DONE and node.ended_s is not None and node.asked_s is not None
    ]


def _slow_s(times: Sequence[float]) -> float | None:
    return sorted(times)[int(0.95 * (len(times) - 1))] if times else None
