"""Reads files that may hang: the reading goes on in its own thread, and whoever asks waits briefly."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Generic, TypeVar

from contract.errors import MountHangs
from contract.mount import Mount

T = TypeVar("T")
WAIT_S: Final = 0.2


class SlowFiles(Generic[T]):
    """Asks one `question` at a time, in a thread of its own. `name` is what hangs, in errors."""

    def __init__(self, name: str, question: Callable[[], T], hangs_after_s: float) -> None:
        self.hangs_after_s = hangs_after_s
        self._name = name
        self._question = question
        self._mount = Mount(name)
        self._pending: Future[T] | None = None
        self._since_s = 0.0

    def answer(self) -> T | None:
        """Returns the answer, or None while it is out; a later call returns it then.

        Raises MountHangs while it is overdue, and what the question raises.
        """
        if self._pending is None:
            self._pending = self._mount.submit(self._question)
            self._since_s = time.monotonic()
            wait_s = min(WAIT_S, self.hangs_after_s)
        else:
            wait_s = 0.0
        if not wait([self._pending], wait_s).done:
            if time.monotonic() - self._since_s > self.hangs_after_s:
                raise MountHangs(f"{self._name}: no answer within {self.hangs_after_s:g} s; check the mount")
            return None
        answered, self._pending = self._pending, None
        return answered.result()

    def stop(self) -> None:
        """Lets the thread end, unless the files hold it."""
        self._mount.close()
