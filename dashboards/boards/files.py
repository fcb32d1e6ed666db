"""The dashboards as Grafana reads them: a JSON file for each, in a folder for each flavour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.boards.cloud_yield import cloud_yield
from dashboards.boards.datasources import Flavour
from dashboards.boards.farm import farm
from dashboards.boards.node import node
from dashboards.boards.switchovers import switchovers
from dashboards.boards.telemetry import telemetry

BOARDS: Final[tuple[Callable[[Flavour], Dashboard], ...]] = (farm, node, switchovers, telemetry, cloud_yield)


def dashboards(flavour: Flavour) -> list[Dashboard]:
    """Returns all dashboards."""
    return [board(flavour) for board in BOARDS]


def files() -> dict[str, str]:
    """Returns the content of each file by its path below the folder of dashboards."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {
        f"{flavour.folder}/{built.uid}.json": encoder.encode(built) + "\n"
        for flavour in Flavour
        for built in dashboards(flavour)
    }
