"""Looks on while another process runs an operation: the store says how it stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from fleet.operation import Operation
from fleet.rollout import Step, next_step
from fleet.standing import NodeState
from fleet.store import Store

LOOK_EVERY_S: Final = 0.5


class Onlooker:
    """Tells of `operation` as an engine does, until it is over or nobody runs it any more."""

    def __init__(self, store: Store, operation: Operation, tell: Callable[[Onlooker], None]) -> None:
        self.operation = operation
        self.nodes = store.nodes(operation)
        self._store = store
        self._tell = tell
        self._take_in()

    async def run(self) -> Operation:
        """Returns the operation as it is in the end."""
        while True:
            runs = self._store.runs(self.operation)
            self.operation = self._store.operation(self.operation.id)
            self.nodes = self._store.nodes(self.operation)
            self._take_in()
            self._tell(self)
            if self.operation.over or not runs:
                return self.operation
            await asyncio.sleep(LOOK_EVERY_S)

    def _take_in(self) -> None:
        step = step_now(self.operation, self.nodes, time.time())
        self.doing, self.stage = step.doing, step.stage


def step_now(operation: Operation, nodes: Mapping[str, NodeState], now_s: float) -> Step:
    """Returns what is to do with an operation at `now_s` (Unix seconds), as its nodes stand."""
    return next_step(operation.order, nodes, operation.ramp, now_s)
