"""An event loop whose time stands still while there is something to do, and jumps to the next alarm when there isn't.

Work for other threads is done in place, so that the same calls in the same order always come to the same end.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


class NothingLeft(AssertionError):
    """No alarm is set, nothing can be read: whoever waits would wait for ever."""


class JumpingLoop(asyncio.SelectorEventLoop):
    """Starts at `now_s`. `before_work` is called before all work that the shell gives to its thread."""

    def __init__(self, now_s: float, before_work: Callable[[], None]) -> None:
        self.now_s = now_s
        self.mishaps: list[str] = []
        self._before_work = before_work
        self._at_rest: asyncio.Future[None] | None = None
        super().__init__(_Jumping(self))
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Returns the seconds of this loop."""
        return self.now_s

    def rest(self) -> None:
        """Runs until nothing can be done without time going by."""
        self._at_rest = self.create_future()
        self.run_until_complete(self._at_rest)
        self._at_rest = None

    def pass_s(self, seconds: float) -> None:
        """Runs until `seconds` have gone by, and everything due by then is done."""
        self.run_until_complete(asyncio.sleep(seconds))
        self.rest()

    def idle(self, timeout_s: float | None) -> None:
        """Called when there is nothing to do for `timeout_s`."""
        if self._at_rest is not None and not self._at_rest.done():
            self._at_rest.set_result(None)
        elif timeout_s is None:
            raise NothingLeft
        else:
            self.now_s += timeout_s

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # the stub's type variables can't be named here
        """Does the work at once. What is not given to the shell's own thread is a caller's reading."""
        if executor is not None:
            self._before_work()
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        died_of = context.get("exception")
        if died_of is None or isinstance(died_of, Exception):  # a kill is no mishap
            self.mishaps.append(f"{context.get('message')}: {died_of!r}")


class _Jumping(selectors.DefaultSelector):
    """Looks without waiting; tells the loop when it would have had to wait."""

    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Returns what is ready now."""
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._loop.idle(timeout)
        return ready
