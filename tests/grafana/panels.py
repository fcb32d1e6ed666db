"""Runs the panels of a dashboard against real servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.grafana import index_queries, prometheus_queries
from tests.grafana.frames import Frame
from tests.grafana.variables import ALL, Window, fill, seconds
from tests.servers.prometheus import PrometheusServer
from tests.servers.server import IndexServer

Dashboard = Mapping[str, Any]
Panel = Mapping[str, Any]


class Sources(NamedTuple):
    """Where panels get their data."""

    prometheus: PrometheusServer
    store: IndexServer
    pattern: str = "hltmode-*"


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """Yields the panels but for the headings of rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def chosen(dashboard: Dashboard, **choices: Sequence[str]) -> dict[str, Sequence[str]]:
    """Returns the values of the variables: the chosen ones, else what is chosen when the dashboard opens."""
    found: dict[str, Sequence[str]] = {}
    for variable in dashboard["templating"]["list"]:
        current = variable.get("current", {}).get("value", ALL)
        found[variable["name"]] = choices.get(variable["name"], [current])
    return found


def frames(sources: Sources, panel: Panel, values: Mapping[str, Sequence[str]], window: Window) -> list[Frame]:
    """Returns what the panel's queries answer."""
    at = looked_at(panel, values, window)
    found: list[Frame] = []
    for target in panel["targets"]:
        if target["datasource"]["type"] == "prometheus":
            found += prometheus_queries.answers(sources.prometheus, target, values, at)
        else:
            found += index_queries.answers(sources.store, sources.pattern, target, values, at)
    return found


def looked_at(panel: Panel, values: Mapping[str, Sequence[str]], window: Window) -> Window:
    """Returns the panel's own window: another span, another time, other steps."""
    if span := panel.get("timeFrom"):
        window = window._replace(start_s=window.end_s - seconds(span))
    if shift := panel.get("timeShift"):
        window = window.earlier(seconds(fill(shift, values, window)))
    if least := panel.get("interval"):
        window = window._replace(least_step_s=seconds(least))
    return window
