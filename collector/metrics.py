"""The metrics: every name in one place, read from a snapshot at the moment of the scrape."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from collector.documents import KINDS
from collector.log.ledger import Account
from collector.log.schema import DROPPED_AGE, DROPPED_BYTES, DROPPED_DAMAGED, DROPPED_UNWRITTEN, MADE
from collector.mode_series import ModeRow, mode_series
from collector.shipping.metrics import SinkMetrics, account_series
from collector.sources.looks import NodeLook, Switched
from contract.box import box_mode
from contract.config import Limits, Node, Role, Switch
from contract.journal import PHASES
from contract.metric_names import (
    ACTIVE_RUN,
    AGENT_LIMIT,
    BLOCKER,
    BOX_AGE,
    BOX_FAILURES,
    CHANGES_LIMIT,
    CLOCK,
    CLOCK_SKEW,
    CLOCK_STEPS,
    CORES,
    DROPPED_TOTAL,
    INTERVAL,
    JOURNAL_SEQ,
    LAST_SUCCESS,
    LATENESS,
    LIMIT,
    LOG_BEGUN,
    LOG_BYTES,
    LOG_UP,
    MADE_TOTAL,
    MODE_BOX_DISAGREES,
    MODE_TIMEOUT,
    OF_BACKLOG_AGE,
    OF_BOX_AGE,
    OF_CLOCK_OFF,
    OF_SAMPLE_AGE,
    STUCK,
    SWITCH_PHASE,
    SWITCHES,
    VMS,
)
from contract.modes import Mode, Vms, Wanted

PHASE_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 600.0)
LONGEST_LABEL: Final = 200
PHASES_TO: Final = {
    Wanted.CLOUD: ("check", "drain", "hand_over", "start_vms"),
    Wanted.HLT: ("stop_vms", "take_back"),
}
SAMPLES_MISSED: Final = 3.0  # of an agent that samples seldom
DROP_REASONS: Final = (DROPPED_AGE, DROPPED_BYTES, DROPPED_UNWRITTEN, DROPPED_DAMAGED)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest sample found. Times are Unix seconds; `counts` and `accounts` as in collector.log.store.Log."""

    nodes: tuple[NodeLook, ...] = ()
    counts: Mapping[tuple[str, str], int] = {}
    accounts: Mapping[str, Account] = {}
    log_bytes: int = 0
    log_up: bool = False
    log_begun_s: float = 0.0
    journal_seq: int = 0
    box_failures: int = 0
    interval_s: float = 0.0
    lateness_s: float = 0.0
    last_success_s: float = 0.0


