"""Bytes of a box document in the index, under our template and under default mapping, beside the promise of half.

`python -m benchmarks.index_size` starts each server by itself. The same documents go into indices of one shard without
copies, which are merged to one segment before they are weighed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.box_documents import documents
from collector.documents import BOX
from collector.index.clients import JSON, NDJSON, IndexClient, connect
from collector.index.server import install, survey
from collector.index.templates import DEFAULT_SHAPE, mappings, settings
from contract.config import Product, Sink
from tests.servers.releases import RELEASES, Release
from tests.servers.server import IndexServer

PROMISE: Final = 0.5
BATCH: Final = 1000
HEAP_MB: Final = 1024
WIDTH: Final = 100
ALONE: Final = {
    "index.number_of_replicas": 0,
    # sizes are cached for 10 s otherwise, and wrong by up to four times after a merge
    "index.store.stats_refresh_interval": "0ms",
}
TEMPLATE: Final = "our template"
UNSORTED: Final = "unsorted"
DEFAULT: Final = "default mapping"


class Weight(NamedTuple):
    """One line of the answer."""

    server: str
    what: str
    bytes_per_document: float
    share: float


@click.command()
@click.option("--documents", "amount", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--server", "names", multiple=True, help="Such as opensearch-3.4.0; all of them without.")
@click.option("--json", "as_json", is_flag=True)
def main(amount: int, names: tuple[str, ...], *, as_json: bool) -> None:
    """Weigh box documents; exit code 1 when ours are more than half of the default's."""
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=WIDTH)
    lines = [
        json.dumps({"create": {"_id": identity}}) + "\n" + msgspec.json.encode(fields).decode() + "\n"
        for identity, fields in islice(documents(), amount)
    ]
    mean = sum(len(line.partition("\n")[2]) for line in lines) / amount
    console.print(f"{amount} documents of {mean:.0f} bytes of JSON", style="dim")
    weights = [weight for release in RELEASES if release.name in names or not names for weight in weigh(release, lines)]
    if as_json:
        print(json.dumps([weight._asdict() for weight in weights], indent=1))
    else:
        table = Table("Server", "Index", "Bytes a document", "Share of default", "Promise")
        for weight in weights:
            promise = f"{PROMISE:g} or less" if weight.what == TEMPLATE else ""
            table.add_row(
                weight.server, weight.what, f"{weight.bytes_per_document:.1f}", f"{weight.share:.3f}", promise
            )
        console.print(table)
    sys.exit(any(weight.share > PROMISE for weight in weights if weight.what == TEMPLATE))


def weigh(release: Release, lines: list[str]) -> Iterator[Weight]:
    """Yields what the documents weigh on one server, the default first."""
    with IndexServer(release, heap_mb=HEAP_MB) as server:
        kind = Product(release.product.value)
        client = connect(Sink(kind=kind, hosts=[server.url], timeout_s=120))
        assert all(finding.good for finding in install(client, survey(client)))
        unsorted = {name: value for name, value in settings(BOX, DEFAULT_SHAPE).items() if "sort" not in name}
        default = 0.0
        bodies: Mapping[str, tuple[str, dict[str, Any]]] = {
            DEFAULT: ("default", {"settings": ALONE}),
            UNSORTED: ("unsorted", {"settings": unsorted | ALONE, "mappings": mappings(BOX)}),
            TEMPLATE: ("hltmode-box-weighed-2026.11.18", {"settings": ALONE}),
        }
        for what, (index, body) in bodies.items():
            each = stored_bytes(client, index, body, lines) / len(lines)
            default = default or each
            yield Weight(release.name, what, each, each / default)
        client.close()


def stored_bytes(client: IndexClient, index: str, body: Mapping[str, Any], lines: list[str]) -> int:
    """Fills a new index and returns its bytes on disk as one segment."""
    ask(client, "PUT", f"/{index}", msgspec.json.encode(body))
    for start in range(0, len(lines), BATCH):
        batch = "".join(lines[start : start + BATCH]).encode()
        answer = ask(client, "POST", f"/{index}/_bulk", batch, content_type=NDJSON)
        assert not answer["errors"], answer["items"][0]
    for what in ("_flush", "_forcemerge?max_num_segments=1", "_flush", "_refresh"):
        ask(client, "POST", f"/{index}/{what}")
    assert ask(client, "GET", f"/{index}/_count")["count"] == len(lines)
    stats = ask(client, "GET", f"/{index}/_stats/store,segments")["_all"]["primaries"]
    assert stats["segments"]["count"] == 1
    size: int = stats["store"]["size_in_bytes"]
    return size


def ask(client: IndexClient, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Any:
    """Returns the server's answer, which must be a good one."""
    reply = client.request(method, path, body=body, content_type=content_type)
    assert reply.status < 300, reply
    return reply.body


if __name__ == "__main__":
    main()
