"""Where panels get their data: a Prometheus, and the index in one of two flavours of the same queries."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from grafana_foundation_sdk.models.dashboard import DataSourceRef

PROMETHEUS_VARIABLE: Final = "prometheus"
INDEX_VARIABLE: Final = "index"
PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid=f"${{{PROMETHEUS_VARIABLE}}}")


class Flavour(StrEnum):
    """The Grafana plugin that asks the index; the values are the plugins' ids."""

    ELASTICSEARCH = "elasticsearch"
    OPENSEARCH = "grafana-opensearch-datasource"

    @property
    def folder(self) -> str:
        """Where the dashboards of this flavour lie."""
        return "opensearch" if self is Flavour.OPENSEARCH else "elasticsearch"

    @property
    def ref(self) -> DataSourceRef:
        """The index as panels name it."""
        return DataSourceRef(type_val=self.value, uid=f"${{{INDEX_VARIABLE}}}")
