"""What a node pays for its telemetry: CPU and memory of collectors, beside node_exporter's in the same run.

`python -m benchmarks.node_cost`. All run side by side for `--minutes` and are scraped every 15 s: a collector at the
real rate for each kind of index server, one for an appliance of twenty boxes, and one at ten times the rate, whose
memory must stay flat. Boxes are rewritten as often as samples are taken.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console

from benchmarks.agents import Agent
from benchmarks.asking import client_of, kind_of, prepare
from benchmarks.box_documents import CORES, NODES_OF_APPLIANCE
from benchmarks.box_files import BoxFiles
from benchmarks.figures import Figure, amount, finish, new_console
from benchmarks.processes import Program, cpu_s, resident_mib
from benchmarks.scraping import EVERY_S, Scraper
from contract.config import Role
from contract.modefile import write_mode
from contract.modes import Mode
from contract.sink import Sink
from tests.ports import free_port
from tests.servers.releases import ELASTICSEARCH_9, OPENSEARCH_3
from tests.servers.server import IndexServer

INTERVAL_S: Final = 5.0
FAST_S: Final = 0.5
WARM_UP_S: Final = 45.0
CPU_S: Final = 0.15
MEMORY_MIB: Final = 64.0
GROWTH_MIB: Final = 2.0
TIMES_A_NODE: Final = 3.0
EXPORTER: Final = "prometheus-node-exporter"
HLTD: Final = "hltd 0.036 s, idle and without shipping"
HLTD_MEMORY: Final = "hltd 71 MiB, with shipping"

FAST: Final = "ten times the rate"
APPLIANCE: Final = "appliance of 20"


class Cost(NamedTuple):
    """Of one process: CPU seconds a minute, and MiB in RAM at the beginning and the end of what was measured."""

    cpu_s: float
    first_mib: float
    last_mib: float


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.25), default=10.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, *, as_json: bool) -> None:
    """Measure; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder, ExitStack() as stack:
        servers = [stack.enter_context(IndexServer(release)) for release in (OPENSEARCH_3, ELASTICSEARCH_9)]
        for server in servers:
            client = client_of(server)
            prepare(client)
            client.close()
        agents = dict(lay_out(stack, Path(folder), servers))
        pids = {name: agent.pid for name, agent in agents.items()}
        ports = [agent.port for agent in agents.values()]
        if exporter := shutil.which(EXPORTER):
            ports.append(free_port())
            command = [exporter, f"--web.listen-address=127.0.0.1:{ports[-1]}", "--log.level=error"]
            pids[EXPORTER] = stack.enter_context(Program(command, Path(folder) / "exporter.output")).pid
        scraper = stack.enter_context(Scraper(ports))
        costs = measure(console, pids, minutes)
        scrapes = scraper.scrapes
        assert not scraper.failures, "a scrape failed"
    console.print(f"{scrapes} scrapes, each process one every {EVERY_S:g} s", style="dim")
    finish(console, list(figures_of(costs, servers, minutes)), as_json=as_json)


def lay_out(stack: ExitStack, root: Path, servers: Sequence[IndexServer]) -> Iterator[tuple[str, Agent]]:
    """Yields collectors that are ready, with the box files they read."""
    wanted = [(server.release.name, server, "fu", INTERVAL_S, Role.NODE) for server in servers]
    wanted += [(APPLIANCE, servers[0], "bu", INTERVAL_S, Role.APPLIANCE), (FAST, servers[0], "fu", FAST_S, Role.NODE)]
    for number, (name, server, kind, interval_s, role) in enumerate(wanted):
        host = f"{kind}-{number}"
        sink = Sink(kind=kind_of(server), hosts=[server.url])
        agent = Agent(root / host, host, [sink], interval_s=interval_s, role=role, cores=CORES)
        hosts = [f"{host}-{box:02d}" for box in range(NODES_OF_APPLIANCE)] if role is Role.APPLIANCE else [host]
        if role is Role.NODE:
            write_mode(agent.paths.mode, Mode.HLT)
        stack.enter_context(BoxFiles(agent.boxes, hosts, every_s=interval_s, seed=number))
        agent.start()
        stack.callback(agent.end)
        agent.wait_ready()
        yield name, agent


def measure(console: Console, pids: dict[str, int], minutes: float) -> dict[str, Cost]:
    """Returns what each process cost while `minutes` went by, after a warm-up."""
    with console.status(f"warming up for {WARM_UP_S:g} s"):
        time.sleep(WARM_UP_S)
    before = {name: (cpu_s(pid), resident_mib(pid)) for name, pid in pids.items()}
    began_s = time.monotonic()
    with console.status("") as status:
        while (left_s := began_s + minutes * 60 - time.monotonic()) > 0:
            status.update(f"measuring for {left_s:.0f} s more")
            time.sleep(min(1.0, left_s))
    gone_min = (time.monotonic() - began_s) / 60
    return {
        name: Cost((cpu_s(pid) - before[name][0]) / gone_min, before[name][1], resident_mib(pid))
        for name, pid in pids.items()
    }


def figures_of(costs: dict[str, Cost], servers: Sequence[IndexServer], minutes: float) -> Iterator[Figure]:
    """Yields the figures."""
    exporter = costs.get(EXPORTER)
    beside = f"node_exporter {exporter.cpu_s:.3f} s" if exporter else "node_exporter not installed"
    beside_memory = f"node_exporter {exporter.last_mib:.1f} MiB" if exporter else "node_exporter not installed"
    span = f"over {minutes:g} min, a sample every"
    for server in servers:
        name = server.release.name
        yield Figure(
            f"CPU of a node's collector a minute, {name}",
            CPU_S,
            costs[name].cpu_s,
            "s",
            f"{span} {INTERVAL_S:g} s",
            f"{beside}; {HLTD}",
        )
        yield Figure(
            f"its memory, {name}",
            MEMORY_MIB,
            costs[name].last_mib,
            "MiB",
            "resident",
            f"{beside_memory}; {HLTD_MEMORY}",
        )
    node, appliance, fast = costs[servers[0].release.name], costs[APPLIANCE], costs[FAST]
    detail = f"{appliance.cpu_s:.3f} s a minute, {appliance.last_mib:.1f} MiB; {servers[0].release.name}"
    yield Figure("CPU of an appliance's collector by a node's", TIMES_A_NODE, appliance.cpu_s / node.cpu_s, "", detail)
    growth_mib = fast.last_mib - fast.first_mib
    detail = (
        f"from {fast.first_mib:.2f} to {fast.last_mib:.2f}, {span} {FAST_S:g} s; CPU {amount(fast.cpu_s)} s a minute"
    )
    yield Figure(f"growth at {FAST}", GROWTH_MIB, growth_mib, "MiB", detail)


if __name__ == "__main__":
    main()
