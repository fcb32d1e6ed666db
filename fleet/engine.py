"""Runs an operation: asks when its turn has come, looks until each node has ended, and saves before it sends."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from contract.modes import Mode
from fleet import standing
from fleet.client import Client, NodeStatus, Old
from fleet.journal_lines import JournalLine, told
from fleet.operation import Operation
from fleet.rollout import Doing, Step, next_step, verdict
from fleet.standing import (
    ENDED,
    UNDER_WAY,
    Asked,
    Called,
    CalledOff,
    Denied,
    Event,
    Late,
    NoAnswer,
    NodeState,
    NotSent,
    Seen,
    Standing,
)
from fleet.store import Store

LOOK_EVERY_S: Final = 1.0
LOOKS_PER_S: Final = 600.0  # of all nodes together: many are looked at more seldom
AGAIN_FIRST_S: Final = 0.5
AGAIN_LAST_S: Final = 15.0
SILENT_AFTER: Final = 3  # looks without an answer
TICK_S: Final = 0.1
HEED_EVERY_S: Final = 1.0

OLD_MODES: Final = {True: Mode.CLOUD, False: Mode.HLT}
log: Final = logging.getLogger(__name__)


class Engine:
    """Runs `operation` until it is over; `tell` is told of each change. Several may run side by side in one loop."""

    def __init__(self, store: Store, operation: Operation, client: Client, tell: Callable[[Engine], None]) -> None:
        self.operation = operation
        self.doing = Doing.ASKING
        self.stage = 0
        self._store = store
        self._client = client
        self._tell = tell
        self._now_s = steady_clock()
        self.nodes = {host: _taken_up(node, self._now_s()) for host, node in store.nodes(operation).items()}
        self._cursors = store.cursors(operation)
        self._read: dict[str, int] = {}  # what each journal's end was when it was last read
        self._old: set[str] = set()
        self._ready: set[str] = set()  # whom nobody has to look at before it is asked
        self._failures: dict[str, int] = {}
        self._next_s: dict[str, float] = {}
        self._visits: dict[str, asyncio.Task[None]] = {}
        self._visited_s: dict[str, float] = {}  # when the last visit began that has ended
        self._changed: dict[str, NodeState] = {}
        self._saved = asyncio.Event()
        self._heeded_s = 0.0

    async def run(self) -> Operation:
        """Returns the operation with its verdict. Raises Taken when somebody else runs it.

        When it is cancelled, what is known by then is saved, and nobody is asked any more.
        """
        self._store.run(self.operation)
        try:
            while not self._over():
                self._turn()
                await asyncio.sleep(TICK_S)
                self._save()
            found = verdict(
                self.nodes.values(), stopped=bool(self.operation.stopped), called_off=self.operation.called_off
            )
            self.operation = replace(self.operation, verdict=found)
            return self.operation
        finally:
            try:
                await self._end_visits()
                self._save(last=True)
            finally:
                self._store.leave(self.operation)

    def _over(self) -> bool:
        return all(node.standing in ENDED for node in self.nodes.values())

    def _turn(self) -> None:
        now_s = self._now_s()
        self._heed_others(now_s)
        step = self._what_now(now_s)
        self.doing, self.stage = step.doing, step.stage
        if step.doing is Doing.STOPPED:
            self.operation = replace(self.operation, stopped=step.why)
            self._ask_nobody_more(step.why)
        if self.operation.stopped:
            self.doing = Doing.STOPPED
        for host in step.ask:
            # Whom the survey has met needs no look: it is a node of ours, and its journal is known up to here.
            if self._cursors.get(host, 0):
                self._step(host, Asked())
                self._ready.add(host)
            else:
                self._step(host, Called())
        if step.ask:
            self._save()  # before the first of them is sent
        every_s = self._look_every_s()
        for host, node in self.nodes.items():
            if node.standing not in UNDER_WAY or host in self._visits:
                continue
            if self._late(node):
                self._step(host, Late())
            elif now_s >= self._next_visit_s(node, now_s):
                self._start(host, every_s)

    def _what_now(self, now_s: float) -> Step:
        """Returns whom to ask; none of them is on hold at this moment."""
        found = next_step(self.operation.order, self.nodes, self.operation.ramp, now_s)
        if found.ask and self._heed_holds():
            found = next_step(self.operation.order, self.nodes, self.operation.ramp, now_s)
        return found

    def _heed_others(self, now_s: float) -> None:
        """Heeds what others have put into the store: holds, and that it is called off."""
        if now_s - self._heeded_s >= HEED_EVERY_S:
            self._heeded_s = now_s
            self._heed_holds()
            if self.operation.called_off or self._store.is_called_off(self.operation):
                self.operation = replace(self.operation, called_off=True)
                self._ask_nobody_more("called off")

    def _heed_holds(self) -> bool:
        """Leaves those out who wait and are on hold; returns whether there were any."""
        holds = self._store.holds()
        held = [host for host in holds.keys() & self.nodes.keys() if self.nodes[host].standing is Standing.WAITING]
        for host in held:
            self._step(host, holds[host].event)
        return bool(held)

    def _ask_nobody_more(self, why: str) -> None:
        for host in self.operation.order:
            self._step(host, CalledOff(why))

    def _look_every_s(self) -> float:
        under_way = sum(node.standing in UNDER_WAY for node in self.nodes.values())
        return max(LOOK_EVERY_S, under_way / LOOKS_PER_S)

    def _ends_s(self, node: NodeState) -> float:
        return (node.asked_s or 0.0) + self.operation.limit_s

    def _is_over_time(self, node: NodeState, now_s: float) -> bool:
        return now_s > self._ends_s(node)

    def _next_visit_s(self, node: NodeState, now_s: float) -> float:
        next_s = self._next_s.get(node.host, 0.0)
        if self._is_over_time(node, now_s):  # to be settled without delay
            visited_s = self._visited_s.get(node.host, 0.0)
            return min(next_s, visited_s + LOOK_EVERY_S if node.silent else 0.0)
        return next_s

    def _late(self, node: NodeState) -> bool:
        """Returns whether its time is over, and looks that began since then have not ended it.

        That it is silent is believed after several looks without an answer, whenever the first of them was.
        """
        looked = self._visited_s.get(node.host, 0.0) > self._ends_s(node)
        return looked and (not node.silent or self._failures.get(node.host, 0) >= SILENT_AFTER)

    def _start(self, host: str, every_s: float) -> None:
        task = asyncio.create_task(self._visit(host, every_s))
        self._visits[host] = task
        task.add_done_callback(lambda _done: self._visits.pop(host, None))

    async def _end_visits(self) -> None:
        visits = list(self._visits.values())
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def _visit(self, host: str, every_s: float) -> None:
        """Asks or looks, and says when next. What goes wrong with one node is no reason to give up the others."""
        began_s = self._now_s()
        try:
            if host in self._ready:
                self._ready.discard(host)
                await self._ask(host)
            else:
                await self._look_and_ask(host)
        except Exception as error:
            log.exception("%s: the tool itself failed", host)
            self._step(host, NoAnswer(f"the tool itself failed: {type(error).__name__}: {error}"))
        node = self.nodes[host]
        failures = self._failures[host] = self._failures.get(host, 0) + 1 if node.silent else 0
        again_s = min(AGAIN_LAST_S, AGAIN_FIRST_S * 2.0 ** min(failures, 8))
        wait_s = again_s if node.standing is Standing.ASKED else every_s
        self._next_s[host] = self._now_s() + wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._visited_s[host] = began_s

    async def _look_and_ask(self, host: str) -> None:
        """Looks at a node, and asks one that answers and has not heard: the same id is one request.

        However late it answers, it is asked once.
        """
        await self._look(host)
        node = self.nodes[host]
        late = node.tries and self._is_over_time(node, self._now_s())
        if node.standing is Standing.ASKED and not node.silent and not late:
            self._step(host, Asked())
            await self._saved.wait()
            await self._ask(host)

    async def _ask(self, host: str) -> None:
        place = self.operation.places[host]
        found = await self._client.ask(place, self.operation.request, old=host in self._old)
        if isinstance(found, Denied):
            self._step(host, NotSent(found.words))
        self._step(host, found)

    async def _look(self, host: str) -> None:
        found = await self._client.look(self.operation.places[host], host)
        if isinstance(found, NodeStatus):
            self._old.discard(host)
            await self._settle(host, found)
        elif isinstance(found, Old):
            self._old.add(host)
            self._step(host, Seen(mode=OLD_MODES[found.cores > 0], certain=False))
        else:
            self._step(host, found)

    async def _settle(self, host: str, status: NodeStatus) -> None:
        """Makes of a status, and of what is new in the journal, what the node says of our request."""
        node = self.nodes[host]
        if not node.tries:  # nothing can be in it before we have asked
            self._cursors[host] = status.journal_seq
        seen, upto = await self._read_journal(host, status, self._cursors.get(host, 0))
        if seen.whole and seen.outcome is None and node.standing is Standing.SWITCHING and not node.joined:
            under_way = status.switch is not None and status.switch.id == self.operation.id
            if not under_way and self._cursors.get(host, 0):  # before it is believed to have forgotten
                seen, upto = await self._read_journal(host, status, 0)
        self._cursors[host] = upto
        self._step(host, seen)

    async def _read_journal(self, host: str, status: NodeStatus, after: int) -> tuple[Seen, int]:
        lines: list[JournalLine] = []
        whole = True
        if status.journal_seq < after:
            after = 0  # it was begun anew
        if after < status.journal_seq and (after == 0 or self._read.get(host) != status.journal_seq):
            lines, whole = await self._client.journal(self.operation.places[host], after, status.journal_seq)
        self._read[host] = status.journal_seq if whole else 0
        found = told(lines, after, self.operation.id, self.operation.to)
        seen = Seen(
            mode=status.mode,
            switch_id=status.switch.id if status.switch else None,
            heard=found.heard,
            outcome=found.outcome,
            why=found.why,
            blocker=status.blocker,
            stuck=status.stuck,
            vms=status.vms,
            whole=whole,
        )
        return seen, found.upto

    def _step(self, host: str, event: Event) -> None:
        before = self.nodes[host]
        after = standing.step(before, event, self.operation.to, self._now_s())
        if after != before:
            self.nodes[host] = self._changed[host] = after

    def _save(self, *, last: bool = False) -> None:
        """Puts what has changed on disk, lets those be asked who wait for that, then shows it."""
        if self._changed or last:
            changed, self._changed = self._changed, {}
            self._store.save(self.operation, changed.values(), {host: self._cursors.get(host, 0) for host in changed})
            self._tell(self)
        saved, self._saved = self._saved, asyncio.Event()
        saved.set()


def steady_clock() -> Callable[[], float]:
    """Returns a clock that tells Unix time and that nobody sets while this process lives."""
    began_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return lambda: began_s + time.clock_gettime(time.CLOCK_BOOTTIME)


def _taken_up(node: NodeState, now_s: float) -> NodeState:
    """Returns a node as an engine takes it up, maybe long after another one was killed.

    Its time begins anew while nobody knows whether it has heard: it may never have been asked. The clock may have been
    set back meanwhile.
    """
    if node.standing is Standing.ASKED:
        return replace(node, asked_s=now_s)
    return replace(
        node,
        asked_s=None if node.asked_s is None else min(node.asked_s, now_s),
        ended_s=None if node.ended_s is None else min(node.ended_s, now_s),
    )
