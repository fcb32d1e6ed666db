"""Bytes of a box document in the index, under our template and under default mapping, beside the promise of half.

`python -m benchmarks.index_size` starts each server by itself. The same documents go into indices of one shard without
copies, which are merged to one segment before they are weighed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import click
import msgspec

from benchmarks.asking import ask, client_of, prepare
from benchmarks.box_documents import documents
from benchmarks.figures import Figure, finish, new_console
from collector.documents import BOX
from collector.index.clients import NDJSON, IndexClient
from collector.index.templates import DEFAULT_SHAPE, mappings, settings
from tests.servers.releases import RELEASES, Release
from tests.servers.server import IndexServer

PROMISE: Final = 0.5
BATCH: Final = 1000
HEAP_MB: Final = 1024
ALONE: Final = {
    "index.number_of_replicas": 0,
    # sizes are cached for 10 s otherwise, and wrong by up to four times after a merge
    "index.store.stats_refresh_interval": "0ms",
}
TEMPLATE: Final = "our template"
UNSORTED: Final = "unsorted"
DEFAULT: Final = "default mapping"


@click.command()
@click.option("--documents", "amount", type=click.IntRange(min=1), default=100_000, show_default=True)
@click.option("--server", "names", multiple=True, help="Such as opensearch-3.4.0; all of them without.")
@click.option("--json", "as_json", is_flag=True)
def main(amount: int, names: tuple[str, ...], *, as_json: bool) -> None:
    """Weigh box documents; exit code 1 when ours are more than half of the default's."""
    console = new_console(as_json=as_json)
    lines = [
        json.dumps({"create": {"_id": identity}}) + "\n" + msgspec.json.encode(fields).decode() + "\n"
        for identity, fields in islice(documents(), amount)
    ]
    mean = sum(len(line.partition("\n")[2]) for line in lines) / amount
    console.print(f"{amount} documents of {mean:.0f} bytes of JSON", style="dim")
    figures = []
    for release in RELEASES:
        if release.name in names or not names:
            console.print(release.name, style="dim")
            figures.append(figure(release, dict(weigh(release, lines))))
    finish(console, figures, as_json=as_json)


def figure(release: Release, weights: Mapping[str, float]) -> Figure:
    """Returns our share of what default mapping takes, from bytes a document."""
    ours, default = weights[TEMPLATE], weights[DEFAULT]
    detail = f"{ours:.1f} of {default:.1f} bytes a document; unsorted {weights[UNSORTED]:.1f}"
    return Figure(f"index by default mapping, {release.name}", PROMISE, ours / default, "", detail)


def weigh(release: Release, lines: list[str]) -> Iterator[tuple[str, float]]:
    """Yields the bytes of a document on one server, by how they are stored."""
    with IndexServer(release, heap_mb=HEAP_MB) as server:
        client = client_of(server)
        prepare(client)
        unsorted = {name: value for name, value in settings(BOX, DEFAULT_SHAPE).items() if "sort" not in name}
        bodies: Mapping[str, tuple[str, dict[str, Any]]] = {
            DEFAULT: ("default", {"settings": ALONE}),
            UNSORTED: ("unsorted", {"settings": unsorted | ALONE, "mappings": mappings(BOX)}),
            TEMPLATE: ("hltmode-box-weighed-2026.11.18", {"settings": ALONE}),
        }
        for what, (index, body) in bodies.items():
            yield what, stored_bytes(client, index, body, lines) / len(lines)
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


if __name__ == "__main__":
    main()
