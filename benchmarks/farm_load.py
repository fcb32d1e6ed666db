"""The farm's load: the documents of 1500 nodes every five seconds, and how soon each can be found.

`python -m benchmarks.farm_load` sends them by the logs and shippers of 75 appliance agents, spread over a few
processes, into one OpenSearch that refreshes every five seconds. `--cluster` takes three nodes with a copy of each
shard and kills, in the middle, the one that holds the boxes' primary. Everything runs on this one machine.

The first minute warms the servers up: what is sent then is counted, but not timed. A sample is the twenty
documents of one appliance at one moment, which all carry its time. A prober counts, every 0.25 s, the documents of
each appliance and time that a search finds; a sample is searchable when all twenty are found. A few whole collectors
beside it ship to the same server; from their logs one sees how near their samples came to the grid.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from benchmarks.accounting import kept, settle
from benchmarks.agents import Agent, Life
from benchmarks.asking import ask, client_of, kind_of, prepare, stored
from benchmarks.box_documents import INTERVAL_S, NODES_OF_APPLIANCE
from benchmarks.farm_sender import Spent
from benchmarks.figures import Figure, finish, new_console
from benchmarks.processes import Program, module, server_cpu_s, server_mib
from benchmarks.samples_on_time import timing_figures, timing_of
from benchmarks.searchable import BOXES, Prober
from collector.index.clients import IndexClient
from contract.sink import Sink
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexCluster, IndexServer

APPLIANCES: Final = 75
SENDERS: Final = 3
WITNESSES: Final = 3
WITNESS_INTERVAL_S: Final = 0.25
NODES_OF_CLUSTER: Final = 3
HEAP_MB: Final = 1024
START_S: Final = 8.0
WARM_UP_SAMPLES: Final = 12
LATENCY_S: Final = 7.0
GAP_S: Final = 10.0
LOOK_EVERY_S: Final = 1.0
PATIENCE_S: Final = 180.0


class Load:
    """One run: servers, senders, prober. `tell` shows how it goes."""

    def __init__(self, console: Console, root: Path, servers: list[IndexServer], appliances: int) -> None:
        self.console = console
        self.root = root
        self.servers = servers
        self.appliances = appliances
        self.cpu_s = dict.fromkeys(range(len(servers)), 0.0)
        self.killed: IndexServer | None = None
        self.memory_mib = 0.0
        self.from_s = 0.0
        self.witnesses: list[Agent] = []

    def run(self, samples: int, *, kill: bool) -> list[Figure]:
        """Returns the figures of so many samples; with `kill` one server dies in the middle."""
        client = client_of(self.servers[0])
        prepare(client, replicas=int(len(self.servers) > 1))
        began_s = [server_cpu_s(server) for server in self.servers]
        with ExitStack() as stack:
            prober = Prober(client_of(self.servers[0], *self._urls()), NODES_OF_APPLIANCE)
            senders = [stack.enter_context(each) for each in self._senders(samples)]
            stack.enter_context(prober)
            self._begin_witnesses(stack)
            self._watch(client, prober, samples, kill=kill)
            end_s = time.time()
            for sender in senders:
                sender.wait_end(PATIENCE_S)
            for witness in self.witnesses:
                witness.finish(PATIENCE_S)
            time.sleep(2 * INTERVAL_S)
        for number, server in enumerate(self.servers):
            if server.running:
                self.cpu_s[number] = server_cpu_s(server)
        cpu_s = sum(self.cpu_s.values()) - sum(began_s)
        client.close()
        timing = timing_of(self.witnesses, WITNESS_INTERVAL_S, Life(self.from_s, end_s))
        on_time = timing_figures(timing, WITNESS_INTERVAL_S, f"by the logs of {WITNESSES} whole collectors")
        return [*self._books(), *self._timing(prober, samples), *on_time, *self._costs(cpu_s)]

    def _begin_witnesses(self, stack: ExitStack) -> None:
        """Starts whole collectors that sample often and ship to the same server."""
        sink = Sink(kind=kind_of(self.servers[0]), hosts=self._urls(), backlog_per_s=2000.0)
        for number in range(WITNESSES):
            witness = Agent(self.root / "witnesses", f"fu-w{number}", [sink], interval_s=WITNESS_INTERVAL_S)
            stack.callback(witness.end)
            witness.start()
            self.witnesses.append(witness)

    def _urls(self) -> list[str]:
        return [server.url for server in self.servers if server is not self.killed]

    def _senders(self, samples: int) -> list[Program]:
        shares = [len(range(number, self.appliances, SENDERS)) for number in range(SENDERS)]
        firsts = [sum(shares[:number]) for number in range(SENDERS)]
        hosts = [word for url in self._urls() for word in ("--host", url)]
        self.from_s = time.time() + START_S
        more = ["--root", self.root, "--from", self.from_s, "--samples", samples, *hosts]
        return [
            Program(
                module("benchmarks.farm_sender", "--first", first, "--appliances", share, *more),
                self.root / f"sender-{first}.output",
            )
            for first, share in zip(firsts, shares, strict=True)
            if share
        ]

    def _watch(self, client: IndexClient, prober: Prober, samples: int, *, kill: bool) -> None:
        whole = samples * self.appliances
        began_s = time.monotonic()
        span_s = samples * INTERVAL_S + START_S
        with self.console.status("") as status:
            while (gone_s := time.monotonic() - began_s) < span_s:
                status.update(f"{gone_s:.0f} of {span_s:.0f} s: {len(prober.seen_s)} of {whole} samples found")
                if kill and gone_s > span_s / 2 and self.killed is None:
                    self._kill(client)
                self.memory_mib = sum(server_mib(server) for server in self.servers if server.running)
                time.sleep(LOOK_EVERY_S)

    def _kill(self, client: IndexClient) -> None:
        """Kills the server that holds the primary of the newest boxes."""
        shards = ask(client, "GET", f"/_cat/shards/{BOXES}?format=json&h=index,prirep,node")
        name = max((shard["index"], shard["node"]) for shard in shards if shard["prirep"] == "p")[1]
        manager = ask(client, "GET", "/_cat/cluster_manager?format=json")[0]["node"]
        number = next(n for n, server in enumerate(self.servers) if server.name == name)
        self.cpu_s[number] = server_cpu_s(self.servers[number])
        self.servers[number].kill()
        self.killed = self.servers[number]
        also = ", which leads the cluster as well" if name == manager else ""
        self.console.print(f"killed {name}, which holds the boxes' primary{also}", style="dim")

    def _books(self) -> list[Figure]:
        client = client_of(self.servers[0], *self._urls())
        paths = [*sorted(self.root.glob("*.sqlite")), *(witness.log for witness in self.witnesses)]
        logs = [document for path in paths for document in kept(path)]
        books = settle(logs, stored(client, "@timestamp"))
        client.close()
        detail = f"{books.delivered} of {books.made} in the index"
        return [
            Figure("documents missing", 0, books.missing, "", detail),
            Figure("documents doubled or strange", 0, books.doubled + books.strange, "", "by id"),
        ]

    def _timing(self, prober: Prober, samples: int) -> list[Figure]:
        since_s = self.from_s + WARM_UP_SAMPLES * INTERVAL_S
        late_s = prober.latencies_s(since_s)
        hundredths = statistics.quantiles(late_s, n=100, method="inclusive")
        detail = f"p50 {hundredths[49]:.2f}, max {max(late_s):.2f} s; {len(late_s)} samples, looked for every 0.25 s"
        gaps_s = prober.gaps_s(since_s)
        worst = max(gaps_s, key=lambda each: gaps_s[each])
        return [
            Figure("from sample to searchable, p99", LATENCY_S, hundredths[98], "s", detail),
            Figure("samples never found whole", 0, samples * self.appliances - len(prober.seen_s), "", "by the prober"),
            Figure("longest time without news", GAP_S, gaps_s[worst], "s", f"of any appliance: {worst}"),
        ]

    def _costs(self, server_s: float) -> list[Figure]:
        spent = [msgspec.json.decode(path.read_bytes(), type=Spent) for path in self.root.glob("spent-*.json")]
        documents = sum(each.documents for each in spent)
        failures = sum((Counter(each.failures) for each in spent), Counter[str]())
        words = ", ".join(f"{reason} {n}" for reason, n in failures.items() if n)
        wall_s = max(each.wall_s for each in spent)
        cpu_s = sum(each.cpu_s - each.making_s for each in spent)
        making_s = sum(each.making_s for each in spent)
        each_s = cpu_s / self.appliances / wall_s * 60
        detail = f"{cpu_s / documents * 1e6:.0f} µs a document, {each_s:.2f} s a minute for each appliance"
        apart = f"{len(spent)} processes; {making_s / wall_s:.3f} of a core more made the documents"
        nodes = f"{len(self.servers)} of OpenSearch, heap {HEAP_MB} MiB"
        return [
            Figure("documents a second", None, documents / wall_s, "", f"{self.appliances} appliances of 20 nodes"),
            Figure("CPU of all senders", None, cpu_s / wall_s, "cores", f"{detail}; {apart}"),
            Figure("requests that failed", None, failures.total(), "", f"and were sent again {words}".rstrip()),
            Figure("memory of all senders", None, sum(each.resident_mib for each in spent), "MiB", "resident"),
            Figure("CPU of the server", None, server_s / wall_s, "cores", f"{nodes}, with the prober's searches"),
            Figure("memory of the server", None, self.memory_mib, "MiB", "resident"),
        ]


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@click.option("--appliances", type=click.IntRange(min=SENDERS), default=APPLIANCES, show_default=True)
@click.option("--cluster", is_flag=True, help="Three nodes of which one dies in the middle.")
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, appliances: int, *, cluster: bool, as_json: bool) -> None:
    """Send the farm's documents and look how soon they are found; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder, ExitStack() as stack:
        if cluster:
            servers = stack.enter_context(IndexCluster(OPENSEARCH_3, nodes=NODES_OF_CLUSTER, heap_mb=HEAP_MB)).nodes
        else:
            servers = [stack.enter_context(IndexServer(OPENSEARCH_3, heap_mb=HEAP_MB))]
        load = Load(console, Path(folder), servers, appliances)
        figures = load.run(WARM_UP_SAMPLES + int(minutes * 60 / INTERVAL_S), kill=cluster)
    finish(console, figures, as_json=as_json)


if __name__ == "__main__":
    main()
