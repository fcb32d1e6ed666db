"""The fleet tool against 1500 simulated nodes: does it tell the truth, how fast, and at what cost.

`python -m benchmarks.fleet`. For twenty random mixes of faults the class of every node is held against what the farm
knows; a tool is killed with -9 at twenty moments, spread over its progress, and carried on; and without faults,
in real time, it stands beside two ways of doing without it: curl, node by node, and a thread for each node that looks
once a second.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import click

from benchmarks.figures import Figure, finish, new_console
from benchmarks.fleet_kills import kills
from benchmarks.fleet_mixes import mixes
from benchmarks.fleet_others import others

PARTS: Final = ("mixes", "kills", "others")


@click.command()
@click.option("--nodes", type=click.IntRange(min=20), default=1500, show_default=True)
@click.option("--mixes", "amount", type=click.IntRange(min=1), default=20, show_default=True, help="Mixes of faults.")
@click.option("--kills", "times", type=click.IntRange(min=1), default=20, show_default=True, help="Kills with -9.")
@click.option("--speed", type=click.FloatRange(min=1.0), default=20.0, show_default=True, help="Of the farm's time.")
@click.option("--seed", default=1, show_default=True, help="Another seed gives other faults and other moments.")
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Only this part; may be repeated.")
@click.option("--json", "as_json", is_flag=True)
def main(nodes: int, amount: int, times: int, speed: float, seed: int, only: tuple[str, ...], *, as_json: bool) -> None:
    """Measure all parts; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    parts = only or PARTS
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder:
        root = Path(folder)
        if "mixes" in parts:
            figures += mixes(console, root, nodes, speed, range(seed, seed + amount))
        if "kills" in parts:
            figures += kills(console, root, nodes, speed, seed, times)
        if "others" in parts:
            figures += others(console, root, nodes)
    finish(console, figures, as_json=as_json)


if __name__ == "__main__":
    main()
