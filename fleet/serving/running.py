"""The operations of the store: the server's own are run here, those of others are looked at.

Once a second the store says which are not over. One that is the server's and that nobody runs is taken up, whether it
was begun this moment or by a server that was killed; its nodes know their request by the same id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

import msgspec
from msgspec.structs import replace

from fleet.client import Client
from fleet.engine import Engine
from fleet.operation import Operation
from fleet.ordering import earlier_s
from fleet.serving.forms import OperationView
from fleet.serving.progress import operation_view
from fleet.standing import UNDER_WAY, NodeState
from fleet.store import Store, Taken

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
AGAIN_S: Final = 10.0
KEPT: Final = 30
LONGEST_HISTORY: Final = 100  # of 1500 nodes each: 2 s to read, once
SERVER, OTHER, NOBODY = "server", "other", "nobody"


class Live(msgspec.Struct):
    """An operation that is not over, as it was seen last."""

    operation: Operation
    nodes: dict[str, NodeState]
    run_by: str = NOBODY
    trouble: str = ""
    earlier_s: list[float] | None = None
    again_s: float = 0.0
    task: asyncio.Task[None] | None = None


class Running:
    """The operations in `store`. `see` hears of each node of an operation that is seen in another state."""

    def __init__(self, store: Store, client: Client, see: Callable[[NodeState], None]) -> None:
        self._store = store
        self._client = client
        self._see = see
        self._live: dict[str, Live] = {}
        self._over: dict[str, OperationView] = {}
        self._earlier: dict[str, OperationView] = {}  # that are over too, and that somebody has asked for
        self._changed: dict[str, None] = {}
        self._version = -1
        self._reading = asyncio.Semaphore()  # everybody may ask: one reads, the others wait for their turn

    async def run(self) -> None:
        """Goes on until it is cancelled; then lets go of what it runs, for the next server."""
        over = self._store.readable(name for name, over in self._store.ids()[-KEPT:] if over)
        self._over = {each.id: self._read(self._store, each) for each in over}
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._learning())
                while True:
                    self.look()
                    await asyncio.sleep(LOOK_EVERY_S)
        finally:
            tasks = [live.task for live in self._live.values() if live.task]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def look(self) -> None:
        """Looks at what others have done to the store, and takes up what is the server's."""
        version = self._store.version()
        if version != self._version:
            self._version = version
            self._look_at_others()
        for name in self._store.served() & self._live.keys():
            live = self._live[name]
            if live.task is None and time.monotonic() >= live.again_s and not self._store.runs(live.operation):
                live.task = asyncio.create_task(self._run(name))

    def begun(self, operation: Operation) -> None:
        """Takes in an operation that was put into the store this moment."""
        self._live[operation.id] = Live(operation, self._store.nodes(operation))
        self._changed[operation.id] = None
        self.look()

    def called_off(self, operation: Operation) -> None:
        """Takes in an operation that was called off this moment."""
        if (live := self._live.get(operation.id)) is not None:
            self._take_in(live, operation, live.nodes)
        self.look()

    def looks_at(self, host: str) -> bool:
        """Returns whether an operation run here looks at the node anyway."""
        return any(
            live.task is not None and host in live.nodes and live.nodes[host].standing in UNDER_WAY
            for live in self._live.values()
        )

    def holders(self) -> dict[str, str]:
        """Returns which operation has which node."""
        return {host: name for name, live in self._live.items() for host in live.operation.order}

    def changed(self) -> list[OperationView]:
        """Returns the operations that stand otherwise than when this was called last."""
        names, self._changed = self._changed, {}
        found = [self._over.get(name) or (self._live_view(name) if name in self._live else None) for name in names]
        return [view for view in found if view is not None]

    def views(self) -> tuple[OperationView, ...]:
        """Returns those that are not over and the newest of the others, newest first."""
        found = [*self._over.values(), *map(self._live_view, self._live)]
        return tuple(sorted(found, key=lambda view: -view.created_s))

    async def history(self, most: int) -> tuple[OperationView, ...]:
        """Returns the newest operations, newest first."""
        async with self._reading:
            found = await asyncio.to_thread(self._history, min(most, LONGEST_HISTORY))
        return tuple(self._live_view(view.id) if view.id in self._live else view for view in found)

    def detail(self, operation: Operation) -> tuple[OperationView, tuple[NodeState, ...]]:
        """Returns an operation and how each node stands in it."""
        live = self._live.get(operation.id)
        if live is not None:
            return self._live_view(operation.id), tuple(live.nodes.values())
        return self._read(self._store, operation), tuple(self._store.nodes(operation).values())

    def _look_at_others(self) -> None:
        there = {operation.id: operation for operation in self._store.operations(over=False)}
        for name, operation in there.items():
            live = self._live.get(name)
            if live is None:
                live = self._live[name] = Live(operation, {})
            if live.task is None:
                self._take_in(live, operation, self._store.nodes(operation))
        for name in self._live.keys() - there.keys():
            if self._live[name].task is None:
                self._close(name)

    def _take_in(self, live: Live, operation: Operation, nodes: dict[str, NodeState]) -> None:
        """Takes in how an operation stands, and tells of the nodes that have changed."""
        for host, node in nodes.items():
            before = live.nodes.get(host)
            if before is not None and before is not node and before != node:
                self._see(node)
        if live.operation.called_off and not operation.over:
            operation = replace(operation, called_off=True)  # whoever runs it hears of it a moment later
        live.operation, live.nodes = operation, dict(nodes)
        self._changed[operation.id] = None

    async def _learning(self) -> None:
        """Looks up how long nodes took before, in another thread: earlier operations are many to read."""
        while True:
            for live in [live for live in self._live.values() if live.earlier_s is None]:
                live.earlier_s = await asyncio.to_thread(self._earlier_s, live.operation)
                self._changed[live.operation.id] = None
            await asyncio.sleep(LOOK_EVERY_S)

    def _earlier_s(self, operation: Operation) -> list[float]:
        with closing(Store(self._store.path)) as store:
            return earlier_s(store, operation)

    def _history(self, most: int) -> list[OperationView]:
        """Reads them in another thread, with a connection of its own: they may be many."""
        with closing(Store(self._store.path)) as store:
            found = [
                view
                for name, _ in reversed(store.ids()[-most:])
                for view in (self._known_view(name) or [self._read(store, each) for each in store.readable([name])])
            ]
        self._earlier |= {view.id: view for view in found if view.verdict is not None}
        while len(self._earlier) > LONGEST_HISTORY:
            del self._earlier[next(iter(self._earlier))]
        return found

    def _known_view(self, name: str) -> list[OperationView]:
        view = self._over.get(name) or self._earlier.get(name)
        return [view] if view is not None else []

    def _close(self, name: str) -> None:
        """Puts an operation that is over with the others."""
        live = self._live.pop(name)
        operation = self._store.operation(name)
        self._take_in(live, operation, self._store.nodes(operation))
        self._over[name] = self._view_of(name)
        while len(self._over) > KEPT:
            del self._over[next(iter(self._over))]
        log.info("%s: over: %s", name, operation.verdict.value if operation.verdict else "?")

    async def _run(self, name: str) -> None:
        live = self._live[name]

        def tell(engine: Engine) -> None:
            self._take_in(live, engine.operation, engine.nodes)

        live.trouble = ""
        again_s = AGAIN_S
        try:
            log.info("%s: runs here: %d nodes to %s", name, len(live.operation.order), live.operation.to.value)
            await Engine(self._store, self._store.operation(name), self._client, tell).run()
        except Taken:
            again_s = LOOK_EVERY_S  # somebody was quicker, and shows it in the store
        except Exception as error:  # one operation in trouble must not end the server, nor be silent
            log.exception("%s: broke off; tried again", name)
            live.trouble = f"broke off ({error}); tried again every {AGAIN_S:g} s"
        finally:
            live.task = None
            live.again_s = time.monotonic() + again_s
            self._version = -1  # what is in the store now is looked at, whoever wrote it
            self._changed[name] = None
        if self._store.operation(name).over:
            self._close(name)

    def _live_view(self, name: str) -> OperationView:
        live = self._live[name]
        by_others = OTHER if self._store.runs(live.operation) else NOBODY
        run_by = SERVER if live.task is not None else by_others
        return operation_view(
            live.operation,
            live.nodes,
            time.time(),
            run_by=run_by,
            earlier_s=live.earlier_s or (),
            trouble=live.trouble,
        )

    def _view_of(self, name: str) -> OperationView:
        return self._read(self._store, self._store.operation(name))

    @staticmethod
    def _read(store: Store, operation: Operation) -> OperationView:
        run_by = OTHER if not operation.over and store.runs(operation) else NOBODY
        return operation_view(operation, store.nodes(operation), time.time(), run_by=run_by)
