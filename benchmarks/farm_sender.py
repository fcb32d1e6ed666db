"""The logs and shippers of some appliance agents in one process; started by benchmarks.farm_load.

Every five seconds, all at the same moment as agents on a grid are, each appliance puts the documents of its twenty
nodes in its own log, and its own shipper sends them. What the documents cost to make is counted apart.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import click
import msgspec
from prometheus_client import CollectorRegistry

from benchmarks.box_documents import INTERVAL_S, LUMISECTION_S, NODES_OF_APPLIANCE, Living, born, captured, wander
from benchmarks.processes import resident_mib
from collector.grid import wait_s
from collector.log.store import Keep, Log
from collector.log.upkeep import standing
from collector.shipping.metrics import SinkMetrics
from collector.shipping.shipper import Shipper
from contract.metric_names import SINK_FAILURES
from contract.sink import Product, Sink

KEEP: Final = Keep(days=30.0)
DRAINED_WITHIN_S: Final = 120.0


class Spent(msgspec.Struct, frozen=True):
    """What a sender did: documents made, requests that failed; CPU seconds, those for making documents; its life."""

    documents: int
    failures: dict[str, int]
    cpu_s: float
    making_s: float
    wall_s: float
    resident_mib: float


class Appliance:
    """One agent's nodes, log and shipper."""

    def __init__(self, root: Path, sink: Sink, number: int) -> None:
        self._dice = random.Random(number)  # noqa: S311 - dice need no secrecy
        first = number * NODES_OF_APPLIANCE
        self._nodes: list[Living] = [born(self._dice, first + place) for place in range(NODES_OF_APPLIANCE)]
        name = self._nodes[0].node.appliance
        self.path = root / f"{name}.sqlite"
        self._log = Log(self.path, name, (sink.name,))
        self._metrics = SinkMetrics(CollectorRegistry(), {})
        meter = self._metrics.meter(sink.name)
        self._shipper = Shipper(sink, self.path, "cdaq", meter, lambda: NODES_OF_APPLIANCE, self._log.doubt)
        self.making_s = 0.0
        self._log.open()
        self._log.append((), 0, KEEP, time.time())
        self._shipper.start()

    def sample(self) -> None:
        """Puts a document of each node in the log and wakes the shipper."""
        began_s = time.thread_time()
        now_s = time.time()
        for living in self._nodes:
            wander(self._dice, living, int(now_s / LUMISECTION_S) % 1000)
        made = [captured(self._dice, living, now_s, now_s) for living in self._nodes]
        self.making_s += time.thread_time() - began_s
        self._log.open()
        self._log.append(made, 0, KEEP, now_s)
        self._shipper.wake()

    def failures(self) -> Counter[str]:
        """Returns how many requests have failed for which reason."""
        series = [each for family in self._metrics.failures.collect() for each in family.samples]
        return Counter({each.labels["reason"]: int(each.value) for each in series if each.name == SINK_FAILURES})

    def end(self) -> None:
        """Waits until nothing is left to deliver, and ends."""
        end_s = time.monotonic() + DRAINED_WITHIN_S
        while any(each.account.backlog for each in standing(self.path).sinks.values()):
            assert time.monotonic() < end_s, f"{self.path} does not drain"
            time.sleep(0.1)
        self._shipper.stop()
        self._log.close()


@click.command()
@click.option("--root", type=click.Path(path_type=Path), required=True)
@click.option("--first", type=int, required=True, help="Number of the first appliance.")
@click.option("--appliances", "amount", type=int, required=True)
@click.option("--host", "hosts", multiple=True, required=True)
@click.option("--from", "from_s", type=float, required=True, help="Unix seconds of the first sample.")
@click.option("--samples", type=int, required=True)
def main(root: Path, first: int, amount: int, hosts: tuple[str, ...], from_s: float, samples: int) -> None:
    """Sample and ship, then write what was spent to `spent-<first>.json`."""
    sink = Sink(kind=Product.OPENSEARCH, hosts=list(hosts), name="farm")
    appliances = [Appliance(root, sink, first + number) for number in range(amount)]
    time.sleep(max(0.0, from_s - INTERVAL_S / 2 - time.time()))
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    for _ in range(samples):
        time.sleep(wait_s(time.time(), INTERVAL_S))
        for appliance in appliances:
            appliance.sample()
    time.sleep(INTERVAL_S / 2)
    spent = Spent(
        documents=samples * amount * NODES_OF_APPLIANCE,
        failures=dict(sum((appliance.failures() for appliance in appliances), Counter[str]())),
        cpu_s=time.process_time() - began_cpu_s,
        making_s=sum(appliance.making_s for appliance in appliances),
        wall_s=time.monotonic() - began_s,
        resident_mib=resident_mib(os.getpid()),
    )
    for appliance in appliances:
        appliance.end()
    (root / f"spent-{first}.json").write_bytes(msgspec.json.encode(spent))


if __name__ == "__main__":
    main()
