"""How fast a backlog is worked off: a full log by one shipper, beside ready-made bodies and beside rsyslog.

`python -m benchmarks.backlog`. In each round the same documents go into an empty index by the same client as
ready-made bulk bodies, by a shipper from its log, and by rsyslog with omelasticsearch from a file, one after the other.
Whoever sends has one core for itself, the server has the others. In the end each is killed with -9 in the middle and
started again, and ids are counted.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from benchmarks import rsyslog
from benchmarks.accounting import Books, kept, settle
from benchmarks.asking import ask, client_of, prepare, remove, stored
from benchmarks.box_documents import FIRST_S, documents
from benchmarks.drain import NAME, Took
from benchmarks.figures import Figure, amount, finish, new_console
from benchmarks.processes import Program, cpu_s, module
from collector.documents import BOX, Captured
from collector.index.names import index_of
from collector.log.store import Keep, Log
from contract.times import unix
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexServer

SHARE: Final = 0.8
HEAP_MB: Final = 2048
AT_ONCE: Final = 1000
EVER: Final = Keep(days=1e6, bytes=1 << 40)
PATIENCE_S: Final = 600.0
LOOK_EVERY_S: Final = 0.1
QUIET_S: Final = 10.0
OURS: Final = "ours"
READY: Final = "ready-made bodies"
RSYSLOG: Final = "rsyslog"
NOT_INSTALLED: Final = "rsyslog with omelasticsearch is not installed"
TRIED: Final = "tried elsewhere: 15,400 a second, 18 µs, 67,098 of 200,000 doubled"


class Yard:
    """A server, a full log and the same documents as lines, and who drains them."""

    def __init__(self, root: Path, server: IndexServer, n: int) -> None:
        self.root = root
        self.n = n
        self._server = server
        self._client = client_of(server)
        self._full = root / "full.sqlite"
        self._lines = root / "lines"
        self._index = fill(self._full, self._lines, n)
        self._core = max(os.sched_getaffinity(0))
        self._laid_out = 0

    def took(self, how: str) -> Took:
        """Returns what it took to drain everything into an empty index."""
        self._empty()
        if how == RSYSLOG:
            with self._sender(self._rsyslog()) as sender:
                began_s = time.monotonic()
                self._wait(lambda: self._written() >= self.n)
                return Took(self.n, time.monotonic() - began_s, cpu_s(sender.pid))
        command, result = self._drain("ready" if how == READY else how, self._log())
        with self._sender(command) as sender:
            sender.wait_end(PATIENCE_S)
        return msgspec.json.decode(result.read_bytes(), type=Took)

    def ours_killed(self) -> Books:
        """Returns the books after our shipper was killed in the middle and started again."""
        self._empty()
        log = self._log()
        command, _ = self._drain(OURS, log)
        self._killed_half_way(command)
        with self._sender(command) as sender:
            sender.wait_end(PATIENCE_S)
        return settle(kept(log), stored(self._client, "@timestamp"))

    def rsyslog_killed(self) -> tuple[int, int]:
        """Returns how many documents are missing and how many are there more than once, after the same kill."""
        self._empty()
        command = self._rsyslog()
        self._killed_half_way(command)
        with self._sender(command):
            before, since_s = -1, time.monotonic()
            while time.monotonic() < since_s + QUIET_S:
                if (now := self._written()) != before:
                    before, since_s = now, time.monotonic()
                time.sleep(LOOK_EVERY_S)
        # each host has one document of a moment
        found = Counter(
            (each.fields["host"], each.fields["@timestamp"]) for each in stored(self._client, "host", "@timestamp")
        )
        return self.n - len(found), sum(n > 1 for n in found.values())

    def _killed_half_way(self, command: list[str]) -> None:
        with self._sender(command) as sender:
            self._wait(lambda: self._written() >= self.n / 2)
            sender.kill()

    def _sender(self, command: list[str]) -> Program:
        return Program(["taskset", "-c", str(self._core), *command], self.root / "output")

    def _log(self) -> Path:
        log = self.root / "log.sqlite"
        for old in self.root.glob("log.sqlite*"):
            old.unlink()
        shutil.copy(self._full, log)
        return log

    def _drain(self, how: str, log: Path) -> tuple[list[str], Path]:
        result = self.root / "result"
        return module("benchmarks.drain", how, log, self._server.url, result), result

    def _rsyslog(self) -> list[str]:
        self._laid_out += 1
        folder = self.root / f"rsyslog-{self._laid_out}"
        return rsyslog.lay_out(folder, self._lines, self._server.ports.http, self._index)

    def _empty(self) -> None:
        remove(self._client)
        ask(self._client, "PUT", f"/{self._index}")

    def _written(self) -> int:
        """Returns how many documents the server has taken, whether a search finds them yet or not."""
        stats = ask(self._client, "GET", f"/{self._index}/_stats/indexing")
        n: int = stats["_all"]["primaries"]["indexing"]["index_total"]
        return n

    def _wait(self, met: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not met():
            assert time.monotonic() < end_s, f"not within {PATIENCE_S:g} s"
            time.sleep(LOOK_EVERY_S)


def fill(path: Path, lines: Path, n: int) -> str:
    """Puts `n` box documents of one day in a log with a sink, and in a file of lines; returns their index."""
    log = Log(path, "bu-1", (NAME,))
    log.open()
    made = (
        Captured(kind=BOX, host=str(each["host"]), time_s=unix(str(each["@timestamp"])), fields=each)
        for _, each in documents()
    )
    with lines.open("wb") as file:
        for _ in range(0, n, AT_ONCE):
            some = list(islice(made, AT_ONCE))
            file.writelines(msgspec.json.encode(document.fields) + b"\n" for document in some)
            log.append(some, 0, EVER, some[-1].time_s)
    log.close()
    return index_of(BOX, "cdaq", FIRST_S)


@click.command()
@click.option("--documents", "n", type=click.IntRange(min=2000), default=200_000, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(n: int, rounds: int, *, as_json: bool) -> None:
    """Drain, alternating; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder:
        os.sched_setaffinity(0, cores[:-1] or cores)  # the server that is started now inherits it
        with IndexServer(OPENSEARCH_3, heap_mb=HEAP_MB) as server:
            os.sched_setaffinity(0, cores)
            figures = list(run(console, Path(folder), server, n, rounds))
    finish(console, figures, as_json=as_json)


