"""The metrics of the sinks: accounts from the log, and what each shipper tells of its requests."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from collector.log.ledger import Account
from contract.metric_names import (
    SINK_BACKLOG,
    SINK_CAPTURED,
    SINK_DEAD,
    SINK_DEAD_LETTERS,
    SINK_DELIVERED,
    SINK_DROPPED,
    SINK_FAILURES,
    SINK_LAST_SUCCESS,
    SINK_LAST_TURN,
    SINK_OLDEST,
    SINK_REQUEST,
    SINK_UP,
)

REQUEST_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Trial(StrEnum):
    """Why a sink could not be given documents."""

    NO_ANSWER = "no_answer"
    BUSY = "busy"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    NOT_PREPARED = "not_prepared"
    WRONG_PRODUCT = "wrong_product"
    NOT_TRUSTED = "not_trusted"
    SECRETS = "secrets"
    LOG = "log"
    DEFECT = "defect"


class SinkMetrics:
    """The series of all sinks of one agent; `labels` are the agent's own."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self.labels = labels
        names = [*labels, "sink"]
        self.up = Gauge(SINK_UP, "1 while the sink takes documents.", names, registry=registry)
        self.success = Gauge(
            SINK_LAST_SUCCESS, "When the sink last took documents, Unix seconds.", names, registry=registry
        )
        self.turn = Gauge(
            SINK_LAST_TURN, "When the sink's shipper last did anything, Unix seconds.", names, registry=registry
        )
        self.failures = Counter(
            SINK_FAILURES, "Requests that failed, by reason.", [*names, "reason"], registry=registry
        )
        self.request = Histogram(
            SINK_REQUEST, "Time of a bulk request.", names, buckets=REQUEST_BUCKETS_S, registry=registry
        )

    def meter(self, sink: str) -> Meter:
        """Returns what the shipper of `sink` tells of its requests."""
        return Meter(self, sink)

    def forget(self, sink: str) -> None:
        """Takes the series of `sink` away."""
        names = [*self.labels.values(), sink]
        for each in (self.up, self.success, self.turn, self.request):
            each.remove(*names)
        for trial in Trial:
            self.failures.remove(*names, trial.value)


class Meter:
    """The series of one sink, all there from the beginning."""

    def __init__(self, metrics: SinkMetrics, sink: str) -> None:
        labels = dict(metrics.labels) | {"sink": sink}
        self._up = metrics.up.labels(**labels)
        self._success = metrics.success.labels(**labels)
        self._turn = metrics.turn.labels(**labels)
        self._request = metrics.request.labels(**labels)
        self._failures = {trial: metrics.failures.labels(**labels, reason=trial.value) for trial in Trial}

    def took(self, seconds: float) -> None:
        """Counts a bulk request."""
        self._request.observe(seconds)

    def succeeded(self) -> None:
        """Takes note that the sink took documents."""
        self._up.set(1)
        self._success.set_to_current_time()

    def failed(self, trial: Trial) -> None:
        """Counts a failure."""
        self._up.set(0)
        self._failures[trial].inc()

    def turned(self) -> None:
        """Takes note that the shipper is alive."""
        self._turn.set_to_current_time()


ACCOUNT: Final = (
    (SINK_CAPTURED, "Documents captured for the sink, and those asked for again.", "captured"),
    (SINK_DELIVERED, "Documents that the sink has taken.", "delivered"),
    (SINK_DEAD, "Documents that the sink has refused for good.", "dead"),
    (SINK_DROPPED, "Documents that the log dropped before the sink had taken them.", "dropped"),
)


def account_series(labels: Mapping[str, str], accounts: Mapping[str, Account]) -> Iterator[Metric]:
    """Yields the accounts of the sinks; at any moment captured = delivered + dead + dropped + backlog."""
    names = [*labels, "sink"]
    for name, text, field in ACCOUNT:
        family = CounterMetricFamily(name, text, labels=names)
        for sink, account in accounts.items():
            family.add_metric([*labels.values(), sink], getattr(account, field))
        yield family
    now_s = time.time()
    backlog = GaugeMetricFamily(SINK_BACKLOG, "Documents that the sink has still to get.", labels=names)
    oldest = GaugeMetricFamily(SINK_OLDEST, "Age of the oldest document of the backlog, 0 without one.", labels=names)
    letters = GaugeMetricFamily(SINK_DEAD_LETTERS, "Dead letters listed in the log.", labels=names)
    for sink, account in accounts.items():
        values = [*labels.values(), sink]
        backlog.add_metric(values, account.backlog)
        oldest.add_metric(values, 0.0 if account.oldest_s is None else max(0.0, now_s - account.oldest_s))
        letters.add_metric(values, account.dead_letters)
    yield from (backlog, oldest, letters)
