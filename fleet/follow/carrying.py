"""Carries decisions out: begins operations, gives up exclusions, runs what is under way, and writes all of it down.

A decision, the operation that it begins and the course that follows are one transaction: whenever the process is
killed, the next one finds either all of them or none, and runs on with the operation that is not over.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from contract.errors import HltmodeError
from contract.modes import Mode, Wanted
from fleet.client import Look, connected
from fleet.engine import Engine
from fleet.farm import Farm
from fleet.follow.decision import Act, Course, Decision, after
from fleet.follow.ledger import Ledger, Own, owed
from fleet.follow.policy_file import PolicyFile
from fleet.follow.record import Entry, Record
from fleet.follow.whom import order_to_cloud, order_to_hlt, whom
from fleet.hosts import Place
from fleet.operation import Operation, given_up
from fleet.ordering import ordered_as_seen
from fleet.standing import NoAnswer
from fleet.store import Store, Taken
from fleet.survey import mode_of, survey
from fleet.tables import summary

log = logging.getLogger("fleet.follow")

AGAIN_S: Final = 2.0
UNSEEN: Final = NoAnswer("not looked at yet")


class Books(NamedTuple):
    """How things stand at a moment.

    `under_way` are our operations that are not over, oldest first. `taken` says of nodes in an operation of another
    one in which they are. `modes` is how each node was seen (None: no answer). `own` are the nodes that we have moved
    and that are not proven back, `owed` those of them that could be asked back now.
    """

    under_way: tuple[Operation, ...]
    taken: dict[str, str]
    held: frozenset[str]
    modes: dict[str, Mode | None]
    own: Own
    owed: tuple[str, ...]

    @property
    def way(self) -> Wanted | None:
        """Where an operation of ours is going; an exclusion counts before an inclusion, and not once it is called off.

        One that is called off asks nobody more, whoever runs it.
        """
        ways = {each.to for each in self.under_way if not (each.to is Wanted.CLOUD and each.called_off)}
        return Wanted.CLOUD if Wanted.CLOUD in ways else next(iter(ways), None)

    @property
    def settling(self) -> bool:
        """Whether nodes of an exclusion that is called off may still be on their way."""
        return any(each.to is Wanted.CLOUD and each.called_off for each in self.under_way)


class Carrier:
    """What the follower does to the farm. `farm` has the policy's nodes only; `looks` is how they were seen last.

    A node that the policy has sent and that is none of its nodes any more stays in `view` until it is seen in HLT.
    """

    def __init__(
        self, store: Store, record: Record, farm: Farm, file: PolicyFile, steady_s: Callable[[], float]
    ) -> None:
        self.looks: dict[str, Look] = {}
        self.farm = farm
        self.file = file
        self._store = store
        self._record = record
        self._steady_s = steady_s
        self._ledger = Ledger(store, file.who)
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._parted: set[str] = set()  # seen in HLT since they were taken out

    @property
    def view(self) -> dict[str, Place]:
        """The nodes that are looked at: the policy's, and those that left its list while they were away."""
        places = self.farm.places
        parting = [host for host in self._ledger.own() if host not in places and host not in self._parted]
        found = {host: self._store.operations(newest=1, host=host) for host in parting}
        return places | {host: each.places[host] for host, newest in found.items() for each in newest}

    def part(self) -> None:
        """Lets those go that are none of the policy's nodes and are in HLT."""
        back = {host for host, look in self.looks.items() if mode_of(look) is Mode.HLT}
        self._parted = (self._parted | back) - self.farm.places.keys()

    def books(self) -> Books:
        """Returns how operations, holds and nodes stand now, from the store and from what was seen."""
        going_on = self._store.operations(over=False)
        taken = {
            host: f"{each.id} of {each.who or 'somebody'}"
            for each in going_on
            if each.who != self.file.who and not each.called_off
            for host in each.order
        }
        held = self._store.holds()
        own = {host: again for host, again in self._ledger.own().items() if host not in self._parted}
        modes = {host: mode_of(look) for host, look in self.looks.items()}
        ours = tuple(each for each in going_on if each.who == self.file.who)
        asking = {host for each in ours if each.to is Wanted.HLT and not each.called_off for host in each.order}
        return Books(
            under_way=ours,
            taken=taken,
            held=frozenset(held),
            modes=modes,
            own=own,
            owed=tuple(owed(own, modes, {*held, *taken, *asking})),
        )

    async def send(self, decision: Decision, beam: str, course: Course, still: Callable[[], Decision]) -> Course | None:
        """Begins an exclusion. Looks at the nodes first, and begins none when the decision is not `still` the same."""
        books = self.books()
        appliances = {host: place.appliance for host, place in self.farm.places.items()}
        modes = {host: mode for host, mode in books.modes.items() if host in self.farm.places}
        sent = whom(modes, appliances, decision.keep, books.held, books.taken)
        if sent.most <= 0:
            words = f"{decision.reason}; nobody is sent: of {len(self.looks)} nodes {len(sent.hosts)} are free in HLT"
            return self._write(decision, beam, course, words, None)
        order = order_to_cloud(self.file, decision.reason, sent)
        async with connected(self.farm.token, self.farm.trust) as client:
            looks = await survey(client, sent.hosts, self.farm.places, lambda _n: None)
        found = ordered_as_seen(self.farm, self._store, looks, Wanted.CLOUD, order, forecast=False)
        if still().act is not Act.TO_CLOUD:
            log.info("not sent: things have changed while the nodes were looked at")
            return None
        with self._store.transaction():
            operation = found.begin(self._store)
            return self._write(decision, beam, course, decision.reason, operation)

    async def bring_back(self, decision: Decision, beam: str, course: Course) -> Course:
        """Gives up exclusions under way and begins to ask back whom they, or earlier ones, have moved.

        An exclusion that another process runs is called off and left to that one, which settles it; whom it asks until
        it has heard of that is owed, and asked back later.
        """
        exclusions = [each for each in self.books().under_way if each.to is Wanted.CLOUD]
        for each in exclusions:
            await self._stop(each)
        hosts = self.books().owed
        with self._store.transaction():
            for each in exclusions:
                self._store.call_off(each.id)
                now = self._store.operation(each.id)
                if not now.over and not self._store.runs(now):
                    over, nodes = given_up(now, self._store.nodes(now).values(), time.time())
                    self._store.save(over, nodes)
            operation = None
            if hosts:
                looks = {host: self.looks.get(host, UNSEEN) for host in hosts}
                order = order_to_hlt(self.file, decision.reason)
                of = exclusions[-1].id if exclusions else ""
                farm = self.farm._replace(places=self.view)
                found = ordered_as_seen(farm, self._store, looks, Wanted.HLT, order, of=of, forecast=False)
                operation = found.begin(self._store)
            called = f"; called off: {', '.join(each.id for each in exclusions)}" if exclusions else ""
            return self._write(decision, beam, course, f"{decision.reason}{called}", operation)

    def cut_short(self, decision: Decision, beam: str, course: Course) -> Course:
        """Has exclusions under way ask nobody more; nodes that are on their way go on."""
        with self._store.transaction():
            for each in self.books().under_way:
                if each.to is Wanted.CLOUD:
                    self._store.call_off(each.id)
            return self._write(decision, beam, course, decision.reason, None)

    def run_all(self, group: asyncio.TaskGroup, ended: Callable[[Operation], None]) -> None:
        """Has each of our operations that is not over run; this is also how a new process carries on."""
        for each in self.books().under_way:
            if each.id not in self._runs:
                task = group.create_task(self._run(each, ended))
                self._runs[each.id] = task
                task.add_done_callback(lambda _done, name=each.id: self._runs.pop(name, None))  # type: ignore[misc]  # mypy can't infer a lambda's default

    async def _run(self, operation: Operation, ended: Callable[[Operation], None]) -> None:
        while not (operation := self._store.operation(operation.id)).over:
            try:
                async with connected(self.farm.token, self.farm.trust) as client:
                    operation = await Engine(self._store, operation, client, lambda _engine: None).run()
            except Taken:  # somebody watches it with a tool of theirs, which runs it
                await asyncio.sleep(AGAIN_S)
            except HltmodeError as error:
                log.error("%s: %s", operation.id, error)
                if (task := asyncio.current_task()) and task.cancelling():  # it could not save as it was stopped
                    return
                await asyncio.sleep(AGAIN_S)
        words = f"{operation.verdict}: {summary(self._store.nodes(operation).values())}"
        log.info("%s ended, %s", operation.id, words)
        ended(operation)
        await self._add(Entry(at_s=time.time(), kind="ended", reason=words, operation=operation.id))

    async def _add(self, entry: Entry) -> None:
        """Adds to the log of decisions, and goes on trying while the disk takes nothing."""
        said = ""
        while True:
            try:
                self._record.add(entry)
            except HltmodeError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("the log of decisions lacks that %s ended: %s", entry.operation, error)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _stop(self, operation: Operation) -> None:
        task = self._runs.get(operation.id)
        if task:
            task.cancel()
            await asyncio.wait([task])

    def _write(self, decision: Decision, beam: str, course: Course, words: str, operation: Operation | None) -> Course:
        course = after(course, decision, self._steady_s())
        asked = f"; {len(operation.order)} nodes" if operation else ""
        name = operation.id if operation else ""
        with self._store.transaction():
            self._record.add(
                Entry(at_s=time.time(), kind=decision.act.value, reason=f"{words}{asked}", beam=beam, operation=name)
            )
            self._record.keep(course)
        log.info("%s: %s%s%s", decision.act.value, words, asked, f" ({name})" if name else "")
        return course
