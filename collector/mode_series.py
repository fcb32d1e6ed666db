"""The series that say which mode a node is in, alike on /metrics and in a textfile. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from contract.metric_names import MODE, MODE_SINCE
from contract.modes import Mode


class ModeRow(NamedTuple):
    """One node: the values of its labels, its mode (None: unknown), and since when (Unix seconds), if known."""

    labels: Sequence[str]
    mode: Mode | None
    since_s: float | None


def mode_series(names: Sequence[str], rows: Iterable[ModeRow]) -> Iterator[Metric]:
    """Yields `hltd_mode`, for each node always four series of 0 or 1 (all 0: unknown), and since when.

    `names` are those of the labels.
    """
    states = GaugeMetricFamily(
        MODE, "Mode of the node: 1 for the one it is in, all 0 when unknown.", labels=[*names, "mode"]
    )
    since = GaugeMetricFamily(MODE_SINCE, "When the node entered its mode, Unix seconds.", labels=names)
    for row in rows:
        for each in Mode:
            states.add_metric([*row.labels, each.value], float(each is row.mode))
        if row.mode is not None and row.since_s is not None:
            since.add_metric(row.labels, row.since_s)
    yield states
    yield since
