"""From an order to an operation: who is there, who is asked, and what it would mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from contract.modes import Wanted
from fleet.client import Look, connected
from fleet.farm import Farm
from fleet.forecast import times_s
from fleet.hosts import place_of
from fleet.operation import LIMITS_S, Operation, new_id
from fleet.order import Order
from fleet.others import others_words
from fleet.plan import Plan, plan
from fleet.selection import Candidate, select
from fleet.standing import NodeState
from fleet.store import Store, Taken
from fleet.survey import candidates, cursors, survey

EARLIER: Final = 20  # operations: what took longer ago says less
LOOKED_BACK: Final = 200  # operations of any kind


class Ordered:
    """An operation that is not begun yet, its plan, how its nodes were seen, and up to where each journal is known.

    `earlier_s` is how long nodes took in operations of the same kind, `in_the_way` why it can't be begun.
    """

    def __init__(
        self,
        operation: Operation,
        made: Plan,
        seen: Sequence[Candidate],
        known: dict[str, int],
        earlier_s: Sequence[float],
        in_the_way: str = "",
    ) -> None:
        self.operation = operation
        self.plan = made
        self.earlier_s = earlier_s
        self._seen = {each.host: each for each in seen}
        self._cursors = known
        self._in_the_way = in_the_way

    def begin(self, store: Store) -> Operation:
        """Puts the operation on disk. Raises Taken."""
        if self._in_the_way:
            raise Taken(self._in_the_way)
        nodes = [
            NodeState(
                host=host, request_id=self.operation.id, mode=self._seen[host].mode, certain=self._seen[host].certain
            )
            for host in self.operation.order
        ]
        store.begin(self.operation, nodes, {host: self._cursors.get(host, 0) for host in self.operation.order})
        return self.operation


async def ordered(
    farm: Farm,
    store: Store,
    hosts: Sequence[str],
    to: Wanted,
    order: Order,
    *,
    of: str = "",
    tell: Callable[[int], None],
) -> Ordered:
    """Looks at all `hosts` and returns what the order comes to. Raises NothingToDo or BadRamp."""
    async with connected(farm.token, farm.trust) as client:
        looks = await survey(client, hosts, farm.places, tell)
    return ordered_as_seen(farm, store, looks, to, order, of=of)


def ordered_as_seen(
    farm: Farm,
    store: Store,
    looks: Mapping[str, Look],
    to: Wanted,
    order: Order,
    *,
    of: str = "",
    forecast: bool = True,
) -> Ordered:
    """Returns what the order comes to for nodes that were seen before. Raises NothingToDo or BadRamp.

    Who shows the plan to nobody wants no `forecast`, for which earlier operations are read.
    """
    seen = candidates(looks, farm.places, store.holds())
    chosen = select(seen, order.choice(to))
    operation = Operation(
        id=new_id(),
        to=to,
        who=order.who,
        reason=order.reason,
        created_s=time.time(),
        order=chosen.hosts,
        places={host: place_of(host, farm.places) for host in chosen.hosts},
        ramp=order.ramp_to(to),
        limit_s=order.limit_s or LIMITS_S[to],
        hurry=order.hurry,
        deadline_s=order.deadline_s,
        of=of,
    )
    times = earlier_s(store, operation) if forecast else []
    made = plan(to, chosen.hosts, chosen.left_out, seen, operation.ramp, times, operation.limit_s)
    names = {name for name, _ in store.ids()}
    others, in_the_way = others_words(looks, chosen.hosts, names, to)
    return Ordered(operation, replace(made, others=others), seen, cursors(looks), times, in_the_way)


def earlier_s(store: Store, operation: Operation) -> list[float]:
    """Returns how long nodes took in the newest operations of the same kind before `operation`."""
    names = [name for name, over in reversed(store.ids()) if over and name != operation.id]
    newest = store.readable(names[:LOOKED_BACK])
    alike = (each for each in newest if each.to is operation.to and each.hurry is operation.hurry)
    return [took for each in islice(alike, EARLIER) for took in times_s(store.nodes(each).values())]
