"""The fleet tool as a service: what it shows is always fresh, and what it is asked to do goes on without the asker."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from contract.errors import HltmodeError
from contract.modes import Wanted
from contract.request import LONGEST_REASON, printable
from fleet.client import Client, Look
from fleet.farm import Farm
from fleet.node_sets import BadHosts
from fleet.nodes_file import NodesFile
from fleet.operation import Operation, changed, missed, nobody_again, open_words
from fleet.order import Order
from fleet.ordering import Ordered, ordered
from fleet.serving.board import MODE_VIEWS, Board
from fleet.serving.events import Events
from fleet.serving.forms import BeginForm, FarmView, Holder, OrderForm, PlanView
from fleet.serving.looking import Looking
from fleet.serving.orders import check, hosts_of, is_same, order_of, plan_view, way_of
from fleet.serving.progress import switchovers
from fleet.serving.running import Running
from fleet.standing import NodeState
from fleet.store import NEWEST, NoSuchOperation, Store, Taken

log = logging.getLogger(__name__)

TELL_EVERY_S: Final = 0.5
PLAN_LASTS_S: Final = 300.0
MOST_PLANS: Final = 64
PLANS_AT_ONCE: Final = 2  # in threads of their own, so that whoever only looks on can't have them wait
NAMES_WITHIN_S: Final = 5.0
RECALLED: Final = 5


class PlanGone(HltmodeError):
    """A plan that is not there any more; the message says what to do."""


class TooBusy(HltmodeError):
    """What is asked for has to wait for what others have asked for; the message says so."""


class OtherOrder(HltmodeError):
    """An id that belongs to another order."""


class NodesTaken(Taken):
    """Other operations have some of the nodes; `holders` says which."""

    def __init__(self, words: str, holders: tuple[Holder, ...]) -> None:
        super().__init__(words)
        self.holders = holders


class Made(NamedTuple):
    """A plan that may be begun until `until_s` (Unix seconds)."""

    ordered: Ordered
    until_s: float


class Service:
    """Shows and acts for the farm. `lookers` asks nodes how they stand, `actors` is for operations."""

    def __init__(self, farm: Farm, store: Store, lookers: Client, actors: Client, every_s: float) -> None:
        self.farm = farm
        self.store = store
        self.every_s = every_s
        self.board = Board(farm.places)
        self.events = Events(secrets.token_hex(4))
        self.running = Running(store, actors, self._see)
        self._looking = Looking(lookers, farm.places, every_s, self._look, self._others_look)
        self._nodes_file = NodesFile(farm.nodes_file, farm.places) if farm.nodes_file else None
        self._plans: dict[str, Made] = {}
        self._planners = ThreadPoolExecutor(PLANS_AT_ONCE, "planner")
        self._namers = ThreadPoolExecutor(1, "namer")
        self._beginning = asyncio.Lock()
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Goes on until it is cancelled; ends with the error of whatever breaks."""
        earlier = self.store.readable(name for name, _ in self.store.ids()[-RECALLED:])
        self.board.recall(each for one in earlier for each in switchovers(one, self.store.nodes(one).values()))
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._looking.run())
            parts.create_task(self.running.run())
            parts.create_task(self._telling())

    def farm_view(self, *, may_act: bool) -> FarmView:
        """Returns everything that the page shows, and after which event news begin."""
        self.tell()
        nodes = self.board.nodes
        return FarmView(
            event=self.events.newest,
            time_s=time.time(),
            every_s=self.every_s,
            may_act=may_act,
            modes=MODE_VIEWS,
            counts=self.board.counts(),
            stuck=sum(node.stuck for node in nodes),
            nodes=nodes,
            operations=self.running.views(),
            switchovers=tuple(self.board.switchovers),
        )

    async def news(self, timeout_s: float) -> None:
        """Returns when there are new events, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    def tell(self) -> None:
        """Makes events of all that has changed."""
        before = self.events.number
        self.board.held(self.store.holds())
        self.board.taken(self.running.holders())
        for kind, found in (
            ("nodes", self.board.changed()),
            ("switchovers", self.board.arrived()),
            ("operations", self.running.changed()),
        ):
            if found:
                self.events.add(kind, msgspec.json.encode(found))
        if self.events.number != before:
            self.wake()

    def wake(self) -> None:
        """Wakes everybody who waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    # Actions

    async def plan(self, form: OrderForm, remote: str) -> PlanView:
        """Returns what an order would mean, and keeps it for a while so that just this can be begun."""
        found = await self._ordered(form, remote)
        now_s = time.time()
        self._plans = {name: made for name, made in self._plans.items() if made.until_s > now_s}
        while len(self._plans) >= MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[found.operation.id] = Made(found, now_s + PLAN_LASTS_S)
        return plan_view(
            found.operation,
            found.plan,
            farm_nodes=len(self.farm.places),
            in_hlt=self.board.in_hlt(),
            valid_until_s=now_s + PLAN_LASTS_S,
        )

    async def begin_plan(self, name: str, form: BeginForm, remote: str) -> Operation:
        """Begins a plan just as it was shown. One that was begun already is returned. Raises PlanGone or Taken."""
        async with self._beginning:
            made = self._plans.get(name)
            if (there := self._there(name)) is not None:
                return there
            if made is None or made.until_s < time.time():
                raise PlanGone(f"{name[:60]}: no such plan, or too old; plan anew with POST /plans")
            operation = made.ordered.operation
            made.ordered.operation = replace(
                operation,
                who=form.who or operation.who,
                reason=printable(form.reason, LONGEST_REASON) or operation.reason,
                created_s=time.time(),
            )
            return self._begin(made.ordered, remote)

    async def order(self, form: OrderForm, remote: str) -> tuple[Operation, bool]:
        """Begins an operation; returns it, and whether it is new. The same id again is the same operation."""
        if form.id and (there := self._there(form.id)) is not None:
            return await self._same(there, form), False
        found = await self._ordered(form, remote)
        async with self._beginning:
            if form.id:
                if (there := self._there(form.id)) is not None:
                    return await self._same(there, form), False
                found.operation = replace(found.operation, id=form.id)
            return self._begin(found, remote), True

    def cancel(self, name: str, remote: str) -> Operation:
        """Has an operation ask nobody any more."""
        operation = self.store.operation(name)
        if not operation.over:
            operation = self.store.call_off(operation.id)
            self.store.serve(operation.id)  # so that somebody settles it, whoever ran it
            self.running.called_off(operation)
            log.info("%s: called off by %s", operation.id, remote)
        return operation

    def carry_on(self, name: str, remote: str) -> Operation:
        """Takes up an operation that nobody runs any more."""
        operation = self.store.operation(name)
        if not operation.over:
            self.store.serve(operation.id)
            self.running.look()
            log.info("%s: carried on for %s", operation.id, remote)
        return operation

    async def hosts(self, asked: str | Sequence[str], appliances: Sequence[str] = ()) -> list[str]:
        """Returns the nodes of a set, and of appliances. Raises BadHosts, or TooBusy.

        Sets come from everybody who reaches us: they are read in a thread, so that whoever waits for one waits alone.
        """
        work = partial(hosts_of, asked, appliances, self.farm.places)
        try:
            async with asyncio.timeout(NAMES_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._namers, work)
        except TimeoutError:
            raise TooBusy("sets of nodes of others are still being read; ask again in a moment") from None

    def _holders(self, hosts: Sequence[str]) -> tuple[Holder, ...]:
        """Returns which operations have some of `hosts`."""
        others = [each for each in self.store.operations(over=False) if not each.called_off]
        both = [(each, len(set(hosts).intersection(each.order))) for each in others]
        return tuple(Holder(operation=each.id, who=each.who, nodes=n) for each, n in both if n)

    async def _ordered(self, form: OrderForm, remote: str) -> Ordered:
        farm, hosts, to, of = await self._meant(form)
        order = order_of(form, to, remote)
        work = partial(_look_and_order, farm, hosts, to, order, of)
        return await asyncio.get_running_loop().run_in_executor(self._planners, work)

    async def _meant(self, form: OrderForm) -> tuple[Farm, list[str], Wanted, str]:
        """Returns the nodes that are meant, where they go, and the operation that this one comes from."""
        check(form)
        if form.to is not None:
            return self.farm, await self.hosts(form.hosts, form.appliances), form.to, ""
        earlier = self.store.operation(form.undo or form.retry)
        if form.retry and not earlier.over:
            raise Taken(open_words(earlier))
        hosts = (changed if form.undo else missed)(self.store.nodes(earlier))
        if not hosts:
            raise BadHosts(nobody_again(earlier, way_of(form, earlier)))
        farm = self.farm._replace(places={host: earlier.places[host] for host in hosts})
        return farm, hosts, way_of(form, earlier), earlier.id

    async def _same(self, there: Operation, form: OrderForm) -> Operation:
        """Returns the operation that has the id of an order. Raises OtherOrder when that was another order."""
        check(form)
        hosts, earlier = [], None
        if form.to is not None:
            hosts = await self.hosts(form.hosts, form.appliances)
        else:
            asked = form.undo or form.retry  # the newest is itself by now
            earlier = self.store.operation(there.of if asked == NEWEST and there.of else asked)
        if not is_same(form, hosts, earlier, there):
            words = f"another order, of {len(there.order)} nodes to {there.to.value}"
            raise OtherOrder(f"{there.id}: that id belongs to {words}; take another id")
        return there

    def _begin(self, found: Ordered, remote: str) -> Operation:
        found.operation = replace(found.operation, not_asked=tuple(found.plan.left_out))
        self.store.serve(found.operation.id)
        try:
            operation = found.begin(self.store)
        except Taken as error:
            raise NodesTaken(str(error), self._holders(found.operation.order)) from error
        log.info(
            "%s: %s wants %d nodes in %s (%s), asked from %s",
            operation.id, operation.who, len(operation.order), operation.to.value, operation.reason, remote,
        )  # fmt: skip
        self.running.begun(operation)
        return operation

    def _there(self, name: str) -> Operation | None:
        try:
            return None if name == NEWEST else self.store.operation(name)
        except NoSuchOperation:
            return None

    def _look(self, host: str, look: Look) -> None:
        self.board.look(host, look, time.time())

    def _others_look(self, host: str) -> bool:
        return self.board.knows(host) and self.running.looks_at(host)

    def _see(self, node: NodeState) -> None:
        self.board.in_operation(node, time.time())

    def _renew(self) -> None:
        """Takes over a changed file of nodes; one that is wrong changes nothing. Everybody loads anew then."""
        try:
            places = self._nodes_file.changed() if self._nodes_file else None
        except BadHosts as error:
            log.error("nodes not taken over, those of before stay: %s", error)
            return
        if places is None:
            return
        before = self.farm.places
        added, gone = places.keys() - before.keys(), before.keys() - places.keys()
        elsewhere = {host for host in places.keys() & before.keys() if places[host] != before[host]}
        self.farm = self.farm._replace(places=places)
        self.board.renew(places)
        self._looking.renew(places)
        self._forget_plans(gone | elsewhere)
        self.events.add("reload", b"{}")
        self.tell()
        self.wake()
        log.info("nodes read again: %d added, %d gone, %d elsewhere; %d nodes",
                 len(added), len(gone), len(elsewhere), len(places))  # fmt: skip

    def _forget_plans(self, hosts: set[str]) -> None:
        self._plans = {
            name: made for name, made in self._plans.items() if hosts.isdisjoint(made.ordered.operation.order)
        }

    async def _telling(self) -> None:
        while True:
            self._renew()
            self.tell()
            await asyncio.sleep(TELL_EVERY_S)


def _look_and_order(farm: Farm, hosts: Sequence[str], to: Wanted, order: Order, of: str) -> Ordered:
    """Looks at the nodes and plans, in a thread of its own: earlier operations are many to read."""
    with closing(Store(farm.store)) as store:
        return asyncio.run(ordered(farm, store, hosts, to, order, of=of, tell=lambda _n: None))
