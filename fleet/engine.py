"""Runs an operation: asks when its turn has come, looks until each node has ended, and saves before it sends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from contract.modes import Mode
from contract.request import Verdict as Answer
from fleet import standing
from fleet.client import Client, NodeStatus, Old
from fleet.operation import Operation
from fleet.rollout import Doing, next_step, verdict
from fleet.standing import (
    ENDED,
    UNDER_WAY,
    Answered,
    Asked,
    CalledOff,
    Event,
    Late,
    NoAnswer,
    NodeState,
    Seen,
    Standing,
)
from fleet.store import Store

LOOK_EVERY_S: Final = 1.0
AGAIN_FIRST_S: Final = 0.5
AGAIN_LAST_S: Final = 15.0
TICK_S: Final = 0.1
BEAT_S: Final = 2.0

OLD_MODES: Final = {True: Mode.CLOUD, False: Mode.HLT}


class Engine:
    """Runs `operation` until it is over or called off; `tell` is told of each change."""

    def __init__(self, store: Store, operation: Operation, client: Client, tell: Callable[[Engine], None]) -> None:
        self.operation = operation
        self.nodes = store.nodes(operation)
        self.doing = Doing.ASKING
        self.stage = 0
        self._store = store
        self._client = client
        self._tell = tell
        self._cursors = store.cursors(operation)
        self._old: set[str] = set()
        self._next_s: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, NodeState] = {}
        self._beat_s = 0.0

    async def run(self) -> Operation:
        """Returns the operation with its verdict. Raises Taken when another process runs it."""
        self._store.run(self.operation)
        try:
            while not self._over():
                self._turn()
                await asyncio.sleep(TICK_S)
                self._save()
            stopped = self.doing is Doing.STOPPED
            called_off = self.operation.called_off
            if stopped or called_off:
                for host in self.operation.order:
                    self._step(host, CalledOff())
            found = verdict(self.nodes.values(), stopped=stopped, called_off=called_off)
            self.operation = replace(self.operation, verdict=found)
            self._save(last=True)
            self._tell(self)
            return self.operation
        finally:
            # A visit that outlives its engine could ask a node anew that was asked back meanwhile.
            for task in self._tasks.values():
                task.cancel()
            self._store.leave(self.operation)

    def _over(self) -> bool:
        return all(
            node.standing in ENDED or (node.standing is Standing.WAITING and self._asks_nobody())
            for node in self.nodes.values()
        )

    def _asks_nobody(self) -> bool:
        return self.operation.called_off or self.doing is Doing.STOPPED

    def _turn(self) -> None:
        now_s = time.time()
        asked_s = max((node.asked_s or 0.0 for node in self.nodes.values()), default=0.0)
        ended_s = max((node.ended_s or 0.0 for node in self.nodes.values()), default=0.0)
        step = next_step(
            self.operation.order, self.nodes, self.operation.ramp,
            asked_ago_s=now_s - asked_s, ended_ago_s=now_s - ended_s,
        )  # fmt: skip
        if self.doing is not Doing.STOPPED:
            self.doing, self.stage = step.doing, step.stage
        if step.ask and not self._asks_nobody():
            for host in step.ask:
                self._step(host, Asked())
            self._save()  # before the first of them is sent
            for host in step.ask:
                self._start(host)
        for host, node in self.nodes.items():
            if node.standing in UNDER_WAY:
                if node.asked_s is not None and now_s - node.asked_s > self.operation.limit_s:
                    self._step(host, Late())
                elif now_s >= self._next_s.get(host, 0.0):
                    self._start(host)

    def _start(self, host: str) -> None:
        if host not in self._tasks:
            task = asyncio.create_task(self._visit(host))
            self._tasks[host] = task
            task.add_done_callback(lambda _done: self._tasks.pop(host, None))

    async def _visit(self, host: str) -> None:
        """Looks at a node that has heard; asks one that may not have: again with the same id, which is one request."""
        if self.nodes[host].standing is not Standing.ASKED:
            await self._look(host)
        elif host not in self._next_s:
            await self._ask(host)
        else:
            await self._look(host)
            if self.nodes[host].standing is Standing.ASKED:
                self._step(host, Asked())
                await self._ask(host)
        node = self.nodes[host]
        again_s = min(AGAIN_LAST_S, AGAIN_FIRST_S * 2.0 ** min(node.tries, 8))
        wait_s = again_s if node.standing is Standing.ASKED else LOOK_EVERY_S
        self._next_s[host] = time.time() + wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    async def _ask(self, host: str) -> None:
        place = self.operation.places[host]
        self._step(host, await self._client.ask(place, self.operation.request, old=host in self._old))

    async def _look(self, host: str) -> None:
        place = self.operation.places[host]
        found = await self._client.look(place)
        if isinstance(found, NoAnswer):
            self._step(host, found)
        elif isinstance(found, Old):
            self._seen_old(host, found)
        else:
            await self._settle(host, found)

    async def _settle(self, host: str, status: NodeStatus) -> None:
        place, after = self.operation.places[host], self._cursors.get(host, 0)
        seen, upto = await self._client.settle(place, self.operation.id, status, after)
        if seen.outcome is None and self.nodes[host].standing is Standing.ASKED:
            upto = after  # what it says of our request may have to be read again
        self._cursors[host] = upto
        self._step(host, seen)

    def _seen_old(self, host: str, found: Old) -> None:
        first = host not in self._old
        self._old.add(host)
        mode = OLD_MODES[found.cores > 0]
        if first and self.nodes[host].standing is Standing.ASKED and mode.value == self.operation.to.value:
            self._step(host, Answered(Answer.ALREADY, "seen in its mode; it keeps no journal", certain=False))
            return
        self._step(host, Seen(mode=mode, certain=False))

    def _step(self, host: str, event: Event) -> None:
        before = self.nodes[host]
        after = standing.step(before, event, self.operation.to, time.time())
        if after != before:
            self.nodes[host] = self._changed[host] = after

    def _save(self, *, last: bool = False) -> None:
        """Puts what has changed on disk, then shows it."""
        now_s = time.monotonic()
        if now_s - self._beat_s > BEAT_S:
            self._beat_s = now_s
            self._store.run(self.operation)
            if self._store.operation(self.operation.id).called_off:
                self.operation = replace(self.operation, called_off=True)
        if self._changed or last:
            changed, self._changed = self._changed, {}
            self._store.save(self.operation, changed.values(), {host: self._cursors.get(host, 0) for host in changed})
            self._tell(self)
