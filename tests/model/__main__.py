"""Proves the switcher's machine by exploration: `python -m tests.model --bound 4`."""

from __future__ import annotations

import sys

import click

from tests.model.explore import Explorer, Layer
from tests.model.firsts import every_first
from tests.model.heart import small_counts
from tests.model.story import told


@click.command()
@click.option("--bound", type=click.IntRange(0, 20), default=4, show_default=True)
@click.option("--thorough", is_flag=True, help="Goes on after a broken promise; one story for each.")
def main(bound: int, *, thorough: bool) -> None:
    """Visits every world that at most BOUND disturbances bring about."""

    def progress(layer: Layer) -> None:
        click.echo(
            f"{layer.disturbances:>12} {layer.worlds:>10,} {layer.transitions:>12,} {layer.depth:>6}"
            f" {layer.seconds:>8.1f} s"
        )

    click.echo(f"{'disturbances':>12} {'worlds':>10} {'transitions':>12} {'depth':>6} {'time':>8}")
    with small_counts():
        explored = Explorer(every_first, progress, thorough=thorough).explore(bound)
        click.echo(
            f"{explored.worlds:,} worlds, {explored.transitions:,} transitions, "
            f"{len(explored.heart.states):,} states of the machine, {len(explored.heart.transitions):,} of its steps"
        )
        for violation in explored.violations:
            click.echo(told(explored.heart, violation))
        if explored.violations:
            sys.exit(1)


if __name__ == "__main__":
    main()
