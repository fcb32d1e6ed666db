"""A log, a shipper and a real index server, for tests of what lies between."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from collector.documents import BOX, SWITCHOVER, Captured, Document
from collector.index.clients import connect
from collector.index.server import install, survey
from collector.log.ledger import Account
from collector.log.reading import opened
from collector.log.store import Keep, Log
from collector.log.upkeep import standing
from collector.shipping.metrics import SinkMetrics, Trial
from collector.shipping.shipper import Shipper
from contract.metric_names import SINK_FAILURES, SINK_UP
from contract.sink import Product, Sink
from contract.times import iso
from tests.integration.node import wait_for
from tests.servers.server import IndexServer

EVER = Keep(days=1e6)
PATIENCE_S = 60.0
NAME = "main"


def sink_of(server: IndexServer, *hosts: str, **more: Any) -> Sink:
    """Returns a sink for `server`, or for `hosts` in its place; impatient, and with no limit for a backlog."""
    kind = Product(server.product.value)
    quick: dict[str, Any] = {"timeout_s": 1.0, "backlog_per_s": 1e6, "batch_documents": 50}
    return Sink(kind=kind, hosts=list(hosts or (server.url,)), name=NAME, **(quick | more))


def prepare(server: IndexServer, **more: Any) -> None:
    """Installs our templates."""
    client = connect(sink_of(server, **({"timeout_s": 30.0} | more)))
    install(client, survey(client))
    client.close()


def box(host: str, time_s: float, subsystem: str, **fields: object) -> Captured:
    """Returns a small box document."""
    document: Document = {"@timestamp": iso(time_s), "host": host, "subsystem": subsystem} | fields
    return Captured(kind=BOX, host=host, time_s=time_s, fields=document)


def switchover(seq: int, subsystem: str, **fields: object) -> Captured:
    """Returns a small switchover document."""
    document: Document = {
        "@timestamp": iso(time.time()),
        "host": "fu-1",
        "subsystem": subsystem,
        "to": "cloud",
    } | fields
    return Captured(kind=SWITCHOVER, host="fu-1", time_s=time.time(), fields=document, key=f"{seq}")


class Station:
    """One log of `subsystem` whose documents go to `sink`. The subsystem keeps the indices of tests apart."""

    def __init__(self, folder: Path, subsystem: str, sink: Sink) -> None:
        self.subsystem = subsystem
        self.sink = sink
        self.log = Log(folder / "log.sqlite", "fu-1", (sink.name,))
        self.log.open()
        self.registry = CollectorRegistry()
        self._metrics = SinkMetrics(self.registry, {"host": "fu-1", "appliance": "bu-1"})
        self.shipper: Shipper | None = None

    def append(self, *documents: Captured) -> None:
        """Puts documents in the log and wakes the shipper."""
        self.log.open()
        self.log.append(documents, 0, EVER, time.time())
        if self.shipper:
            self.shipper.wake()

    def boxes(self, n: int, age_s: float = 0.0, hosts: int = 3) -> None:
        """Appends `n` boxes, a second apart, of which the newest is `age_s` old."""
        now_s = time.time() - age_s
        self.append(*[box(f"fu-{i % hosts}", now_s - n + 1 + i, self.subsystem) for i in range(n)])

    def ship(self) -> None:
        """Starts the shipper."""
        meter = self._metrics.meter(self.sink.name)
        self.shipper = Shipper(self.sink, self.log.path, self.subsystem, meter, lambda: 1, self.log.doubt)
        self.shipper.start()

    def end(self) -> None:
        """Ends shipper and log."""
        if self.shipper:
            self.shipper.stop()
        self.shipper = None
        self.log.close()

    def account(self) -> Account:
        """Returns how the sink stands now."""
        each = standing(self.log.path).sinks[self.sink.name]
        assert each.adds_up
        return each.account

    def wait_empty(self) -> Account:
        """Waits until nothing is left to deliver."""
        wait_for("everything is delivered", lambda: self.account().backlog == 0, PATIENCE_S)
        return self.account()

    def wait_failure(self, trial: Trial) -> None:
        """Waits until a request has failed for that reason."""
        wait_for(f"a failure: {trial}", lambda: self.failures(trial) > 0, PATIENCE_S)
        assert self.value(SINK_UP) == 0.0

    def failures(self, trial: Trial) -> float:
        """Returns how often it has failed for that reason."""
        return self.value(SINK_FAILURES, reason=trial.value)

    def value(self, name: str, **labels: str) -> float:
        """Returns a metric of the sink."""
        named = {"host": "fu-1", "appliance": "bu-1", "sink": self.sink.name} | labels
        return self.registry.get_sample_value(name, named) or 0.0

    def ids(self) -> Counter[str]:
        """Returns the ids in the log."""
        with opened(self.log.path) as connection:
            return Counter(identity for (identity,) in connection.execute("SELECT id FROM documents"))


def ids_in(server: IndexServer, subsystem: str) -> Counter[str]:
    """Returns the ids of all documents of `subsystem` on the server, in whatever indices."""
    server.ask(f"/hltmode-*-{subsystem}-*/_refresh", method="POST")
    found: Counter[str] = Counter()
    after: list[Any] = []
    while True:
        more = {"search_after": after} if after else {}
        query = {"size": 5000, "sort": [{"@timestamp": "asc"}, {"host": "asc"}], "_source": False} | more
        hits = server.ask(f"/hltmode-*-{subsystem}-*/_search", query)["hits"]["hits"]
        found.update(hit["_id"] for hit in hits)
        if len(hits) < 5000:
            return found
        after = hits[-1]["sort"]


def current(server: IndexServer, subsystem: str) -> dict[str, Any]:
    """Returns the newest document of each host."""
    server.ask(f"/hltmode-current-{subsystem}/_refresh", method="POST")
    hits = server.ask(f"/hltmode-current-{subsystem}/_search", {"size": 100})["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}
