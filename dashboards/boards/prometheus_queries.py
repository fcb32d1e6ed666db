"""Queries to Prometheus: over the time that is looked at, or for this moment."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.prometheus import Dataquery as Builder
from grafana_foundation_sdk.models.prometheus import Dataquery, PromQueryFormat

from dashboards.boards.datasources import PROMETHEUS

APPLIANCES: Final = 'appliance=~"$appliance"'
NODES: Final = f'{APPLIANCES},host=~"$host"'


def series(expr: str, legend: str, *, ref: str = "A") -> Dataquery:
    """Returns a query for lines over time; `legend` names them by their labels."""
    return Builder().expr(expr).legend_format(legend).range().ref_id(ref).datasource(PROMETHEUS).build()


def now(expr: str, legend: str, *, ref: str = "A") -> Dataquery:
    """Returns a query for the values of this moment."""
    return Builder().expr(expr).legend_format(legend).instant().ref_id(ref).datasource(PROMETHEUS).build()


def rows(expr: str, *, ref: str = "A") -> Dataquery:
    """Returns a query for a table of this moment, with a column for each label and one for the value."""
    return (
        Builder().expr(expr).instant().format(PromQueryFormat.TABLE).ref_id(ref).datasource(PROMETHEUS).build()
    )  # fmt: skip
