"""A thousand journeys to the cloud and back in one switcher while the world misbehaves, and a collector that watches.

    python -m benchmarks.soak --journeys 1000

Real daemons, real files, real processes; dice decide what goes wrong (`--seed`). After each journey the node is at rest
in HLT: then its memory, open files and threads are read. At the end the journal is held against everything that was
asked, and the collector's log against the journal.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, finish, new_console
from benchmarks.footprint import Footprint, footprint, growth
from benchmarks.processes import Program, module
from benchmarks.soak_books import Books, balance
from benchmarks.soak_journeys import Traveller
from collector.history.logs import switchovers
from tests.integration.node import wait_for

WARM_UP_SHARE: Final = 0.2
ROWS: Final = 10
GROWTH_MIB: Final = 2.0  # of resident memory over all that was measured, as for the collector's cost
GROWTH_COUNT: Final = 0.5  # of open files and threads: less than one
LEFT_BEHIND: Final = "its daemons are ended, its figures lost"
BAD_WORDS: Final = ("Traceback", "Task exception", "never retrieved", "Unclosed", "never awaited")


class Soaked(NamedTuple):
    """What came of a soak: both daemons after each journey, the books, and what was met, by name."""

    switcher: list[Footprint]
    collector: list[Footprint]
    books: Books
    met: Counter[str]
    journal_bytes: int
    spent_s: float


@click.command(epilog="Exit codes: 0 all promises kept, 1 one broken.")
@click.option("--journeys", default=1000, show_default=True, type=click.IntRange(1), help="There and back.")
@click.option("--seed", default=1, show_default=True, help="What the dice begin with.")
@click.option("--folder", "kept", type=click.Path(path_type=Path), help="Work in this folder and keep it.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON on stdout.")
def main(journeys: int, seed: int, kept: Path | None, as_json: bool) -> None:
    """Send one node to the cloud and back many times in a bad world."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"ended by SIGTERM; {LEFT_BEHIND}"))
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-soak-") as folder:
        soaked = soak(kept or Path(folder), journeys, seed, console)
    console.print(table_of_growth(soaked))
    console.print(table_of_troubles(soaked))
    for fault in soaked.books.faults:
        console.print(f"[red]{fault}")
    finish(console, list(figures_of(soaked)), as_json=as_json)


def soak(root: Path, journeys: int, seed: int, console: Console) -> Soaked:
    """Makes the journeys with a node below `root`. Raises AssertionError when one does not arrive."""
    began_s = time.monotonic()
    switcher_held: list[Footprint] = []
    collector_held: list[Footprint] = []
    with Traveller(root, seed) as traveller:
        node = traveller.node
        assert node.daemon is not None
        command = module("hltmode", "collector", "run", "--config", node.files.config)
        with Program(command, root / "collector.log") as collector:
            wait_for("the collector is ready", lambda: "ready: " in collector.log.read_text(), 60)
            for number in range(1, journeys + 1):
                traveller.there_and_back()
                switcher_held.append(footprint(node.daemon.pid))
                collector_held.append(footprint(collector.pid))
                if number % max(1, journeys // ROWS) == 0:
                    console.print(f"{time.monotonic() - began_s:6.0f} s, {number} journeys: {switcher_held[-1]}")
            books = balance(node.records(), traveller.diary)
            wanted = Counter(switch.id for switch in node.switches())
            wait_for("the collector has the last switch", lambda: len(list(switchovers(node.paths.log))) >= len(wanted))
        faults = [*books.faults, *_said_badly(node.daemon.log), *_said_badly(collector.log)]
        if (code := node.end()) != 0:
            faults.append(f"the switcher ended with exit {code}")
        seen = Counter(switch.switch_id for _, switch in switchovers(node.paths.log))
        faults += [f"switch {identity} is {seen[identity]} times in the collector's log" for identity in wanted - seen]
        faults += [f"switch {identity} is once too often in the collector's log" for identity in seen - wanted]
        return Soaked(
            switcher=switcher_held,
            collector=collector_held,
            books=books._replace(faults=tuple(faults)),
            met=traveller.met,
            journal_bytes=node.paths.journal.stat().st_size,
            spent_s=time.monotonic() - began_s,
        )


def figures_of(soaked: Soaked) -> Iterator[Figure]:
    """Yields the figures."""
    books = soaked.books
    n = len(soaked.switcher)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(books.outcomes.items()))
    yield Figure(
        "faults in the books", 0, len(books.faults), "", f"{n} journeys there and back, {books.records} records"
    )
    detail = f"of {books.requests} requests {books.accepted} accepted: {told}"
    yield Figure(
        "accepted requests without their one switch", 0, books.accepted - sum(books.outcomes.values()), "", detail
    )
    for name, held in (("switcher", soaked.switcher), ("collector", soaked.collector)):
        warm = held[int(n * WARM_UP_SHARE) :]
        memory = growth([each.memory_mib for each in warm])
        span = (
            f"{held[0].memory_mib:.1f} at first, {warm[0].memory_mib:.1f} warm, {held[-1].memory_mib:.1f} MiB at last"
        )
        yield Figure(f"growth of the {name}'s memory", GROWTH_MIB, memory.over_all, "MiB", span)
        files = growth([each.files for each in warm])
        span = f"{held[0].files} at first, {held[-1].files} at last"
        yield Figure(f"growth of the {name}'s open files", GROWTH_COUNT, files.over_all, "", span)
        threads = growth([each.threads for each in warm])
        span = f"{held[0].threads} at first, {held[-1].threads} at last"
        yield Figure(f"growth of the {name}'s threads", GROWTH_COUNT, threads.over_all, "", span)
        yield Figure(
            f"children the {name} has not waited for", 0, max(each.children for each in held), "", "most at rest"
        )
    yield Figure("seconds a journey there and back", None, soaked.spent_s / n, "s", f"{soaked.spent_s:.0f} s in all")
    yield Figure("journal, a journey", None, soaked.journal_bytes / n, "bytes", f"{books.joined} runs joined on return")


def table_of_growth(soaked: Soaked) -> Table:
    """Returns what both daemons held, at the start and every tenth of the way."""
    table = Table("Journeys", "Switcher MiB", "files", "threads", "Collector MiB", "files", "threads")
    n = len(soaked.switcher)
    for number in [1, *range(max(1, n // ROWS), n + 1, max(1, n // ROWS))]:
        cells: list[str] = [str(number)]
        for held in (soaked.switcher[number - 1], soaked.collector[number - 1]):
            cells += [f"{held.memory_mib:.2f}", str(held.files), str(held.threads)]
        table.add_row(*cells)
    return table


def table_of_troubles(soaked: Soaked) -> Table:
    """Returns what was met on the way, and how often."""
    table = Table("Met on the way", "Times")
    for what, times in sorted(soaked.met.items()):
        table.add_row(what, str(times))
    return table


def _said_badly(log: Path) -> Sequence[str]:
    """Returns the lines of a daemon's log that nobody meant to write."""
    with log.open(errors="replace") as lines:
        return [f"{log.name}: {line.strip()}" for line in lines if any(word in line for word in BAD_WORDS)]


if __name__ == "__main__":
    main()
