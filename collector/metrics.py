"""The metrics: every name in one place, read from a snapshot at the moment of the scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from collector.documents import KINDS, PHASES, Sighting
from collector.facts import ModeNow
from collector.log import DROPPED_AGE, DROPPED_BYTES, DROPPED_UNWRITTEN, MADE
from collector.mode_series import mode_series
from contract.config import Switch
from contract.journal import SwitchRecord
from contract.modes import Mode, Vms, Wanted

MODE_TIMEOUT: Final = "hltd_mode_timeout_seconds"
CORES: Final = "hltd_cores"
VMS: Final = "hltd_vms"
BOX_AGE: Final = "hltd_box_age_seconds"
ACTIVE_RUN: Final = "hltd_active_run"
STUCK: Final = "hltd_stuck"
SWITCH_PHASE: Final = "hltd_switch_phase_seconds"
SWITCHES: Final = "hltd_switches_total"
MADE_TOTAL: Final = "hltmode_documents_made_total"
DROPPED_TOTAL: Final = "hltmode_documents_dropped_total"
LOG_BYTES: Final = "hltmode_log_bytes"
LOG_UP: Final = "hltmode_log_up"
LATENESS: Final = "hltmode_sample_lateness_seconds"
LAST_SUCCESS: Final = "hltmode_sample_last_success_timestamp_seconds"
BOX_FAILURES: Final = "hltmode_box_read_failures_total"
JOURNAL_SEQ: Final = "hltmode_journal_seq"

PHASE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 600.0)
PHASES_TO: Final = {
    Wanted.CLOUD: ("check", "drain", "hand_over", "start_vms"),
    Wanted.HLT: ("stop_vms", "take_back"),
}
DROP_REASONS: Final = (DROPPED_AGE, DROPPED_BYTES, DROPPED_UNWRITTEN)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest sample found. Times are Unix seconds; `counts` as in collector.log.Log."""

    now: ModeNow = ModeNow()
    seen: Sighting = Sighting()
    cores: Mapping[str, int] = {}
    counts: Mapping[tuple[str, str], int] = {}
    log_bytes: int = 0
    log_up: bool = False
    journal_seq: int = 0
    box_failures: int = 0
    lateness_s: float = 0.0
    last_success_s: float = 0.0


class Metrics:
    """The registry of one node. The sampler replaces `snapshot`, `timeouts` and calls `ended` for each switch."""

    def __init__(self, host: str, appliance: str, timeouts: Switch) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped
        self.registry = CollectorRegistry()
        self.snapshot = Snapshot()
        self.timeouts = timeouts
        labels = {"host": host, "appliance": appliance}
        self._labels = labels
        self._phases = Histogram(
            SWITCH_PHASE,
            "Time that a switch spent in a phase.",
            [*labels, "phase", "to"],
            buckets=PHASE_BUCKETS_S,
            registry=self.registry,
        )
        self._switches = Counter(
            SWITCHES, "Switches that ended, by outcome.", [*labels, "to", "outcome"], registry=self.registry
        )
        # A series that appears with its first observation loses that one in every rate.
        for to, phases in PHASES_TO.items():
            self._switches.labels(**labels, to=to.value, outcome="done")
            for phase in phases:
                self._phases.labels(**labels, phase=phase, to=to.value)
        self.registry.register(_FromSnapshot(labels, lambda: (self.snapshot, self.timeouts)))

    def ended(self, record: SwitchRecord) -> None:
        """Counts a switch and the time of each of its phases."""
        self._switches.labels(**self._labels, to=record.to.value, outcome=record.outcome).inc()
        for phase in PHASES:
            if phase in record.phases:
                self._phases.labels(**self._labels, phase=phase, to=record.to.value).observe(record.phases[phase])


class _FromSnapshot(Collector):
    def __init__(self, labels: Mapping[str, str], read: Callable[[], tuple[Snapshot, Switch]]) -> None:
        self._labels = labels
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields every gauge and counter that comes from the snapshot."""
        shot, timeouts = self._read()
        yield from mode_series(shot.now.mode, shot.now.since_s, self._labels)
        limits = {mode.value: timeouts.timeout_s(mode) for mode in Mode if timeouts.timeout_s(mode)}
        yield self._gauge(
            MODE_TIMEOUT, "After how long in a mode a node is stuck; lasting modes have none.", limits, "mode"
        )
        yield self._gauge(
            CORES, "Core tokens by state; from the box file when the folders can't be read.", shot.cores, "state"
        )
        vms = {each.value: float(each is shot.now.vms) for each in Vms} if shot.now.vms else {}
        yield self._gauge(VMS, "State of the virtual machines: 1 for the one they are in.", vms, "state")
        yield from self._of_box(shot.seen)
        yield from self._of_agent(shot)

    def _of_box(self, seen: Sighting) -> Iterator[Metric]:
        box = seen.box
        age_s = seen.age_s(time.time())
        run = (max(box.activeRuns, default=0)) if box else None
        yield self._one(BOX_AGE, "Age of the newest box file that could be read.", age_s)
        yield self._one(ACTIVE_RUN, "Newest run at work on the node, 0 without one.", run)
        yield self._one(STUCK, "1 while a switch takes longer than it may.", box.stuck if box else None)

    def _of_agent(self, shot: Snapshot) -> Iterator[Metric]:
        made = CounterMetricFamily(
            MADE_TOTAL, "Documents made since the log was begun.", labels=[*self._labels, "kind"]
        )
        gone = CounterMetricFamily(
            DROPPED_TOTAL, "Documents dropped since the log was begun.", labels=[*self._labels, "kind", "reason"]
        )
        for kind in KINDS:
            made.add_metric([*self._labels.values(), kind], shot.counts.get((kind, MADE), 0))
            for reason in DROP_REASONS:
                gone.add_metric([*self._labels.values(), kind, reason], shot.counts.get((kind, reason), 0))
        yield made
        yield gone
        failures = CounterMetricFamily(BOX_FAILURES, "Looks at the box file that failed.", labels=list(self._labels))
        failures.add_metric(list(self._labels.values()), shot.box_failures)
        yield failures
        yield self._one(LOG_BYTES, "Bytes of the log in use.", shot.log_bytes)
        yield self._one(LOG_UP, "1 while the log takes documents.", shot.log_up)
        yield self._one(JOURNAL_SEQ, "Number of the last journal record read.", shot.journal_seq)
        yield self._one(LATENESS, "How much later than due the last sample on the grid began.", shot.lateness_s)
        yield self._one(
            LAST_SUCCESS, "When the last sample was put in the log, Unix seconds.", shot.last_success_s or None
        )

    def _one(self, name: str, text: str, value: float | None) -> Metric:
        family = GaugeMetricFamily(name, text, labels=list(self._labels))
        if value is not None:
            family.add_metric(list(self._labels.values()), float(value))
        return family

    def _gauge(self, name: str, text: str, values: Mapping[str, float], label: str) -> Metric:
        family = GaugeMetricFamily(name, text, labels=[*self._labels, label])
        for key, value in values.items():
            family.add_metric([*self._labels.values(), key], float(value))
        return family
