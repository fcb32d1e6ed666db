"""A way to a sink for one request at a time, in a thread of its own."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import NamedTuple

from collector.shipping.bulk import Outcome
from collector.shipping.deliveries import Batch
from collector.shipping.sending import Sender


class Flight(NamedTuple):
    """A batch that has landed in `lane`, and what became of it: an outcome, or why nobody knows."""

    lane: Lane
    batch: Batch
    result: Outcome | Exception


class Lane:
    """Sends by `sender` and puts what became of it into `landed`.

    The thread is left behind when the process ends: it makes no difference whether a request arrives.
    """

    def __init__(self, name: str, sender: Sender, landed: SimpleQueue[Flight]) -> None:
        self.sender = sender
        self.batch: Batch | None = None  # on its way
        self._name = name
        self._landed = landed
        self._next: SimpleQueue[tuple[Batch, float]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, batch: Batch, live_s: float) -> None:
        """Sends `batch` when the one before has landed; boxes from after `live_s` are shown as current besides."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self.batch = batch
        self._next.put((batch, live_s))

    def _run(self) -> None:
        while True:
            batch, live_s = self._next.get()
            try:
                result: Outcome | Exception = self.sender.send(batch.rows, live_s)
            except Exception as error:
                result = error
            self._landed.put(Flight(self, batch, result))
