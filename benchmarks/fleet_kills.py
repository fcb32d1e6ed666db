"""A tool that is killed with -9 again and again, and carried on: the same end, and nobody asked under a second id."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.figures import Figure
from tests.integration.fleet_truth import Farm, Operation, Tool, asked_twice, random_mix, wrongs
from tests.integration.node import wait_for

LIMIT_S: Final = 600.0  # simulated; longer than any node needs that arrives at all, and than it takes to be stuck
LAST_SHARE: Final = 0.98  # of the nodes that have ended at the last kill: the rest may end all at once
LOOK_EVERY_S: Final = 0.1
WITHIN_S: Final = 1200.0
RAMP: Final = "5%,50%,100%"


def kills(console: Console, root: Path, nodes: int, speed: float, seed: int, times: int) -> list[Figure]:
    """Returns the figures of an operation that is killed so many times, beside the same one left alone."""
    mix = random_mix(seed, without=["silent"])
    words = ["exclude", "--limit", f"{LIMIT_S / speed:.2f}", "--ramp", RAMP, "--per-second", "300", "--stop-share", "1"]
    console.print(f"killed {times} times, and left alone: {mix}", style="dim")
    with Farm(_folder(root, "alone"), nodes, speed, mix, seed) as farm:
        tool = Tool(farm, root / "alone" / "fleet.sqlite")
        tool.run(*words, hosts=farm.hosts, within_s=WITHIN_S)
        (alone,) = tool.operations()
    with Farm(_folder(root, "killed"), nodes, speed, mix, seed) as farm:
        tool = Tool(farm, root / "killed" / "fleet.sqlite")
        moments = _kill(console, tool, (words, farm.hosts), random.Random(seed), times)  # noqa: S311 - no secret
        tool.run("watch", "last", within_s=WITHIN_S)
        (killed,) = tool.operations()
        truth = farm.truth()
    wrong, twice, other = wrongs(truth, killed), asked_twice(truth, [killed.id]), differing(alone, killed)
    for line in [*wrong, *twice, *other][:5]:
        console.print(f"   {line}", style="red")
    told = ", ".join(f"{n:,} {standing}" for standing, n in killed.classes.items())
    return [
        Figure(f"told wrongly after {len(moments)} kills", 0, len(wrong), "", f"{nodes} nodes: {told}"),
        Figure("asked under a second id after them", 0, len(twice), "", "by what the nodes have heard"),
        Figure("ended elsewhere than without kills", 0, len(other), "", f"when killed, had ended: {moments}"),
    ]


def differing(alone: Operation, killed: Operation) -> list[str]:
    """Returns the nodes that ended in another class."""
    return [
        f"{host}: {kept['standing']}, left alone {alone.nodes[host]['standing']}: {kept}"
        for host, kept in killed.nodes.items()
        if kept["standing"] != alone.nodes[host]["standing"]
    ]


def _kill(
    console: Console, tool: Tool, first: tuple[Sequence[str], Sequence[str]], dice: random.Random, times: int
) -> list[int]:
    """Kills the tool so often, and returns how many nodes had ended each time; fewer when the operation ends before.

    The kills are spread over the operation's progress: each at a random share of its own piece of it.
    """
    words, hosts = first
    command = tool.command(*words, hosts=hosts)
    moments: list[int] = []
    for place in range(times):
        enough = int(len(hosts) * LAST_SHARE * (place + dice.random()) / times)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_for("an operation", tool.operations, 60)
            while _ended(tool) < enough and process.poll() is None:
                time.sleep(LOOK_EVERY_S)
            time.sleep(dice.uniform(0.0, LOOK_EVERY_S))
            process.kill()
        if tool.operations()[0].verdict:
            console.print(f"   over after {len(moments)} kills", style="red")
            break
        moments.append(_ended(tool))
        console.print(f"   killed, {moments[-1]} of {len(hosts)} had ended", style="dim")
        command = tool.command("watch", "last")
    return moments


def _ended(tool: Tool) -> int:
    return sum(node["ended_s"] is not None for node in tool.operations()[0].nodes.values())


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder
