"""The fleet tool against real switchers: every node ends in the class of what really became of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.modes import Mode
from tests.integration.node import PATIENCE_S, Node, wait_for
from tests.ports import free_port

LIMIT = ["--limit", "20"]


class Fleet:
    """A few real nodes, one address at which nobody listens, and the tool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nodes = {host: Node(root / host, host=host) for host in ("fu-1", "fu-2", "fu-3")}
        self.file = root / "nodes.txt"
        lines = [f"{host} bu-1 127.0.0.1:{node.port}" for host, node in self.nodes.items()]
        self.file.write_text("\n".join([*lines, f"fu-4 bu-1 127.0.0.1:{free_port()}", ""]))

    def command(self, *words: str) -> list[str]:
        files = ["--store", str(self.root / "fleet.sqlite"), "--nodes", str(self.file)]
        return [sys.executable, "-m", "hltmode", "fleet", words[0], *words[1:], *files]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), check=False, capture_output=True, text=True, timeout=90)

    def classes(self, *words: str) -> tuple[int, dict[str, int], dict[str, str]]:
        """Runs an operation and returns exit code, counts, and the standing of each node."""
        done = self.run(*words, "--json")
        events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        assert events, done.stderr
        last = {event["host"]: event["standing"] for event in events if event["event"] == "node"}
        return done.returncode, events[-1]["counts"], last


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    try:
        for node in fleet.nodes.values():
            node.start()
        yield fleet
    finally:
        for node in fleet.nodes.values():
            node.clean()


def test_each_node_ends_where_it_really_is_and_undo_brings_back_what_was_moved(fleet: Fleet) -> None:
    fleet.nodes["fu-3"].faults({"status": {"exit": 3}})  # the cloud tool does not work there
    code, counts, last = fleet.classes("exclude", "fu-[1-4]", "--reason", "gap", *LIMIT, "--stop-share", "1")
    assert last == {"fu-1": "done", "fu-2": "done", "fu-3": "refused", "fu-4": "unreachable"}
    assert counts == {"done": 2, "refused": 1, "unreachable": 1}
    assert code == 10
    assert [fleet.nodes[host].mode for host in ("fu-1", "fu-2", "fu-3")] == [Mode.CLOUD, Mode.CLOUD, Mode.HLT]
    assert {switch.reason for switch in fleet.nodes["fu-1"].switches()} == {"gap"}

    code, counts, _ = fleet.classes("exclude", "fu-[1-2]", *LIMIT)
    assert (code, counts) == (0, {"already": 2})

    shown = fleet.run("status", "fu-[1-4]").stdout
    assert "no answer: fu-4" in shown
    first = next(
        line.split()[0] for line in fleet.run("history").stdout.splitlines() if "stopped" in line or "partial" in line
    )
    code, counts, last = fleet.classes("undo", first, *LIMIT, "--stop-share", "1")
    assert last["fu-1"] == last["fu-2"] == "done"
    assert "fu-3" not in last
    assert fleet.nodes["fu-1"].mode is Mode.HLT


def test_a_tool_that_is_killed_is_carried_on_without_asking_anew(fleet: Fleet) -> None:
    node = fleet.nodes["fu-1"]
    node.work_on(100, closed=3)
    with running(fleet.command("exclude", "fu-1", "fu-2", "--limit", "60")) as process:
        node.wait_mode(Mode.ACTIVATING_CLOUD)
        process.kill()
    node.told_to_stop()
    for lumisection in (4, 5):
        node.close_lumisection(100, lumisection)
    node.wait_mode(Mode.CLOUD)
    other_way = fleet.run("include", "--resume", "last")
    assert (other_way.returncode, "goes the other way" in other_way.stderr) == (2, True)
    code, counts, _ = fleet.classes("exclude", "--resume", "last")
    assert (code, counts) == (0, {"done": 2})
    assert fleet.run("resume", "last").returncode == 0
    assert len({record.id for record in node.requests()}) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_operator_hears_who_holds_the_nodes_and_the_first_can_look_away(fleet: Fleet, number: int) -> None:
    node = fleet.nodes["fu-1"]
    node.work_on(100, closed=3)
    with running(fleet.command("exclude", "fu-1", "--limit", "60", "--who", "anna")) as first:
        node.wait_mode(Mode.ACTIVATING_CLOUD)
        second = fleet.run("include", "fu-[1-2]", "--who", "ben")
        assert second.returncode == 4
        assert "anna has 1 of these nodes (fu-1)" in second.stderr
        first.send_signal(number)
        assert first.wait(PATIENCE_S) == 11
        assert "detached: 0 nodes wait to be asked" in first.communicate()[0]
    node.told_to_stop()
    for lumisection in (4, 5):
        node.close_lumisection(100, lumisection)
    assert fleet.run("watch", "last").returncode == 0


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yields a process, which is gone at the end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_held_nodes_are_left_alone_and_a_plan_asks_nobody(fleet: Fleet) -> None:
    assert fleet.run("hold", "fu-2", "--who", "anna", "--reason", "new disk").returncode == 0
    shown = fleet.run("plan", "cloud", "fu-[1-3]", "--keep", "2")
    assert shown.returncode == 0, shown.stderr
    assert "on hold: anna: new disk: fu-2" in shown.stdout
    assert "2 of each appliance are kept in HLT" in shown.stdout
    assert all(not node.requests() for node in fleet.nodes.values())
    done = fleet.run("exclude", "fu-[1-2]", *LIMIT, "--json")
    begun, *_, over = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, over["counts"], over["nodes"], begun["nodes"]) == (0, {"done": 1}, 1, 1)
    assert begun["left_out"] == {"fu-2": "on hold: anna: new disk"}
    code, _, last = fleet.classes("watch", "last")  # it is over: its nodes are told all the same
    assert (code, last) == (0, {"fu-1": "done"})
    wait_for("the held node is in HLT", lambda: fleet.nodes["fu-2"].mode is Mode.HLT)
    assert "1 released" in fleet.run("release", "fu-2").stdout
