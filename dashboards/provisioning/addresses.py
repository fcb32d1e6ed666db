"""Where the servers are. The defaults are the names that they have in `compose.yml`; a site writes its own."""

from __future__ import annotations

from typing import NamedTuple


class Addresses(NamedTuple):
    """What a site replaces: `alertmanager` is host:port, all others are URLs, without a slash at the end."""

    prometheus: str = "http://prometheus:9090"
    alertmanager: str = "alertmanager:9093"
    elasticsearch: str = "http://elasticsearch:9200"
    opensearch: str = "http://opensearch:9200"
    webhooks: str = "http://127.0.0.1:9099"