class Metrics:
    """The registry of one agent. The sampler replaces `snapshot`, `timeouts` and `limits`."""

    def __init__(
        self,
        node: Node,
        role: Role,
        timeouts: Switch,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped
        self.registry = CollectorRegistry()
        self.timeouts = timeouts
        self.limits = limits
        appliance = node.appliance or (node.host if role is Role.APPLIANCE else "")
        self._labels = {"host": node.host, "appliance": appliance}
        self._hosts: set[str] = set()
        self._phases = Histogram(
            SWITCH_PHASE,
            "Time that a switch spent in a phase.",
            [*self._labels, "phase", "to"],
            buckets=PHASE_BUCKETS_S,
            registry=self.registry,
        )
        self._switches = Counter(
            SWITCHES, "Switches that ended, by outcome.", [*self._labels, "to", "outcome"], registry=self.registry
        )
        self._steps = Counter(
            CLOCK_STEPS,
            "How often the wall clock was set by more than a second.",
            [*self._labels],
            registry=self.registry,
        ).labels(**self._labels)
        self.sinks = SinkMetrics(self.registry, self._labels)
        self.snapshot = Snapshot()
        if role is Role.NODE:
            self._expect(node.host)
            self.snapshot = Snapshot(nodes=(NodeLook(host=node.host, appliance=appliance),))
        self.registry.register(_FromSnapshot(self._labels, lambda: (self.snapshot, self.timeouts, self.limits)))

    def show(self, snapshot: Snapshot) -> None:
        """Has scrapes show `snapshot` from now on."""
        for node in snapshot.nodes:
            if node.observed:
                self._expect(node.host)
        self.snapshot = snapshot

    def ended(self, switch: Switched) -> None:
        """Counts a switch and the time of each of its phases."""
        self._expect(switch.host)
        labels = self._labels | {"host": switch.host, "to": switch.to.value}
        self._switches.labels(**labels, outcome=switch.outcome).inc()
        for phase in PHASES:
            if phase in switch.phases:
                self._phases.labels(**labels, phase=phase).observe(switch.phases[phase])

    def clock_was_set(self) -> None:
        """Counts a step of the wall clock."""
        self._steps.inc()

    def _expect(self, host: str) -> None:
        """Shows the series of a host's switches at 0: one that appears with its first loses that one in every rate."""
        if host in self._hosts:
            return
        self._hosts.add(host)
        labels = self._labels | {"host": host}
        for to, phases in PHASES_TO.items():
            self._switches.labels(**labels, to=to.value, outcome="done")
            for phase in phases:
                self._phases.labels(**labels, phase=phase, to=to.value)


class _FromSnapshot(Collector):
    def __init__(self, labels: Mapping[str, str], read: Callable[[], tuple[Snapshot, Switch, Limits]]) -> None:
        self._labels = labels
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields every gauge and counter that comes from the snapshot."""
        shot, timeouts, limits = self._read()
        yield from self._of_nodes(shot.nodes, timeouts)
        yield from self._limits_of_nodes(shot.nodes, limits)
        yield from self._of_agent(shot)
        yield self._agent_limits(shot, limits)

    def _of_nodes(self, nodes: Sequence[NodeLook], timeouts: Switch) -> Iterator[Metric]:
        now_s = time.time()
        yield from mode_series(
            list(self._labels),
            [ModeRow((each.host, each.appliance), each.now.mode, each.now.since_s) for each in nodes],
        )
        limits = {mode.value: timeouts.timeout_s(mode) for mode in Mode if timeouts.timeout_s(mode)}
        text = "After how long in a mode a node is stuck; lasting modes have none."
        yield self._each(MODE_TIMEOUT, text, nodes, lambda _node: limits, "mode")
        text = "Core tokens by state; from the box file when the folders can't be read."
        yield self._each(CORES, text, nodes, lambda node: node.cores, "state")
        text = "State of the virtual machines: 1 for the one they are in."
        yield self._each(VMS, text, nodes, lambda node: _vms(node.now.vms), "state")
        text = "Age of the newest box file that could be read."
        yield self._each(BOX_AGE, text, nodes, lambda node: _one_value(node.seen.age_s(now_s)))
        text = "Newest run at work on the node, 0 without one."
        yield self._each(ACTIVE_RUN, text, nodes, lambda node: _one_value(_run(node)))
        text = "1 for what the node waits for right now; nothing while it waits for nothing."
        yield self._each(BLOCKER, text, nodes, _blocker, "blocker")
        text = "1 while the box file tells another mode than the mode file."
        yield self._each(MODE_BOX_DISAGREES, text, nodes, lambda node: _one_value(_disagrees(node)))
        text = "How far the node's clock is ahead of its BU's, by its box file; behind, it is negative."
        yield self._each(CLOCK_SKEW, text, nodes, lambda node: _one_value(node.seen.ahead_s()))
        text = "1 while a switch takes longer than it may."
        yield self._each(STUCK, text, nodes, lambda node: _one_value(node.seen.box.stuck if node.seen.box else None))

    def _limits_of_nodes(self, nodes: Sequence[NodeLook], limits: Limits) -> Iterator[Metric]:
        seconds = {OF_BOX_AGE: limits.box_age_s, OF_CLOCK_OFF: limits.clock_off_s}
        text = "From when on something about the node is wrong."
        yield self._each(LIMIT, text, nodes, lambda _node: seconds, "of")
        text = "How many changes of mode in half an hour are too many."
        yield self._each(CHANGES_LIMIT, text, nodes, lambda _node: _one_value(limits.mode_changes))

    def _agent_limits(self, shot: Snapshot, limits: Limits) -> Metric:
        family = GaugeMetricFamily(
            AGENT_LIMIT, "From when on something about the collector is wrong.", labels=[*self._labels, "of"]
        )
        sample_age_s = max(limits.sample_age_s, SAMPLES_MISSED * shot.interval_s)
        seconds = {
            OF_CLOCK_OFF: limits.clock_off_s, OF_SAMPLE_AGE: sample_age_s, OF_BACKLOG_AGE: limits.backlog_age_s,
        }  # fmt: skip
        for of, value in seconds.items():
            family.add_metric([*self._labels.values(), of], value)
        return family

    def _each(
        self,
        name: str,
        text: str,
        nodes: Iterable[NodeLook],
        values: Callable[[NodeLook], Mapping[str, float]],
        *label: str,
    ) -> Metric:
        """Returns a gauge with the `values` of each node, by `label`."""
        family = GaugeMetricFamily(name, text, labels=[*self._labels, *label])
        for node in nodes:
            for key, value in values(node).items():
                family.add_metric([node.host, node.appliance, *([key] if label else [])], float(value))
        return family

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
        yield from account_series(self._labels, shot.accounts)
        failures = CounterMetricFamily(BOX_FAILURES, "Looks at the box file that failed.", labels=list(self._labels))
        failures.add_metric(list(self._labels.values()), shot.box_failures)
        yield failures
        yield self._one(LOG_BYTES, "Bytes of the log in use.", shot.log_bytes)
        yield self._one(LOG_UP, "1 while the log takes documents.", shot.log_up)
        yield self._one(
            LOG_BEGUN,
            "When the log was begun, Unix seconds; a damaged one is made anew of what can be read.",
            shot.log_begun_s or None,
        )
        yield self._one(JOURNAL_SEQ, "Number of the last journal record read.", shot.journal_seq)
        yield self._one(CLOCK, "The collector's clock at the scrape, Unix seconds.", time.time())
        yield self._one(INTERVAL, "Time from one sample to the next.", shot.interval_s or None)
        yield self._one(LATENESS, "How much later than due the last sample on the grid began.", shot.lateness_s)
        yield self._one(
            LAST_SUCCESS, "When the last sample was put in the log, Unix seconds.", shot.last_success_s or None
        )

    def _one(self, name: str, text: str, value: float | None) -> Metric:
        family = GaugeMetricFamily(name, text, labels=list(self._labels))
        if value is not None:
            family.add_metric(list(self._labels.values()), float(value))
        return family


def _vms(vms: Vms | None) -> dict[str, float]:
    return {each.value: float(each is vms) for each in Vms} if vms else {}


def _one_value(value: float | None) -> dict[str, float]:
    return {} if value is None else {"": value}


def _blocker(node: NodeLook) -> dict[str, float]:
    """Returns the blocker without what changes from lumisection to lumisection: each value is a series."""
    words = re.sub(r" \([^)]*\)", "", node.seen.box.blocker or "") if node.seen.box else ""
    return {words[:LONGEST_LABEL]: 1.0} if words else {}


def _disagrees(node: NodeLook) -> bool | None:
    told = box_mode(node.seen.box)
    return None if told is None or node.now.mode is None else told is not node.now.mode


def _run(node: NodeLook) -> int | None:
    return max(node.seen.box.activeRuns, default=0) if node.seen.box else None
