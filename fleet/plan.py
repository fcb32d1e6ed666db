"""What an operation would do, before it does it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contract.modes import Mode, Wanted
from fleet.forecast import expected_s, slow_s
from fleet.rollout import Ramp, stage_sizes
from fleet.selection import THERE, Candidate


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: who is asked, what must end first, how long it may take, and what of the nodes is in HLT after it.

    `working` has of each node whose jobs must end their pids by run. Of the `hosts` `already` are where they are wanted
    and `silent` did not answer. `jobs_unknown` is of how many nodes nobody knows the jobs, `cores_unknown` of how many
    of those in HLT nobody knows the cores. `expected_s` is None when nothing tells.
    """

    hosts: tuple[str, ...]
    already: int
    silent: int
    jobs: int
    jobs_unknown: int
    working: dict[str, dict[str, tuple[int, ...]]]
    hlt_after: int
    cores_after: int
    cores_unknown: int
    expected_s: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All stages, of how many nodes, and how long one took in earlier operations (median and slowest in twenty).

    `earlier` is how many nodes that is known of. `expected_s` is of the whole, with its pauses. Nodes that are
    `less_certain` speak only hltd's URLs. `others` says which nodes carry out requests of others, in words.
    """

    to: Wanted
    stages: tuple[Stage, ...]
    left_out: dict[str, str]
    nodes: int
    hlt_before: int
    cores_before: int
    less_certain: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    earlier: int = 0
    median_s: float | None = None
    slow_s: float | None = None
    expected_s: float | None = None
    limit_s: float = 0.0


def plan(
    to: Wanted,
    order: Sequence[str],
    left_out: Mapping[str, str],
    seen: Sequence[Candidate],
    ramp: Ramp,
    earlier_s: Sequence[float],
    limit_s: float,
) -> Plan:
    """Returns what asking `order` in the stages of `ramp` means for the nodes `seen`, each given `limit_s`."""
    by_host = {each.host: each for each in seen}
    in_hlt = {each.host for each in seen if each.mode is Mode.HLT}
    before = _cores(by_host[host] for host in in_hlt)
    hlt_before = len(in_hlt)
    stages = []
    first = 0
    for upto in stage_sizes(ramp, len(order)):
        hosts = tuple(order[first:upto])
        some = [by_host[host] for host in hosts]
        in_hlt = in_hlt - set(hosts) if to is Wanted.CLOUD else in_hlt | set(hosts)
        cores, cores_unknown = _cores(by_host[host] for host in in_hlt)
        leaving = [each for each in some if each.mode is not Mode.CLOUD] if to is Wanted.CLOUD else []
        jobs = [each.jobs for each in leaving]
        silent = sum(each.mode is None for each in some)
        already = sum(each.mode in THERE[to] for each in some)
        stages.append(
            Stage(
                hosts=hosts,
                already=already,
                silent=silent,
                jobs=sum(each for each in jobs if each is not None),
                jobs_unknown=sum(each is None for each in jobs),
                working={each.host: each.working for each in leaving if each.working},
                hlt_after=len(in_hlt),
                cores_after=cores,
                cores_unknown=cores_unknown,
                expected_s=_expected_s(earlier_s, len(hosts) - already - silent, silent, limit_s),
            )
        )
        first = upto
    times = [each.expected_s for each in stages]
    whole = None if None in times else sum(each or 0.0 for each in times) + ramp.pause_s * (len(stages) - 1)
    return Plan(
        to=to,
        stages=tuple(stages),
        left_out=dict(left_out),
        nodes=len(seen),
        hlt_before=hlt_before,
        cores_before=before[0],
        less_certain=tuple(host for host in order if not by_host[host].certain),
        earlier=len(earlier_s),
        median_s=statistics.median(earlier_s) if earlier_s else None,
        slow_s=slow_s(earlier_s),
        expected_s=whole,
        limit_s=limit_s,
    )


def _cores(nodes: Iterable[Candidate]) -> tuple[int, int]:
    """Returns how many cores the nodes have, and of how many nodes nobody knows them."""
    every = [each.cores for each in nodes]
    return sum(each or 0 for each in every), every.count(None)


def _expected_s(earlier_s: Sequence[float], moving: int, silent: int, limit_s: float) -> float | None:
    """Returns how long a stage takes: one that does not answer is waited for until its limit."""
    if silent:
        return limit_s
    return expected_s(earlier_s, moving) if moving else 0.0
