"""Targets of a Prometheus datasource."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.grafana.frames import Frame, Series, table_of
from tests.grafana.variables import Window, fill
from tests.servers.prometheus import PrometheusServer


def answers(
    server: PrometheusServer, target: Mapping[str, Any], values: Mapping[str, Sequence[str]], window: Window
) -> list[Frame]:
    """Returns the frames of one target. Raises QueryError."""
    expr = fill(target["expr"], values, window)
    if not target.get("instant"):
        start_s = window.start_s - window.start_s % window.step_s
        found = server.query_range(expr, start_s, window.end_s, window.step_s)
        return [
            Series(_legend(target, each["metric"]), [(float(at), _number(value)) for at, value in each["values"]])
            for each in found
        ]
    found = server.query(expr, window.end_s)
    if target.get("format") == "table":
        return [table_of([each["metric"] | {"Value": _number(each["value"][1])} for each in found])]
    return [
        Series(_legend(target, each["metric"]), [(float(each["value"][0]), _number(each["value"][1]))])
        for each in found
    ]


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), str(target["legendFormat"]))


def _number(text: str) -> float | None:
    return None if text == "NaN" else float(text)
