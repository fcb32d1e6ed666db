"""Drains a full log into an index server: by a shipper, or as ready-made bulk bodies with the same client.

`python -m benchmarks.drain ours|ready LOG URL RESULT` is started by benchmarks.backlog; it ends when all is delivered
and writes what that took to RESULT.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry

from collector.index.clients import NDJSON, connect
from collector.log.schema import COLUMNS
from collector.log.store import Log
from collector.shipping import bulk
from collector.shipping.bulk import Row
from collector.shipping.metrics import SinkMetrics
from collector.shipping.shipper import Shipper
from contract.sink import Product, Sink

NAME: Final = "backlog"
BATCH: Final = 1000
LOOK_EVERY_S: Final = 0.02


class Took(msgspec.Struct, frozen=True):
    """What a drain took."""

    documents: int
    seconds: float
    cpu_s: float


def ours(path: Path, sink: Sink) -> Took:
    """Has a shipper drain the log."""
    meter = SinkMetrics(CollectorRegistry(), {}).meter(NAME)
    shipper = Shipper(sink, path, "cdaq", meter, lambda: 1, Log(path).doubt)
    with closing(sqlite3.connect(path)) as connection:
        backlog = left(connection)
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        shipper.start()
        while left(connection):
            time.sleep(LOOK_EVERY_S)
        took = Took(backlog, time.monotonic() - began_s, time.process_time() - began_cpu_s)
    shipper.stop()
    return took


def ready(path: Path, sink: Sink) -> Took:
    """Makes all bulk bodies, newest documents first, then sends them one after the other."""
    with closing(sqlite3.connect(path)) as connection:
        rows = [Row._make(row) for row in connection.execute(f"SELECT {COLUMNS} FROM documents ORDER BY number DESC")]  # noqa: S608 - constants
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    bodies = [bulk.body_of(list(bulk.create(batch))) for batch in batches]
    client = connect(sink)
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for body in bodies:
        reply = client.request("POST", "/_bulk", body=body, params={"filter_path": bulk.FILTER}, content_type=NDJSON)
        assert reply.status == 200, reply
        assert not reply.body["errors"], reply.body["items"][0]
    took = Took(len(rows), time.monotonic() - began_s, time.process_time() - began_cpu_s)
    client.close()
    return took


def left(connection: sqlite3.Connection) -> int:
    """Returns how many documents the sink has still to get."""
    (n,) = connection.execute("SELECT captured - delivered - dead - dropped FROM sinks").fetchone()
    return int(n)


def main() -> None:
    how, log, url, result = sys.argv[1:]
    sink = Sink(
        kind=Product.OPENSEARCH, hosts=[url], name=NAME, batch_documents=BATCH, backlog_per_s=1e9, timeout_s=60.0
    )
    took = {"ours": ours, "ready": ready}[how](Path(log), sink)
    Path(result).write_bytes(msgspec.json.encode(took))


if __name__ == "__main__":
    main()
