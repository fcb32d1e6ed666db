"""The series that say which mode a node is in, alike on /metrics and in a textfile. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from contract.modes import Mode

MODE: Final = "hltd_mode"
MODE_SINCE: Final = "hltd_mode_since_timestamp_seconds"


def mode_series(mode: Mode | None, since_s: float | None, labels: Mapping[str, str]) -> Iterator[Metric]:
    """Yields `hltd_mode`, always four series of 0 or 1 (all 0: unknown), and since when (Unix seconds), if known."""
    states = GaugeMetricFamily(
        MODE, "Mode of the node: 1 for the one it is in, all 0 when unknown.", labels=[*labels, "mode"]
    )
    for each in Mode:
        states.add_metric([*labels.values(), each.value], float(each is mode))
    yield states
    since = GaugeMetricFamily(MODE_SINCE, "When the node entered its mode, Unix seconds.", labels=list(labels))
    if mode is not None and since_s is not None:
        since.add_metric(list(labels.values()), since_s)
    yield since
