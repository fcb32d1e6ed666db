"""The same farm moved in three ways, in real time: the tool, curl node by node, and a thread for each node."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from benchmarks.costs import Cost, cost_of
from benchmarks.figures import Figure
from benchmarks.processes import module
from tests.integration.fleet_truth import Farm, Tool

REAL_TIME: Final = 1.0
# Asks each node in turn, then looks at those that are not there yet, round after round.
CURL: Final = r"""
cut -d' ' -f3 "$1" > "$1.left"
while read -r address; do curl -s -m 10 -o /dev/null "http://$address/cgi-bin/exclude_cgi.py"; done < "$1.left"
while [ -s "$1.left" ]; do
  while read -r address; do
    case $(curl -s -m 10 "http://$address/cgi-bin/cloud_mode_active_cgi.py") in
      0*|'') echo "$address";;
    esac
  done < "$1.left" > "$1.next"
  mv "$1.next" "$1.left"
  sleep 1
done
"""


class Way(NamedTuple):
    """One way: what it cost, and how long after the first the last node was asked."""

    name: str
    cost: Cost
    asked_s: float
    there: int


def others(console: Console, root: Path, nodes: int) -> list[Figure]:
    """Returns the figures of the tool, with those of the other ways beside them."""
    curl, shell = shutil.which("curl"), shutil.which("sh")
    assert curl and shell, "curl is not to be found"
    ways = []
    for name in ("the tool", "curl", "threads"):
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        with Farm(folder, nodes, REAL_TIME) as farm:
            command = {
                "the tool": Tool(farm, folder / "fleet.sqlite").command("exclude", "--ramp", "100%", hosts=farm.hosts),
                "curl": [shell, "-c", CURL, "curl", str(farm.file)],
                "threads": module("benchmarks.fleet_threads", farm.file),
            }[name]
            console.print(f"{nodes} nodes in real time by {name}", style="dim")
            way = _way(name, farm, cost_of(command, folder / "output.log"))
            console.print(f"   {way.cost.took_s:.0f} s, {way.there} in cloud", style="dim")
            ways.append(way)
    return _figures(ways, nodes)


def _way(name: str, farm: Farm, cost: Cost) -> Way:
    truth = farm.truth()
    moments = [got["first_s"] for told in truth.values() for got in told["requests"].values()]
    there = sum(told["mode"] == "cloud" for told in truth.values())
    return Way(name, cost, max(moments) - min(moments), there)


def _figures(ways: Sequence[Way], nodes: int) -> list[Figure]:
    tool, *rest = ways

    def beside(shown: Callable[[Way], str]) -> str:
        return ", ".join(f"{way.name} {shown(way)}" for way in rest)

    asked, took = beside(lambda way: f"{way.asked_s:.3g} s"), beside(lambda way: f"{way.cost.took_s:.3g} s")
    cpu, memory = beside(lambda way: f"{way.cost.cpu_s:.3g} s"), beside(lambda way: f"{way.cost.memory_mib:.3g} MiB")
    said = f"{nodes} nodes without faults, real time; in cloud at the end: " + ", ".join(
        f"{way.name} {way.there}" for way in ways
    )
    return [
        Figure("from the first asked to the last", None, tool.asked_s, "s", said, asked),
        Figure(
            "from its start to knowing all there",
            None,
            tool.cost.took_s,
            "s",
            "nodes drain for a minute",
            took,
        ),
        Figure("its CPU for that", None, tool.cost.cpu_s, "s", f"{tool.cost.cores:.2f} of a core", cpu),
        Figure("its memory for that", None, tool.cost.memory_mib, "MiB", "largest process", memory),
    ]
