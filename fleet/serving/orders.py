"""From what was asked over HTTP to nodes and an order. Pure.

Sets of nodes come from outside here: groups and wildcards, for which ClusterShell may start commands of the site, are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from contract.modes import Wanted
from contract.request import LONGEST_REASON, LONGEST_WHO, printable
from fleet.hosts import STDIN, Place, expand, folded
from fleet.node_sets import BadHosts
from fleet.operation import Operation
from fleet.order import BadOrder, Order
from fleet.plan import Plan
from fleet.rollout import Ramp, stages_of, usual_of
from fleet.serving.forms import LeftOut, OrderForm, PlanView, StageView
from fleet.store import NEWEST

NOT_HERE: Final = re.compile(r"[@*?:]")


def hosts_of(asked: str | Iterable[str], appliances: Iterable[str], known: Mapping[str, Place]) -> list[str]:
    """Returns the nodes that are meant, all of them known. Raises BadHosts."""
    words = [asked] if isinstance(asked, str) else list(asked)
    words = [word for word in words if word.strip()]
    if bad := next((word for word in words if word == STDIN or NOT_HERE.search(word)), None):
        raise BadHosts(f"{bad[:60]}: names and ranges such as fu-[01-08] only; groups and wildcards are not taken here")
    wanted = dict.fromkeys(appliances)
    there = {place.appliance for place in known.values()}
    if missing := [name for name in wanted if name not in there]:
        raise BadHosts(f"{missing[0][:60]}: no such appliance in the file of nodes")
    of_appliances = [host for host, place in known.items() if place.appliance in wanted]
    if not words and not wanted:
        raise BadHosts("no node is named; give hosts, such as fu-c2f[01-02]-01-[01-08], or appliances")
    return expand([*words, *of_appliances], known)


def check(form: OrderForm) -> None:
    """Raises BadOrder for fields that do not go together."""
    if form.count is not None and form.percent is not None:
        raise BadOrder("count or percent, not both")
    if sum((form.to is not None, bool(form.undo), bool(form.retry))) != 1:
        raise BadOrder("one of to (cloud or HLT), undo and retry is wanted")
    if form.id == NEWEST:
        raise BadOrder(f"id: {NEWEST} is the newest operation, whichever that is; take another id")
    if (form.undo or form.retry) and (form.hosts or form.appliances):
        raise BadOrder("hosts and appliances go with to; undo and retry take the operation's own nodes")


def is_same(form: OrderForm, hosts: Iterable[str], earlier: Operation | None, there: Operation) -> bool:
    """Returns whether `there` is what the form orders, which names `hosts`, or `earlier` to undo or retry it."""
    if earlier is None:
        return not there.of and there.to is form.to and set(hosts) == {*there.order, *there.not_asked}
    return there.of == earlier.id and there.to is way_of(form, earlier)


def way_of(form: OrderForm, earlier: Operation) -> Wanted:
    """Returns where nodes go that undo or retry `earlier`."""
    return opposite(earlier.to) if form.undo else earlier.to


def order_of(form: OrderForm, to: Wanted, remote: str) -> Order:
    """Returns how an order on the way `to` there goes. Raises BadOrder."""
    if to is Wanted.HLT and (form.keep or form.keep_total):
        raise BadOrder("keep and keep_total go with the way to the cloud only")
    ramp = Ramp(
        stages=stages_of(form.ramp or "100%"),
        pause_s=form.pause_s,
        in_flight=form.in_flight,
        per_s=form.per_second,
        bad_share=1.0 if form.stop_share is None else form.stop_share,
        bad_at_least=2,
    )
    return Order(
        who=named(form.who, remote),
        reason=printable(form.reason, LONGEST_REASON),
        most=form.count,
        percent=form.percent,
        keep=form.keep,
        keep_total=form.keep_total,
        prefer_idle=form.prefer_idle,
        ramp=ramp,
        limit_s=form.limit_s,
        hurry=form.hurry,
        deadline_s=form.deadline_s,
        usual=usual_of(form.ramp, form.stop_share),
    )


def named(who: str, remote: str) -> str:
    """Returns who asks, as journals keep it."""
    return printable(who, LONGEST_WHO).strip() or f"http {remote}"


def opposite(to: Wanted) -> Wanted:
    """Returns the other way."""
    return Wanted.HLT if to is Wanted.CLOUD else Wanted.CLOUD


def plan_view(
    operation: Operation, made: Plan, *, farm_nodes: int, in_hlt: tuple[int, int], valid_until_s: float
) -> PlanView:
    """Returns a plan for people; of `farm_nodes` nodes so many are `in_hlt` now, with so many cores."""
    nodes, cores = in_hlt[0] - made.hlt_before, in_hlt[1] - made.cores_before  # of nodes that nobody named
    stages = tuple(
        StageView(
            nodes=len(stage.hosts),
            hosts=folded(stage.hosts),
            jobs=stage.jobs,
            jobs_unknown=stage.jobs_unknown,
            hlt_after=nodes + stage.hlt_after,
            cores_after=cores + stage.cores_after,
            already=stage.already,
            silent=stage.silent,
            expected_s=stage.expected_s,
        )
        for stage in made.stages
    )
    reasons: dict[str, list[str]] = {}
    for host, why in made.left_out.items():
        reasons.setdefault(why, []).append(host)
    left_out = tuple(LeftOut(why=why, nodes=len(hosts), hosts=folded(hosts)) for why, hosts in reasons.items())
    return PlanView(
        id=operation.id,
        to=operation.to,
        who=operation.who,
        reason=operation.reason,
        nodes=len(operation.order),
        hosts=folded(operation.order),
        stages=stages,
        left_out=left_out,
        farm_nodes=farm_nodes,
        hlt_before=in_hlt[0],
        cores_before=in_hlt[1],
        limit_s=operation.limit_s,
        valid_until_s=valid_until_s,
        others=made.others,
        median_s=made.median_s,
        slow_s=made.slow_s,
        expected_s=made.expected_s,
    )
