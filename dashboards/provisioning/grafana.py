"""Grafana: its datasources, and the folder from which it reads the dashboards.

User and password of the index come from Grafana's environment and stand in no file.
"""

from __future__ import annotations

from typing import Any, Final

from dashboards.addresses import Addresses
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import TIME_FIELD
from dashboards.names import TAG
from dashboards.provisioning.prometheus import SCRAPE_EVERY
from dashboards.yaml_text import yaml_text

PROMETHEUS_UID: Final = "hltmode-prometheus"
INDEX_UID: Final = "hltmode-index"
INDICES: Final = "hltmode-*"
BOX_EVERY: Final = "5s"
OPENSEARCH_VERSION: Final = "3.4.0"
BOARDS_FOLDER: Final = "/var/lib/grafana/dashboards/hltmode"
USER: Final = "HLTMODE_INDEX_USER"
PASSWORD: Final = "HLTMODE_INDEX_PASSWORD"  # noqa: S105 - the name of a variable, which holds the secret

OPENSEARCH_EXAMPLE: Final = "grafana/provisioning/datasources/hltmode-opensearch.yml.example"


def files(addresses: Addresses) -> dict[str, str]:
    """Returns datasources of either flavour and the dashboards' provider, by path below the folder of dashboards."""
    secret = f"Set {USER} and {PASSWORD} in Grafana's environment, or write $__file{{/path}} in their place."
    other = f"In the place of hltmode.yml for an index on OpenSearch; needs the plugin {Flavour.OPENSEARCH}."
    version = "`version` is the server's own: the plugin makes its queries for it."
    return {
        "grafana/provisioning/datasources/hltmode.yml": yaml_text(
            _datasources(Flavour.ELASTICSEARCH, addresses), secret
        ),
        OPENSEARCH_EXAMPLE: yaml_text(_datasources(Flavour.OPENSEARCH, addresses), other, version, secret),
        "grafana/provisioning/dashboards/hltmode.yml": yaml_text(
            _provider(), "Copy there the JSON files of grafana/elasticsearch or of grafana/opensearch, not both."
        ),
    }


def _datasources(flavour: Flavour, addresses: Addresses) -> dict[str, Any]:
    prometheus = {
        "name": "hltmode Prometheus",
        "uid": PROMETHEUS_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": addresses.prometheus,
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": SCRAPE_EVERY, "manageAlerts": False},
    }
    return {"apiVersion": 1, "datasources": [prometheus, _index(flavour, addresses)]}


def _index(flavour: Flavour, addresses: Addresses) -> dict[str, Any]:
    where: dict[str, Any] = {"index": INDICES}
    if flavour is Flavour.OPENSEARCH:
        where = {"flavor": "opensearch", "version": OPENSEARCH_VERSION, "database": INDICES, "pplEnabled": False}
    return {
        "name": "hltmode index",
        "uid": INDEX_UID,
        "type": flavour.value,
        "access": "proxy",
        "url": addresses.opensearch if flavour is Flavour.OPENSEARCH else addresses.elasticsearch,
        "editable": False,
        "basicAuth": True,
        "basicAuthUser": f"$__env{{{USER}}}",
        "jsonData": where | {"timeField": TIME_FIELD, "timeInterval": BOX_EVERY, "maxConcurrentShardRequests": 5},
        "secureJsonData": {"basicAuthPassword": f"$__env{{{PASSWORD}}}"},
    }


def _provider() -> dict[str, Any]:
    provider = {
        "name": TAG,
        "orgId": 1,
        "folder": TAG,
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 60,
        "options": {"path": BOARDS_FOLDER},
    }
    return {"apiVersion": 1, "providers": [provider]}
