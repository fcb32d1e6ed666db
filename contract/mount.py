"""Work on a folder that may stop answering, such as a dead NFS mount.

A system call on a dead mount can't be interrupted, so it gets a thread of its own; the caller waits for a bounded
time only. While one call hangs, later ones fail at once instead of queueing behind it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from contract.errors import MountHangs

T = TypeVar("T")
Job = tuple["Future[Any]", Callable[[], Any]]


class Mount:
    """A folder, named `name` in errors, whose calls run one by one in one daemon thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._pending = 0
        self._overdue = False
        self._lock = threading.Lock()
        threading.Thread(target=self._serve, name=f"mount {name}", daemon=True).start()

    @property
    def hangs(self) -> bool:
        """True from a call that ran over its time limit until the folder answers again."""
        return self._overdue

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Hands `work` to the thread. Raises MountHangs at once while an overdue call is still under way."""
        future: Future[T] = Future()
        with self._lock:
            if self._overdue:
                raise MountHangs(f"{self.name}: does not answer; check the mount")
            self._pending += 1
        self._jobs.put((future, work))
        return future

    def call(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """Returns what `work` returns, waiting at most `timeout_s`. Raises MountHangs, or what `work` raises."""
        future = self.submit(work)
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            raise self.overdue(timeout_s) from error

    def overdue(self, timeout_s: float) -> MountHangs:
        """Marks the folder as hanging and returns the error to raise."""
        with self._lock:
            self._overdue = self._pending > 0
        return MountHangs(f"{self.name}: no answer within {timeout_s:g} s; check the mount")

    def close(self) -> None:
        """Lets the thread end after what it is doing."""
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work = job
            result: Any = None
            failure: Exception | None = None
            try:
                if future.set_running_or_notify_cancel():
                    result = work()
            except Exception as error:
                failure = error
            with self._lock:
                self._pending -= 1
                if self._pending == 0:
                    self._overdue = False
            if future.cancelled():
                continue
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)
