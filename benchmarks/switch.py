"""How fast and how frugal the switcher is, beside its promises: `make bench-switch`.

A real switcher on loopback, a cloud tool that answers at once, jobs that are real processes. What is timed is seen from
outside, by reading the files that others read; hltd's figures are those of the contract, measured on another machine.
"""

from __future__ import annotations

import os
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure, finish, new_console
from benchmarks.processes import cpu_s, resident_mib
from contract.box import read_box
from contract.modes import Mode
from contract.paths import CORE_TOKEN
from tests.integration.node import Node, wait_for

ROUNDS: Final = 100
DRAINS: Final = 20
ANSWERS: Final = 1000
IDLE_S: Final = 60
CORES: Final = 16
LOOK_EVERY_S: Final = 0.0005

CLOUD_TOOL: Final = """#!/bin/sh
case $1 in
start) : > {up} ;;
stop) rm -f {up} ;;
status) {pause}; test -e {up} ;;
esac
"""


def main() -> None:
    as_json = "--json" in sys.argv
    console = new_console(as_json=as_json)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder:
        for number, measure in enumerate((leaving, handing_over, coming_back, frugal), 1):
            console.print(f"{number} of 4: {(measure.__doc__ or '').splitlines()[0]}", style="dim")
            root = Path(folder) / measure.__name__
            root.mkdir()
            figures += measure(root)
    finish(console, figures, as_json=as_json)


def leaving(root: Path) -> Iterator[Figure]:
    """exclude answered -> mode file says activatingCloud and the box file is masked"""
    with BenchNode(root, status_pause="sleep 0.1") as node:
        spans = []
        for _ in range(ROUNDS):
            node.cgi("exclude")
            answered_s = time.monotonic()
            until(lambda: node.mode is Mode.ACTIVATING_CLOUD and masked(node))
            spans.append(time.monotonic() - answered_s)
            node.wait_mode(Mode.CLOUD)
            wait_for("VMs up", lambda: node.status()["vms"] == "up")
            node.cgi("include")
            node.wait_mode(Mode.HLT)
    yield timed(f"exclude answered to activatingCloud and masked box, p99 of {ROUNDS}", 50, spans, "300 to 4000 ms")


def handing_over(root: Path) -> Iterator[Figure]:
    """last job's exit -> mode file says cloud"""
    with BenchNode(root) as node:
        spans = []
        for number in range(100, 100 + DRAINS):
            node.bu_run(number, 3)
            node.cgi("start", f"?run={number}")
            wait_for("every job", lambda: len(node.jobs()) == CORES // 4)
            node.cgi("exclude")
            wait_for("the stop file", (node.paths.run_dir(number) / "CMSSW_STOP").exists)
            ends = [os.pidfd_open(pid) for pid in node.jobs()]
            node.close_lumisection(number, 4)
            node.close_lumisection(number, 5)
            for end in ends:
                select.select([end], [], [])
                os.close(end)
            exited_s = time.monotonic()
            until(lambda: node.mode is Mode.CLOUD)
            spans.append(time.monotonic() - exited_s)
            node.end_bu_run(number)
            node.cgi("include")
            node.wait_mode(Mode.HLT)
    yield timed(f"last of {CORES // 4} jobs ends to cloud, worst of {DRAINS}", 100, spans, "500 ms", worst=True)


def coming_back(root: Path) -> Iterator[Figure]:
    """include answered -> every core token is idle, with a cloud tool that answers at once"""
    with BenchNode(root) as node:
        spans = []
        for _ in range(ROUNDS):
            node.cgi("exclude")
            wait_for("VMs up", lambda: node.status()["vms"] == "up")
            node.cgi("include")
            answered_s = time.monotonic()
            until(lambda: idle_tokens(node) == CORES)
            spans.append(time.monotonic() - answered_s)
            node.wait_mode(Mode.HLT)
    yield timed(f"include answered to tokens back, worst of {ROUNDS}", 200, spans, "3300 to 5000 ms", worst=True)


def frugal(root: Path) -> Iterator[Figure]:
    """a minute of idleness, then answers to cloud_mode_active_cgi.py"""
    with BenchNode(root) as node:
        assert node.daemon is not None
        pid = node.daemon.pid
        time.sleep(2)
        used_s, children = cpu_s(pid), children_waited_for(pid)
        time.sleep(IDLE_S)
        yield Figure(
            f"CPU of an idle switcher in {IDLE_S} s", 0.06, cpu_s(pid) - used_s, "s", "all threads", "0.036 s a minute"
        )
        yield Figure("its resident memory", 48, resident_mib(pid), "MiB", "VmRSS after that minute", "37.6 MiB")
        started = float(children_waited_for(pid) - children + len(children_alive(pid)))
        yield Figure("processes it started meanwhile", 0, started, "", "children of its tasks", "")
        used_s = cpu_s(pid)
        for _ in range(ANSWERS):
            node.cgi("cloud_mode_active")
        spent_ms = (cpu_s(pid) - used_s) / ANSWERS * 1e3
        yield Figure("CPU of one cloud_mode_active answer", 1, spent_ms, "ms", f"mean of {ANSWERS}", "about 50 ms")


class BenchNode:
    """A node with a cloud tool that answers at once and no merge script, ended at the end of the block."""

    def __init__(self, root: Path, *, status_pause: str = ":") -> None:
        tool = root / "cloud-tool"
        tool.write_text(CLOUD_TOOL.format(up=root / "up", pause=status_pause))
        tool.chmod(0o755)
        overlay: dict[str, dict[str, Any]] = {"igniter": {"command": [str(tool)]}, "jobs": {"merge_command": []}}
        self._node = Node(root, cores=CORES, overlay=overlay)

    def __enter__(self) -> Node:
        self._node.start()
        return self._node

    def __exit__(self, *_: object) -> None:
        self._node.clean()


def timed(what: str, promise_ms: float, spans_s: list[float], hltd: str, *, worst: bool = False) -> Figure:
    """Returns the figure of several spans: their p99, or the worst of few."""
    ordered = sorted(span * 1e3 for span in spans_s)
    measured = ordered[-1] if worst else statistics.quantiles(ordered, n=100, method="inclusive")[98]
    detail = f"min {ordered[0]:.1f}, median {statistics.median(ordered):.1f}, max {ordered[-1]:.1f} ms"
    return Figure(what, promise_ms, measured, "ms", detail, hltd)


def until(met: Callable[[], bool]) -> None:
    """Looks very often until `met`."""
    end_s = time.monotonic() + 30
    while not met():
        assert time.monotonic() < end_s, "nothing within 30 s"
        time.sleep(LOOK_EVERY_S)


def masked(node: Node) -> bool:
    box = read_box(node.paths.box)
    return getattr(box, "cloudState", "") == "starting" and getattr(box, "idles", -1) == 0


def idle_tokens(node: Node) -> int:
    return sum(1 for entry in node.paths.tokens("idle").iterdir() if CORE_TOKEN.fullmatch(entry.name))


def children_waited_for(pid: int) -> int:
    """Returns the page faults of children that have ended: it grows with every one."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[8])


def children_alive(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


if __name__ == "__main__":
    main()
