"""Time as a simulated farm has it: a clock that may run faster than ours, and alarms on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from switcher import clock
from switcher.timeline import Now


class Alarm(Protocol):
    """Something that will be called."""

    def cancel(self) -> None:
        """Takes it back."""


class Clock(Protocol):
    """What a simulated node knows of time, in simulated seconds."""

    def now(self) -> Now:
        """Returns the moment."""

    def later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> Alarm:
        """Has `call` called in `delay_s`."""

    def outside_s(self) -> float:
        """Returns the moment as those outside have it: Unix seconds of a clock that nobody sets."""


class LoopClock:
    """The event loop's clock, `speed` times as fast; it starts with the true date, so dates run ahead of ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float = 1.0) -> None:
        self._loop = loop
        self._speed = speed
        self._began = clock.now()
        self._began_s = loop.time()

    def now(self) -> Now:
        """Returns the moment."""
        passed_s = (self._loop.time() - self._began_s) * self._speed
        return Now(self._began.wall_s + passed_s, self._began.boot_s + passed_s)

    def outside_s(self) -> float:
        """Returns the moment as those outside have it."""
        return self._began.wall_s + self._loop.time() - self._began_s

    def later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> Alarm:
        """Has `call` called in `delay_s`."""
        return self._loop.call_later(max(0.0, delay_s) / self._speed, call, *arguments)
