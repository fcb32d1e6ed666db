"""Ships the log to one sink, in a thread of its own: nothing that happens here delays a sample.

The newest documents go first, so that panels are live as soon as a server is back; the past fills in behind, at a
bounded rate, with two requests in flight. Nothing is asked before it is sent again: id and index of a document never
change, so a server that has it already answers 409, which is as good as 201.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple

from collector.index.clients import IndexTrouble, NoAnswer, NotReached, NotTrusted, WrongProduct
from collector.log.schema import LogTrouble
from collector.shipping.backoff import Bucket, Pace
from collector.shipping.bulk import Fault, Outcome
from collector.shipping.deliveries import Deliveries, Limits
from collector.shipping.lane import Flight, Lane
from collector.shipping.metrics import Meter, Trial
from collector.shipping.prepared import NotPrepared
from collector.shipping.sending import Sender
from collector.trouble import Trouble
from contract.errors import ConfigError
from contract.sink import Sink

log = logging.getLogger("collector")

LIVE_S: Final = 30.0  # what is older is backlog
IDLE_S: Final = 60.0
LOG_TROUBLE_S: Final = 5.0
DEFECT_S: Final = 20.0
STOP_S: Final = 2.0
LANES: Final = ("live", "past")

TRIALS: Final[tuple[tuple[type[Exception], Trial, Fault], ...]] = (
    (NotPrepared, Trial.NOT_PREPARED, Fault.SURROUNDINGS),
    (WrongProduct, Trial.WRONG_PRODUCT, Fault.SURROUNDINGS),
    (NotTrusted, Trial.NOT_TRUSTED, Fault.SURROUNDINGS),
    (NotReached, Trial.NO_ANSWER, Fault.NOT_REACHED),
    (NoAnswer, Trial.NO_ANSWER, Fault.NO_ANSWER),
    (IndexTrouble, Trial.REFUSED, Fault.SURROUNDINGS),
    (ConfigError, Trial.SECRETS, Fault.SURROUNDINGS),
)
TRIAL_OF: Final = {Fault.BUSY: Trial.BUSY, Fault.SURROUNDINGS: Trial.REFUSED, Fault.TOO_LARGE: Trial.TOO_LARGE}


class Pause(NamedTuple):
    """How long to wait before the next turn; `deaf` to new samples."""

    s: float
    deaf: bool = False


class Shipper:
    """Ships to `sink` what the log at `path` holds for it; `nodes` says how many filter units the log tells of.

    `doubt` as in Deliveries.
    """

    def __init__(
        self,
        sink: Sink,
        path: Path,
        subsystem: str,
        meter: Meter,
        nodes: Callable[[], int],
        doubt: Callable[[int], None],
    ) -> None:
        self.sink = sink
        self._deliveries = Deliveries(path, sink.name, doubt)
        self._landed: SimpleQueue[Flight] = SimpleQueue()
        # Only the first sends live documents, so what is shown as current never goes back.
        self._lanes = [
            Lane(f"sink-{sink.name}-{lane}", Sender(sink, subsystem, meter.took), self._landed) for lane in LANES
        ]
        self._meter = meter
        self._nodes = nodes
        self._pace = Pace(most=sink.batch_documents, documents=sink.batch_documents, hosts=len(sink.hosts))
        self._bucket = Bucket(sink.backlog_per_s, 1.0, time.monotonic())
        self._trouble = Trouble(f"sink {sink.name}: takes documents again")
        self._news = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{sink.name}", daemon=True)

    def start(self) -> None:
        """Begins to ship."""
        self._thread.start()

    def wake(self) -> None:
        """Says that there may be new documents."""
        self._news.set()

    def stop(self) -> None:
        """Ends; a request that hangs is left behind, for it makes no difference whether it arrives."""
        self._ending.set()
        self._news.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._news.clear()
            pause = self._turn()
            self._meter.turned()
            (self._ending if pause.deaf else self._news).wait(pause.s)
        for lane in self._lanes:
            if lane.batch is None:
                lane.sender.close()
        self._deliveries.close()

    def _turn(self) -> Pause:
        try:
            return self._ship()
        except LogTrouble as error:
            self._trouble.say(f"sink {self.sink.name}: {error}")
            self._meter.failed(Trial.LOG)
            return Pause(LOG_TROUBLE_S, deaf=True)
        except Exception:
            log.exception("sink %s: a defect; tried again in %g s", self.sink.name, DEFECT_S)
            self._meter.failed(Trial.DEFECT)
            return Pause(DEFECT_S, deaf=True)

    def _ship(self) -> Pause:
        """Fills the free lanes and waits for what lands first."""
        for lane in self._lanes:
            if lane.batch is None and not self._launched(lane):
                break
            if self._pace.failures:
                break  # one request shows whether all is well again
        if all(lane.batch is None for lane in self._lanes):
            return Pause(min(IDLE_S, self._bucket.full_in_s or IDLE_S))
        return self._account(self._landed.get())

    def _launched(self, lane: Lane) -> bool:
        """Sends the next batch through `lane`; returns whether there may be more to send."""
        self._bucket = self._bucket.at(time.monotonic(), self.sink.backlog_per_s * max(1, self._nodes()))
        live_s = time.time() - LIVE_S
        limits = Limits(self._pace.documents, self.sink.batch_bytes, live_s, int(self._bucket.tokens))
        beside = tuple(span for each in self._lanes if each.batch for span in each.batch.spans)
        batch = self._deliveries.newest(limits, beside)
        older = sum(row.time_s < live_s for row in batch.rows)
        if lane is not self._lanes[0] and older < len(batch.rows):
            return False
        if batch.rows:
            self._bucket = self._bucket.taken(older)
            lane.send(batch, live_s)
        elif batch.spans:
            self._deliveries.settle(batch, Outcome())
        return batch.more

    def _account(self, flight: Flight) -> Pause:
        """Writes down what became of a request; returns how long to wait before the next."""
        flight.lane.batch = None
        sent, result = len(flight.batch.rows), flight.result
        if isinstance(result, IndexTrouble | ConfigError):
            trial, fault = next((trial, fault) for kind, trial, fault in TRIALS if isinstance(result, kind))
            return self._failed(flight.lane, sent, trial, fault, str(result))
        if isinstance(result, Exception):
            flight.lane.sender.close()
            raise result
        self._deliveries.settle(flight.batch, result)
        for number, reason in result.dead:
            log.warning("sink %s: document %d refused for good: %s", self.sink.name, number, reason)
        if result.fault is not None:
            words = f"{flight.lane.sender.where}: HTTP {result.reason}"
            return self._failed(flight.lane, sent, TRIAL_OF[result.fault], result.fault, words)
        self._pace = self._pace.succeeded()
        self._trouble.say("")
        self._meter.succeeded()
        return Pause(0.0)

    def _failed(self, lane: Lane, sent: int, trial: Trial, fault: Fault, words: str) -> Pause:
        self._trouble.say(f"sink {self.sink.name}: {words}; nothing is lost, tried again")
        self._meter.failed(trial)
        if fault is Fault.SURROUNDINGS:
            lane.sender.close()
        self._pace = self._pace.failed(sent, fault)
        return Pause(self._pace.wait_s(fault, random.random()), deaf=True)  # noqa: S311 - jitter
