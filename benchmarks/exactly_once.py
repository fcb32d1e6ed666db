"""Nothing lost, nothing doubled: twenty agents whose server, line and processes fail in every way for five minutes.

`python -m benchmarks.exactly_once`. Real collectors make documents at twenty times the real rate, beside box files
like hltd's, whose nodes switch now and then. A seeded schedule stops and kills the one OpenSearch, and has a proxy
before it refuse, swallow, slow, cut and spoil requests and answer 429 and 503, for all or for single documents;
agents are killed with -9 and started again. Indices are named by the day, so the agents' wall clock passes over
midnight twice, the second time after a step. At the end every id of every log must be in the index once, and nothing
else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.accounting import Books, kept, made, settle
from benchmarks.agents import Agent, Life
from benchmarks.asking import client_of, kind_of, prepare, stored
from benchmarks.bad_days import BadDays
from benchmarks.box_files import BoxFiles
from benchmarks.fault_schedule import Do, schedule
from benchmarks.figures import Figure, finish, new_console
from benchmarks.on_time import LATE_S
from benchmarks.samples_on_time import timing_figures, timing_of
from benchmarks.scraping import Scraper
from benchmarks.stepped_clock import over_two_midnights
from collector.log.ledger import Account
from contract.metric_names import LATENESS
from contract.sink import Sink
from tests.servers.proxy import FaultProxy
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexServer

INTERVAL_S: Final = 0.25
BOXES_EVERY_S: Final = 1.0
SWITCH_EVERY_S: Final = 10.0
START_S: Final = 1.5  # of an agent, when all start at once
DRAINED_WITHIN_S: Final = 300.0
HLTD: Final = "hltd loses 124 of 200 in an outage of 60 s"


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True)
@click.option("--agents", "amount", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Another seed gives other bad days.")
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, amount: int, seed: int, *, as_json: bool) -> None:
    """Let everything fail, then count; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    with (
        tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder,
        IndexServer(OPENSEARCH_3) as server,
        FaultProxy(server.url, seed=seed) as proxy,
    ):
        figures = run(console, Path(folder), server, proxy, (minutes * 60, amount, seed))
    finish(console, figures, as_json=as_json)


def run(
    console: Console, root: Path, server: IndexServer, proxy: FaultProxy, wished: tuple[float, int, int]
) -> list[Figure]:
    """Returns the figures of one run."""
    span_s, amount, seed = wished
    client = client_of(server)
    prepare(client)
    sink = Sink(kind=kind_of(server), hosts=[proxy.url], timeout_s=3.0, backlog_per_s=2000.0)
    start_s = time.time() + START_S * amount + 2.0
    step_s = start_s + span_s * 0.6
    clock = over_two_midnights(start_s + span_s / 3, step_s, start_s + span_s * 2 / 3)
    agents = [Agent(root, f"fu-{number:02d}", [sink], interval_s=INTERVAL_S, clock=clock) for number in range(amount)]
    hosts = [agent.host for agent in agents]
    days = BadDays(server, proxy, agents, client, lambda words: console.print(words, style="dim"))
    files = BoxFiles(
        agents[0].boxes, hosts, every_s=BOXES_EVERY_S, switch_every_s=SWITCH_EVERY_S, now=clock.now, seed=seed
    )
    try:
        with files, Scraper([agent.port for agent in agents], LATENESS) as scraper:
            for agent in agents:
                agent.start()
            for agent in agents:
                agent.wait_ready()
            console.print(f"{amount} agents are ready, {span_s:g} s of bad days begin", style="dim")
            time.sleep(max(0.0, start_s - time.time()))
            since_s = time.time()
            days.live(schedule(seed, span_s, amount), span_s)
            until_s = time.time()
            console.print("faults end; the agents drain", style="dim")
            days.mend()
            drained_s = days.drain(DRAINED_WITHIN_S)
            days.count_conflicts()
    finally:
        for agent in agents:
            agent.end()
    logs = chain.from_iterable(kept(agent.log) for agent in agents)
    books = settle(logs, stored(client, "@timestamp"))
    client.close()
    gone = [account for agent in agents for account in agent.accounts().values()]
    timing = timing_of(agents, INTERVAL_S, Life(since_s, until_s), clock)
    ever = sum(made(agent.log) for agent in agents)
    console.print(f"requests by what befell them: {dict(proxy.fates)}", style="dim")
    return [
        *of_books(books, ever, gone, drained_s),
        *of_days(days, proxy),
        *timing_figures(timing, INTERVAL_S, by_gauge(scraper.values)),
    ]


def by_gauge(lateness_s: Sequence[float]) -> str:
    """Returns what the gauge says of the same samples."""
    return f"by the gauge {sum(each <= LATE_S for each in lateness_s)} of {len(lateness_s)} scrapes"


def of_books(books: Books, ever: int, gone: Sequence[Account], drained_s: float) -> list[Figure]:
    """Returns what became of the documents."""
    detail = f"{books.delivered} of {books.made} in the index; backlog gone {drained_s:.0f} s after the last fault"
    return [
        Figure("documents made", None, ever, "", "every one of boxes and switches, in all logs"),
        Figure("documents missing", 0, books.missing, "", detail, HLTD),
        Figure("documents doubled", 0, books.doubled, "", "ids that are in the index more than once"),
        Figure("documents strange", 0, books.strange, "", "in no log, in another index, or with other content"),
        Figure("documents dead", 0, sum(each.dead for each in gone), "", "given up, by the agents' accounts"),
        Figure("documents dropped", 0, ever - books.made, "", "made and no longer in a log"),
    ]


def of_days(days: BadDays, proxy: FaultProxy) -> list[Figure]:
    """Returns what happened."""
    servers = days.done[Do.STOP_SERVER] + days.done[Do.KILL_SERVER]
    return [
        Figure("agents killed with -9", None, days.done[Do.KILL_AGENT], "", f"server stopped or killed: {servers}"),
        Figure("documents sent twice, kept once", None, days.conflicts, "", "409s of the server, but for its kills"),
        Figure("documents refused one by one", None, proxy.refused, "", "with 429, within requests that were answered"),
    ]


if __name__ == "__main__":
    main()
