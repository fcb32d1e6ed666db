"""The past that panels look at: blocks of a Prometheus with as much of it as each dashboard opens with.

Not all of a farm's series over a week, which would be gigabytes: those that a panel asks for, all of them, each at the
interval of real scrapes. Which they are is learned from the panels' own queries at a Prometheus that scrapes the farm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dashboards.rules.recording import GAP_BEGAN
from tests.grafana.panels import Dashboard, panels
from tests.grafana.variables import Window, fill
from tests.servers.prometheus import PrometheusServer, promtool

SCRAPED_EVERY_S: Final = 15
A_GAP_S: Final = 12 * 3600
SELECTOR: Final = re.compile(r"\b(?:(?:hltd|hltmode)_\w+|\w+:\w+:\w+|up|ALERTS)(?:\{[^}]*\})?")
COUNTERS: Final = ("_total", "_bucket", "_count", "_sum")
LONGEST_BLOCK: Final = "162h"


class Past(NamedTuple):
    """A series as it is now, and how much of its past panels look at, in seconds."""

    labels: Mapping[str, str]
    value: float
    span_s: float


def asked_for(
    prometheus: PrometheusServer, board: Dashboard, values: Mapping[str, Sequence[str]], window: Window
) -> Iterator[Past]:
    """Yields the series that the panels of a dashboard ask for."""
    targets = [target for panel in panels(board) for target in panel["targets"] if "expr" in target]
    exprs = {fill(target["expr"], values, window) for target in targets}
    for selector in sorted({found for expr in exprs for found in SELECTOR.findall(expr)}):
        for each in prometheus.query(selector):
            yield Past(each["metric"], float(each["value"][1]), window.end_s - window.start_s)


def longest(series: Iterable[Past]) -> list[Past]:
    """Returns each series once, with the longest past that anybody asks for."""
    found: dict[tuple[tuple[str, str], ...], Past] = {}
    for each in series:
        key = tuple(sorted(each.labels.items()))
        if key not in found or found[key].span_s < each.span_s:
            found[key] = each
    return list(found.values())


def put(series: Sequence[Past], folder: Path, end_s: float) -> int:
    """Puts blocks with the past of `series` up to `end_s` into `folder`, and returns how many samples they are."""
    samples = 0
    for span_s in sorted({each.span_s for each in series}):
        some = [each for each in series if each.span_s == span_s]
        path = folder / "past.txt"
        with path.open("w") as file:
            for each in some:
                times = range(int(end_s - span_s), int(end_s), SCRAPED_EVERY_S)
                samples += len(times)
                name = _written(each.labels)
                file.writelines(f"{name} {_then(each, at, end_s):.10g} {at}\n" for at in times)
            file.write("# EOF\n")
        done = promtool(
            "tsdb", "create-blocks-from", f"--max-block-duration={LONGEST_BLOCK}", "openmetrics", str(path), "data",
            folder=folder, within_s=600.0,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        path.unlink()
    return samples


def _written(labels: Mapping[str, Any]) -> str:
    words = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels['__name__']}{{{words}}}"


def _then(series: Past, at: int, end_s: float) -> float:
    """Returns a value that moves as such a series does: a counter up to now, a gauge around what it is now."""
    name = series.labels["__name__"]
    if name == GAP_BEGAN:
        return float(at - at % A_GAP_S)
    if name.endswith(COUNTERS):
        return max(0.0, series.value - (end_s - at) / SCRAPED_EVERY_S)
    whole = series.value.is_integer() and series.value < 4  # a state, and what is made of it
    return series.value if whole else series.value * (1.0 + (at // SCRAPED_EVERY_S * 7919 % 13 - 6) / 100.0)
