"""The cloud tool of a simulated node: what `start`, `stop` and `status` exit with, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from simulator.node_farm.clock import Clock
from simulator.node_farm.faults import SLOWNESS, Fault
from switcher.events import IgniterSaid
from switcher.igniter import meaning
from switcher.states import Verb

# Seconds from and to.
TAKES_S: Final = {Verb.STATUS: (0.1, 0.3), Verb.START: (4.0, 12.0), Verb.STOP: (3.0, 10.0)}
LATE_STATUS_S: Final = 7.0  # longer than a caller waits for its answer, shorter than igniter.status_timeout_s
NO_STACK: Final = 66
FIRST_PID: Final = 900_000


class SimulatedCloudTool:
    """`up` is whether VMs run; `now` says what the tool is doing, for people."""

    def __init__(self, clock: Clock, fault: Fault, dice: random.Random) -> None:
        self.up = False
        self.now = ""
        self._clock = clock
        self._fault = fault
        self._dice = dice
        self._pid = FIRST_PID

    def ask(self, verb: Verb, said: Callable[[IgniterSaid], None]) -> None:
        """Has `said` called with what the tool answers."""
        self._pid += 1
        self.now = f"cloud tool {verb.value} (pid {self._pid})"
        takes_s = self._dice.uniform(*TAKES_S[verb])
        if self._fault is Fault.SLOW:
            takes_s *= SLOWNESS
        if self._fault is Fault.REFUSES_LATE and verb is Verb.STATUS:
            takes_s = LATE_STATUS_S
        self._clock.later(takes_s, self._end, verb, said)

    def _end(self, verb: Verb, said: Callable[[IgniterSaid], None]) -> None:
        self.now = ""
        code, words = self._outcome(verb)
        said(meaning(verb, code, words))

    def _outcome(self, verb: Verb) -> tuple[int, str]:
        if self._fault in (Fault.REFUSES, Fault.REFUSES_LATE):
            return NO_STACK, ""
        if verb is Verb.STATUS:
            return (0 if self.up else 1), ""
        if verb is Verb.START and self._fault is Fault.LIES:
            return 1, "no virtual machine came up"
        self.up = verb is Verb.START
        return 0, ""
