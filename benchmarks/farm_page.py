"""Serves what the collectors of 75 appliances export about 1500 nodes that switch all the time.

`python -m benchmarks.farm_page PORT` answers `/metrics/BU` with the text of a real exporter's registry; only the farm
behind it is simulated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from prometheus_client import generate_latest

from benchmarks.box_documents import HOSTS, NODES_OF_APPLIANCE
from collector.documents import Sighting
from collector.facts import JournalView, ModeNow, mode_now
from collector.log.ledger import Account
from collector.metrics import Metrics, Snapshot
from collector.sources.files import box_cores
from collector.sources.looks import NodeLook
from contract.config import Node, Role, Switch
from simulator.many_nodes import ManyNodes, SimulatedNode

APPLIANCES: Final = HOSTS // NODES_OF_APPLIANCE
SINK: Final = "index"
LIMITS: Final = Switch(activating_timeout_s=8.0, deactivating_timeout_s=4.0)


class Appliance:
    """The exporter of one BU's collector."""

    def __init__(self, many: ManyNodes, name: str) -> None:
        self._many = many
        self._nodes = [node for node in many.nodes if node.appliance == name]
        self._before: dict[str, ModeNow] = {}
        self._metrics = Metrics(Node(host=name, appliance=name), Role.APPLIANCE, LIMITS)
        self._metrics.sinks.meter(SINK).succeeded()
        self._made = 0

    def page(self) -> bytes:
        """Returns what a scrape of this moment finds."""
        now_s = time.time()
        self._made += len(self._nodes)
        account = Account(captured=self._made, delivered=self._made - len(self._nodes), oldest_s=now_s)
        self._metrics.show(
            Snapshot(
                nodes=tuple(self._look(node, now_s) for node in self._nodes),
                counts={("box", "made"): self._made},
                accounts={SINK: account},
                log_bytes=10 << 20,
                log_up=True,
                log_begun_s=1.0,
                interval_s=5.0,
                last_success_s=now_s,
            )
        )
        return generate_latest(self._metrics.registry)

    def _look(self, node: SimulatedNode, now_s: float) -> NodeLook:
        box = self._many.box(node, now_s)
        now = mode_now(self._before.get(node.host, ModeNow()), None, JournalView(), box, now_s)
        self._before[node.host] = now
        return NodeLook(host=node.host, appliance=node.appliance, now=now, seen=Sighting(box=box), cores=box_cores(box))


def main() -> None:
    """Serves until it is ended."""
    with tempfile.TemporaryDirectory() as folder:
        many = ManyNodes(Path(folder), APPLIANCES, NODES_OF_APPLIANCE, time.time())
    appliances = {name: Appliance(many, name) for name in {node.appliance for node in many.nodes}}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = appliances[self.path.rpartition("/")[2]].page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()


if __name__ == "__main__":
    main()
