"""What the follower tells Prometheus, read from one snapshot at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contract.beam import BeamMode, Warned
from contract.metric_names import (
    BEAM_HEARD,
    BEAM_MODE,
    BEAM_MODE_SINCE,
    FOLLOW_DECISIONS,
    FOLLOW_HELD,
    FOLLOW_LAST_TICK,
    FOLLOW_LOOKED,
    FOLLOW_NODES,
    FOLLOW_OWN_NODES,
    FOLLOW_SILENT_NODES,
    FOLLOW_UNDER_WAY,
    FOLLOW_WANTED,
    FOLLOW_WARNING,
)
from contract.modes import Mode, Wanted
from fleet.follow.decision import Act
from fleet.follow.policy import Want

COUNTED = (Act.TO_CLOUD, Act.TO_HLT, Act.CUT_SHORT)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What the follower knows at a moment. Times are Unix seconds; `modes` has how many nodes are in which."""

    beam: BeamMode | None = None
    beam_since_s: float | None = None
    heard_s: float | None = None
    wanted: Wanted | None = None
    held: bool = False
    modes: Mapping[Mode, int] = {}
    silent: int = 0
    own: int = 0
    under_way: frozenset[Wanted] = frozenset()
    warned: frozenset[Warned] = frozenset()
    decisions: Mapping[Act, int] = {}
    tick_s: float = 0.0
    looked_s: float | None = None


def registry(shown: Callable[[], Shown]) -> CollectorRegistry:
    """Returns a registry whose scrapes show what `shown` returns."""
    made = CollectorRegistry()
    made.register(_Series(shown))
    return made


class _Series(Collector):
    def __init__(self, shown: Callable[[], Shown]) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        """Yields every series."""
        shown = self._shown()
        yield from _of_beam(shown)
        yield _states(
            FOLLOW_WANTED, "Where the policy wants the farm; stay: where it is.", "mode",
            {want.value: want.value == (shown.wanted or Want.STAY).value for want in Want},
        )  # fmt: skip
        yield _one(FOLLOW_HELD, "Whether somebody has the policy send nobody to the cloud.", float(shown.held))
        nodes = {mode.value: float(shown.modes.get(mode, 0)) for mode in Mode}
        yield _states(FOLLOW_NODES, "Nodes of the policy by the mode they were seen in.", "mode", nodes)
        yield _one(FOLLOW_SILENT_NODES, "Nodes of the policy that did not answer.", float(shown.silent))
        yield _one(FOLLOW_OWN_NODES, "Nodes that the policy has sent and that are not back.", float(shown.own))
        yield _states(
            FOLLOW_UNDER_WAY, "Whether an operation of the policy is under way.", "to",
            {to.value: to in shown.under_way for to in Wanted},
        )  # fmt: skip
        yield _states(
            FOLLOW_WARNING, "Of what the follower warns now.", "kind",
            {kind.value: kind in shown.warned for kind in Warned},
        )  # fmt: skip
        counted = CounterMetricFamily(FOLLOW_DECISIONS, "Decisions since the follower started.", labels=["kind"])
        for act in COUNTED:
            counted.add_metric([act.value], float(shown.decisions.get(act, 0)))
        yield counted
        yield _one(FOLLOW_LAST_TICK, "When the follower decided last, also that nothing is to be done.", shown.tick_s)
        if shown.looked_s is not None:
            yield _one(FOLLOW_LOOKED, "When the nodes were looked at last.", shown.looked_s)


def _of_beam(shown: Shown) -> Iterator[Metric]:
    """The beam mode is there only while it is known: the rules take a missing series for a mode that nobody knows."""
    if shown.beam is not None:
        modes = {mode.value: mode is shown.beam for mode in BeamMode}
        yield _states(BEAM_MODE, "The LHC's beam mode: 1 for the one it is in.", "mode", modes)
        if shown.beam_since_s is not None:
            yield _one(BEAM_MODE_SINCE, "Since when the beam is in this mode, as it was heard.", shown.beam_since_s)
    if shown.heard_s is not None:
        yield _one(BEAM_HEARD, "When the source said a beam mode last.", shown.heard_s)


def _states(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for each, value in values.items():
        family.add_metric([each], float(value))
    return family


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
