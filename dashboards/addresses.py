"""Where people and servers find each other. The servers' defaults are their names in `compose.yml`."""

from __future__ import annotations

from typing import NamedTuple

from dashboards.names import GRAFANA, RUNBOOKS


class Addresses(NamedTuple):
    """What a site replaces: `alertmanager` and `follower` are host:port, the others URLs without a slash at the end.

    Without a `follower` none is scraped, and nobody is told that it is down; `compose.yml` starts none.
    """

    runbooks: str = RUNBOOKS
    grafana: str = GRAFANA
    prometheus: str = "http://prometheus:9090"
    alertmanager: str = "alertmanager:9093"
    follower: str = ""
    elasticsearch: str = "http://elasticsearch:9200"
    opensearch: str = "http://opensearch:9200"
    webhooks: str = "http://127.0.0.1:9099"
