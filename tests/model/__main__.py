"""Proves the switcher's machine by exploration: `python -m tests.model prove --bound 5`."""

from __future__ import annotations

import resource
import sys
import time

import click

from tests.model import diagram
from tests.model.explore import Explored, Explorer, Layer
from tests.model.faults import FOUND, SEEDED, seeded
from tests.model.firsts import every_first
from tests.model.heart import small_counts
from tests.model.proof import CI_BOUND, shortest_story
from tests.model.story import told

EXIT_BROKEN = 1


@click.group()
def main() -> None:
    """Explores the switcher's machine in a small world.

    Exit codes: 0 every promise is kept, 1 one is broken, 2 usage.
    """


@main.command()
@click.option("--bound", type=click.IntRange(0, 20), default=CI_BOUND, show_default=True, help="Disturbances on a way.")
@click.option("--thorough", is_flag=True, help="Goes on after a broken promise and tells one story for each.")
def prove(bound: int, *, thorough: bool) -> None:
    """Visits every world that at most BOUND disturbances bring about.

    Example: python -m tests.model prove --bound 5
    """
    explored = _explored(bound, thorough=thorough)
    for violation in explored.violations:
        click.echo(told(explored.heart, violation))
    click.echo("a promise is broken" if explored.violations else "every promise is kept, and every world arrives")
    sys.exit(EXIT_BROKEN if explored.violations else 0)


@main.command()
def faults() -> None:
    """Tells the shortest story of every machine with a fault, to show what the exploration finds."""
    for fault in (*SEEDED, *FOUND):
        with seeded(fault):
            click.echo(f"{fault.name}\n{shortest_story()}\n")


@main.command()
@click.option("--write", is_flag=True, help="Writes them into docs/architecture.md instead.")
def diagrams(*, write: bool) -> None:
    """Prints the transitions that were met, as a table and a diagram."""
    section = diagram.section(_explored(CI_BOUND))
    if not write:
        click.echo(section)
        return
    diagram.MANUAL.write_text(diagram.in_manual(diagram.MANUAL.read_text(), section))
    click.echo(f"{diagram.MANUAL}: written")


def _explored(bound: int, *, thorough: bool = False) -> Explored:
    def progress(layer: Layer) -> None:
        click.echo(
            f"{layer.disturbances:>12} {layer.worlds:>12,} {layer.transitions:>14,} {layer.depth:>7}"
            f" {layer.seconds:>8.1f} s",
            err=True,
        )

    click.echo(f"{'disturbances':>12} {'worlds':>12} {'transitions':>14} {'longest':>7} {'time':>10}", err=True)
    start = time.process_time()
    with small_counts():
        explored = Explorer(every_first, progress, thorough=thorough).explore(bound)
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    click.echo(
        f"{'together':>12} {explored.worlds:>12,} {explored.transitions:>14,}\n"
        f"{len(explored.heart.states):,} states of the machine, {len(explored.heart.transitions):,} of its steps;"
        f" {time.process_time() - start:.0f} s of one core, {mebibytes} MiB",
        err=True,
    )
    return explored


if __name__ == "__main__":
    main(prog_name="python -m tests.model")
