"""Names that rules, dashboards and provisioning share, and the addresses that a site changes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RUNBOOKS: Final = "https://hltmode.example/docs/runbooks.md"
GRAFANA: Final = "https://grafana.example"
TAG: Final = "hltmode"


class Uid(StrEnum):
    """The dashboards, as addresses name them."""

    FARM = "hltmode-farm"
    NODE = "hltmode-node"
    SWITCHOVERS = "hltmode-switchovers"
    TELEMETRY = "hltmode-telemetry"
    YIELD = "hltmode-yield"
