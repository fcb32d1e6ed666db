"""The alarm clocks of the machine: how long each waits, on the event loop's steady clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from contract.config import NodeConfig
from switcher import clock
from switcher.events import Event, Timer, Wake, Woke
from switcher.states import State, mode
from switcher.timeline import Timeline, elapsed_s

LONGEST_RETRY_S: Final = 60.0
POLL_S: Final = 1.0
SLOW_POLL_S: Final = 10.0
SLOW_POLL_AFTER: Final = 100  # errors of the status question; hltd gives up there, we ask more seldom
STOP_AGAIN_S: Final = 60.0  # hltd contract: cloud -> HLT, 2


class Alarms:
    """Sets alarm clocks; one that rings calls `ring` with its event."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[Event], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handles: dict[Timer, asyncio.TimerHandle] = {}
        self._jobs: asyncio.TimerHandle | None = None

    def set(self, wake: Wake, config: NodeConfig, state: State, timeline: Timeline) -> None:
        """Sets the clock of `wake` anew."""
        if wake.timer in self._handles:
            self._handles[wake.timer].cancel()
        delay = wake.after_s if wake.after_s is not None else delay_s(wake, config, state, timeline)
        self._handles[wake.timer] = self._loop.call_later(max(0.0, delay), self._ring, Woke(wake.timer))

    def restart_jobs(self, due_s: float | None, poke: Callable[[], None]) -> None:
        """Calls `poke` at `due_s` on the loop's clock, if that is a time."""
        if self._jobs is not None:
            self._jobs.cancel()
        self._jobs = self._loop.call_at(due_s, poke) if due_s is not None else None

    def cancel_all(self) -> None:
        """Silences every clock."""
        for handle in self._handles.values():
            handle.cancel()
        if self._jobs is not None:
            self._jobs.cancel()


def delay_s(wake: Wake, config: NodeConfig, state: State, timeline: Timeline) -> float:
    """Returns how long the clock of `wake` waits, less what has passed already of a switch under way."""
    now = clock.now()
    if wake.timer is Timer.RETRY:
        return float(min(LONGEST_RETRY_S, 2 ** min(wake.attempt - 1, 10)))
    if wake.timer is Timer.POLL:
        return POLL_S if wake.attempt < SLOW_POLL_AFTER else SLOW_POLL_S
    if wake.timer is Timer.STOP_AGAIN:
        return STOP_AGAIN_S
    if wake.timer is Timer.CHECK:
        return config.igniter.check_every_s
    if wake.timer is Timer.KILL:
        return config.switch.kill_grace_s
    if wake.timer is Timer.STUCK:
        return config.switch.timeout_s(mode(state)) - elapsed_s(timeline.mode_since, now)
    journey, request = timeline.journey, state.switch
    if journey is None or request is None or request.deadline_s is None:
        return 0.0
    # One that a later request brought counts anew after a restart: rather late than early, for it kills jobs.
    came_later = request.deadline_s != journey.request.deadline_s
    return request.deadline_s - (0.0 if came_later else elapsed_s(journey.started, now))