def run(console: Console, root: Path, server: IndexServer, n: int, rounds: int) -> Iterator[Figure]:
    """Yields the figures."""
    client = client_of(server)
    prepare(client)
    client.close()
    console.print(f"filling a log with {n} documents", style="dim")
    n -= n % AT_ONCE
    yard = Yard(root, server, n)
    contestants = [READY, OURS] + [RSYSLOG] * bool(rsyslog.program())
    took: dict[str, list[Took]] = {name: [] for name in contestants}
    console.print("warming the server up", style="dim")
    yard.took(READY)
    for number in range(rounds):
        # each is first once: a server that has just been busy is a faster or a slower one
        turn = number % len(contestants)
        for name in contestants[turn:] + contestants[:turn]:
            each = yard.took(name)
            took[name].append(each)
            words = f"{each.documents / each.seconds:,.0f} documents/s, {each.cpu_s / n * 1e6:.1f} µs of CPU a document"
            console.print(f"round {number + 1} of {rounds}, {name}: {words}", style="dim")
    yield from of_speed(took)
    console.print("killing ours in the middle", style="dim")
    books = yard.ours_killed()
    beside = NOT_INSTALLED
    if RSYSLOG in contestants:
        console.print("killing rsyslog in the middle", style="dim")
        missing, doubled = yard.rsyslog_killed()
        beside = f"rsyslog: {missing} missing, {doubled} doubled of {n}"
    detail = f"{books.delivered} of {books.made} in the index"
    yield Figure("missing after kill -9 in the middle", 0, books.missing, "", detail, beside)
    yield Figure("doubled or strange after it", 0, books.doubled + books.strange, "", "by id", TRIED)


def of_speed(took: Mapping[str, Sequence[Took]]) -> Iterator[Figure]:
    """Yields our speed by that of the others, round by round, and the CPU of each."""
    speeds = {name: [each.documents / each.seconds for each in rounds] for name, rounds in took.items()}
    costs_us = {name: statistics.median(each.cpu_s / each.documents * 1e6 for each in took[name]) for name in took}
    for name, promise in ((READY, SHARE), (RSYSLOG, 1.0)):
        if name in took:
            shares = [ours / theirs for ours, theirs in zip(speeds[OURS], speeds[name], strict=True)]
            words = f"medians {amount(statistics.median(speeds[OURS]))} and {amount(statistics.median(speeds[name]))}"
            detail = f"median of {len(shares)} rounds, from {min(shares):.2f} to {max(shares):.2f}; {words} documents/s"
            yield Figure(f"backlog by {name}", promise, statistics.median(shares), "", detail, at_least=True)
        else:
            yield Figure(f"backlog by {name}", None, 0, "", NOT_INSTALLED)
    beside = ", ".join(f"{name} {cost_us:.1f} µs" for name, cost_us in costs_us.items() if name != OURS)
    yield Figure("CPU of the sender for a document", None, costs_us[OURS], "µs", "all threads; medians", beside)


if __name__ == "__main__":
    main()
