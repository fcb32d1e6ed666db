"""Random mixes of faults: the tool's class of each node beside what the farm knows, and what the tool has cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from benchmarks.costs import Cost, cost_of
from benchmarks.figures import Figure
from tests.integration.fleet_truth import Farm, Operation, Told, Tool, asked_twice, random_mix, wrongs

LIMITS_S: Final = (100.0, 400.0)  # simulated seconds for each node, from and to; a healthy one needs about 70
SHOWN: Final = 3


class Mixed(NamedTuple):
    """One mix: its faults, nodes told wrongly, those asked under a second id, when the last was asked, cost."""

    faults: str
    wrong: list[str]
    twice: list[str]
    asked_s: float
    classes: dict[str, int]
    cost: Cost


def mixes(console: Console, root: Path, nodes: int, speed: float, seeds: Iterable[int]) -> list[Figure]:
    """Returns the figures of one mix for each seed."""
    done: list[Mixed] = []
    rows: list[Figure] = []
    for seed in seeds:
        mix = random_mix(seed)
        folder = root / f"mix-{seed}"
        folder.mkdir()
        found = _run(folder, nodes, speed, mix, seed)
        done.append(found)
        row = _row(seed, found, nodes)
        rows.append(row)
        console.print(f"{row.what}: {len(found.wrong)} wrong; {row.detail}", style="dim")
        for words in found.wrong[:SHOWN]:
            console.print(f"   {words}", style="red")
    return [*_figures(done, nodes), *rows]


def last_asked_s(truth: Mapping[str, Told], operation: Operation) -> float:
    """Returns how long after its beginning the last node was asked that can be asked."""
    moments: list[float] = [got["first_s"] for told in truth.values() for got in told["requests"].values()]
    return max(moments) - operation.created_s


def _run(folder: Path, nodes: int, speed: float, mix: str, seed: int) -> Mixed:
    with Farm(folder, nodes, speed, mix, seed) as farm:
        tool = Tool(farm, folder / "fleet.sqlite")
        limit_s = random.Random(seed).uniform(*LIMITS_S) / speed  # noqa: S311 - no secret
        words = ("exclude", "--limit", f"{limit_s:.2f}", "--stop-share", "1", "--ramp", "100%")
        cost = cost_of(tool.command(*words, hosts=farm.hosts), folder / "tool.log")
        truth = farm.truth()
        (operation,) = tool.operations()
        twice = asked_twice(truth, [operation.id])
        return Mixed(mix, wrongs(truth, operation), twice, last_asked_s(truth, operation), operation.classes, cost)


def _row(seed: int, found: Mixed, nodes: int) -> Figure:
    """Returns one mix as a line of its own: what was wrong with the farm, and what came of it."""
    ended = ", ".join(f"{n} {standing}" for standing, n in sorted(found.classes.items(), key=lambda each: -each[1]))
    cost = f"{found.cost.took_s:.0f} s, CPU {found.cost.cpu_s:.1f} s, {found.cost.memory_mib:.0f} MiB"
    detail = f"{nodes} nodes, {found.faults}: asked in {found.asked_s:.2f} s, {cost}; {ended}"
    return Figure(f"mix {seed}, told wrongly or asked twice", 0, len(found.wrong) + len(found.twice), "", detail)


def _figures(done: list[Mixed], nodes: int) -> list[Figure]:
    classes = sum((Counter(each.classes) for each in done), Counter[str]())
    every = ", ".join(f"{n:,} {standing}" for standing, n in classes.most_common())
    dearest = max(done, key=lambda each: each.cost.cores)
    wrong = sum(len(each.wrong) for each in done)
    return [
        Figure("nodes told wrongly", 0, wrong, "", f"{len(done)} random mixes of faults, {nodes} nodes each: {every}"),
        Figure("asked under a second id", 0, sum(len(each.twice) for each in done), "", "by what the nodes have heard"),
        Figure("all nodes asked", 3, max(each.asked_s for each in done), "s", "worst mix, since the operation began"),
        Figure("memory of the tool", 150, max(each.cost.memory_mib for each in done), "MiB", "resident, worst mix"),
        Figure(
            "CPU of the tool", 1, dearest.cost.cores, "cores",
            f"worst mix: {dearest.cost.cpu_s:.1f} s in {dearest.cost.took_s:.0f} s, start and looks before included",
        ),
    ]  # fmt: skip
