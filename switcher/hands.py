"""A thread that does file work beside the event loop, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

log = logging.getLogger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Hands:
    """One thread's file work; what is asked for first is done first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hands")
        self._trouble: dict[str, str] = {}

    async def do(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Returns what `work` returns. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def attempt(self, work: Callable[[*Ts], object], *args: *Ts) -> None:
        """Does work whose failure is logged, once for as long as it lasts, and tried again at the next look."""
        name = getattr(work, "__qualname__", repr(work))
        try:
            await self.do(work, *args)
        except OSError as error:
            words = f"{error.filename}: {error.strerror}"
            if self._trouble.get(name) != words:
                log.error("%s; tried again at the next look", words)
            self._trouble[name] = words
        else:
            self._trouble.pop(name, None)

    def stop(self) -> None:
        """Ends the thread when its work is done."""
        self._thread.shutdown()
