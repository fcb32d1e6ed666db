"""What benchmarks ask an index server, through the collector's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from collector.index.clients import JSON, IndexClient, connect
from collector.index.server import install, survey
from collector.index.templates import Shape
from contract.sink import Product, Sink
from tests.servers.server import IndexServer

PAGE: Final = 5000
KEPT_OPEN: Final = "2m"
TIMEOUT_S: Final = 120.0
OURS: Final = "hltmode-box-*,hltmode-switchover-*"


class Stored(NamedTuple):
    """One document of an index: where it is, its id, and the fields that were asked for."""

    index_name: str
    id: str
    fields: dict[str, Any]


def client_of(server: IndexServer, *hosts: str) -> IndexClient:
    """Returns a patient client of `server`, or of `hosts` in its place."""
    return connect(Sink(kind=kind_of(server), hosts=list(hosts or (server.url,)), timeout_s=TIMEOUT_S))


def kind_of(server: IndexServer) -> Product:
    """Returns what the configuration calls it."""
    return Product(server.product.value)


def prepare(client: IndexClient, *, replicas: int = 0) -> None:
    """Installs our templates."""
    shape = Shape(replicas=replicas)
    found = install(client, survey(client, shape))
    assert all(finding.good for finding in found), found


def ask(client: IndexClient, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Any:
    """Returns the server's answer, which must be a good one."""
    reply = client.request(method, path, body=body, content_type=content_type)
    assert reply.status < 300, reply
    return reply.body


def search(client: IndexClient, indices: str, body: dict[str, Any]) -> Any:
    """Returns the answer to a search."""
    return ask(client, "POST", f"/{indices}/_search", msgspec.json.encode(body))


def stored(client: IndexClient, *fields: str, indices: str = OURS) -> Iterator[Stored]:
    """Yields every document of `indices` once for each time it is there."""
    ask(client, "POST", f"/{indices}/_refresh")
    body = msgspec.json.encode({"size": PAGE, "sort": ["_doc"], "_source": list(fields) or False})
    answer = ask(client, "POST", f"/{indices}/_search?scroll={KEPT_OPEN}", body)
    while hits := answer["hits"]["hits"]:
        for hit in hits:
            yield Stored(hit["_index"], hit["_id"], hit.get("_source", {}))
        more = {"scroll": KEPT_OPEN, "scroll_id": answer["_scroll_id"]}
        answer = ask(client, "POST", "/_search/scroll", msgspec.json.encode(more))
    ask(client, "DELETE", "/_search/scroll", msgspec.json.encode({"scroll_id": answer["_scroll_id"]}))


def remove(client: IndexClient, indices: str = OURS) -> None:
    """Removes indices."""
    ask(client, "DELETE", f"/{indices}")


def count(client: IndexClient, indices: str = OURS) -> int:
    """Returns how many documents can be found."""
    n: int = ask(client, "GET", f"/{indices}/_count")["count"]
    return n
