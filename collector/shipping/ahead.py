"""Reads the next documents of a backlog while the ones before them are on their way."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from collector.log.pending import Pending
from collector.log.schema import LogTrouble
from collector.shipping.deliveries import Batch, Deliveries, Limits


class Ahead:
    """One batch at most, read in a thread of its own with its own way to the log."""

    def __init__(self, path: Path, sink: str) -> None:
        self._deliveries = Deliveries(path, sink)
        self._thread = ThreadPoolExecutor(1, f"ahead-{sink}")
        self._batch: Future[Batch] | None = None

    def read(self, limits: Limits, beside: Pending) -> None:
        """Begins to read what comes after the spans `beside`."""
        self._batch = self._thread.submit(self._deliveries.newest, limits, beside)

    def take(self) -> Batch | None:
        """Returns what was read, None when there is nothing."""
        batch, self._batch = self._batch, None
        try:
            found = batch.result() if batch else None
        except LogTrouble:
            return None
        return found if found and found.rows else None

    def forget(self) -> None:
        """Lets go of what was read: it is no longer what comes next."""
        self._batch = None

    def stop(self) -> None:
        """Closes the log and ends the thread."""
        self._thread.submit(self._deliveries.close)
        self._thread.shutdown()
