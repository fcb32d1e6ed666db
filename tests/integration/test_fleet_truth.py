"""The fleet tool beside a simulated farm that goes wrong in every way: what it says of each node is what happened."""

from __future__ import annotations

import functools
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.fleet_truth import GOOD, Farm, Operation, Tool, asked_twice, random_mix, wrongs
from tests.integration.node import wait_for

SPEED = 100.0
NODES = 150
EVERYONE = ["--stop-share", "1", "--ramp", "100%"]


@pytest.fixture
def new_farm(tmp_path: Path) -> Iterator[Callable[..., tuple[Farm, Tool]]]:
    made: list[Farm] = []

    def make(nodes: int, speed: float = SPEED, faults: str = "", seed: int = 1) -> tuple[Farm, Tool]:
        farm = Farm(tmp_path, nodes, speed, faults, seed)
        made.append(farm)
        return farm, Tool(farm, tmp_path / "fleet.sqlite")

    yield make
    for farm in made:
        assert farm.daemon.end() == 0


def agrees(farm: Farm, operation: Operation, code: int) -> None:
    """Holds classes, verdict and exit code of an operation against what the farm knows."""
    assert wrongs(farm.truth(), operation) == []
    classes = set(operation.classes)
    assert (code == 0) == (classes <= GOOD) == (operation.verdict == "all good"), (code, operation.classes)
    assert code in (0, 10, 11)
    assert (code == 11) == (not classes <= GOOD and classes <= GOOD | {"going on"})


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_every_class_is_what_really_became_of_the_node_there_and_back(
    new_farm: Callable[..., tuple[Farm, Tool]], seed: int
) -> None:
    mix = random_mix(seed, without=[] if seed == 1 else ["silent"])
    farm, tool = new_farm(NODES, faults=mix, seed=seed)
    limit_s = random.Random(seed).choice(["1", "1.5", "3"])
    code = tool.run("exclude", "--limit", limit_s, *EVERYONE, hosts=farm.hosts)
    (there,) = tool.operations()
    assert len(there.nodes) == NODES
    agrees(farm, there, code)
    assert asked_twice(farm.truth(), [there.id]) == []
    if seed != 4:
        return
    code = tool.run("undo", "last", "--limit", "3", *EVERYONE)
    _, back = tool.operations()
    agrees(farm, back, code)
    truth = farm.truth()
    assert asked_twice(truth, [there.id, back.id]) == []
    moved = {
        host for host, told in truth.items() if there.id in told["requests"] and there.nodes[host]["standing"] == "done"
    }
    assert moved <= set(back.nodes)
    assert {truth[host]["mode"] for host, kept in back.nodes.items() if kept["standing"] in GOOD} == {"HLT"}
    assert not {host for host, kept in there.nodes.items() if kept["standing"] in ("refused", "already")} & set(
        back.nodes
    )


def test_a_tool_that_is_killed_at_any_moment_ends_the_same_and_asks_nobody_under_another_id(
    new_farm: Callable[..., tuple[Farm, Tool]],
) -> None:
    farm, tool = new_farm(NODES, speed=40.0, faults=random_mix(5, without=["silent"]), seed=5)
    dice = random.Random(5)
    words = ["exclude", "--limit", "6", "--per-second", "100", "--ramp", "10%,100%", *EVERYONE]
    with tool.running(*words, hosts=farm.hosts) as process:
        wait_for("an operation", tool.operations)
        many = dice.randint(1, NODES // 2)
        wait_for("some have been asked", lambda: asked(tool) >= many)
        process.kill()
    for _ in range(3):
        enough = changes(tool) + dice.randint(1, 40)
        with tool.running("watch", "last") as process:
            wait_for("changes", functools.partial(has_changed, tool, enough, process), 90)
            process.kill()
    code = tool.run("watch", "last")
    (operation,) = tool.operations()
    agrees(farm, operation, code)
    assert asked_twice(farm.truth(), [operation.id]) == []


def asked(tool: Tool) -> int:
    return sum(node["asked_s"] is not None for each in tool.operations() for node in each.nodes.values())


def changes(tool: Tool) -> int:
    """Returns how many nodes have been asked, and have ended."""
    ended = sum(node["ended_s"] is not None for each in tool.operations() for node in each.nodes.values())
    return asked(tool) + ended


def has_changed(tool: Tool, enough: int, process: subprocess.Popen[bytes]) -> bool:
    return changes(tool) >= enough or process.poll() is not None


def test_a_request_of_somebody_else_in_the_middle_is_seen_to_have_won(
    new_farm: Callable[..., tuple[Farm, Tool]],
) -> None:
    farm, tool = new_farm(30, speed=10.0)
    crossed = farm.hosts[::3]
    with tool.running("exclude", "--limit", "60", *EVERYONE, hosts=farm.hosts) as process:
        wait_for("all have been asked", lambda: all(told["requests"] for told in farm.truth().values()))
        # Before, it would be told so in the answer; now it is in the journal.
        wait_for("each has left its check behind", lambda: all(farm.phase(host) == "drain" for host in crossed))
        assert {farm.ask(host, "bens", "HLT") for host in crossed} == {202}
        code = process.wait(120)
    (operation,) = tool.operations()
    agrees(farm, operation, code)
    assert operation.classes == {"superseded": 10, "done": 20}
    assert {operation.nodes[host]["words"] for host in crossed} == {"ben asked for HLT"}


def test_already_is_said_of_a_node_on_its_way_only_when_it_has_arrived(
    new_farm: Callable[..., tuple[Farm, Tool]],
) -> None:
    farm, tool = new_farm(12, speed=40.0, faults="lies=3,refuses-late=3,hangs=2", seed=2)
    fault = {host: told["fault"] for host, told in farm.truth().items()}
    for host in farm.hosts:
        farm.ask(host, "bens", "cloud")
    code = tool.run("exclude", "--limit", "8", *EVERYONE, hosts=farm.hosts)
    (operation,) = tool.operations()
    ended = {"none": "already", "lies": "failed", "refuses-late": "refused", "hangs": "stuck"}
    assert {host: kept["standing"] for host, kept in operation.nodes.items()} == {
        host: ended[fault[host]] for host in farm.hosts
    }
    assert code == 10
    liars = [host for host in farm.hosts if fault[host] == "lies"]
    assert tool.run("retry", "last", "--limit", "2") == 10  # no VM has come up since, so it is no success
    assert {kept["standing"] for host, kept in tool.operations()[-1].nodes.items() if host in liars} <= {
        "failed",
        "going on",
    }


def test_an_old_node_whose_page_is_an_error_has_failed_and_says_on_what(
    new_farm: Callable[..., tuple[Farm, Tool]],
) -> None:
    farm, tool = new_farm(4, faults="old-broken=2,old=1")
    assert tool.run("exclude", "--limit", "2", *EVERYONE, hosts=farm.hosts) == 10
    (operation,) = tool.operations()
    assert wrongs(farm.truth(), operation) == []
    assert operation.classes == {"failed": 2, "done": 2}
    failed = [kept for kept in operation.nodes.values() if kept["standing"] == "failed"]
    assert all("PermissionError: [Errno 13] Permission denied" in kept["words"] for kept in failed)
    assert all("PermissionError" in kept["blocker"] for kept in failed)


def test_too_many_bad_ones_stop_it_and_those_on_their_way_are_watched_to_their_end(
    new_farm: Callable[..., tuple[Farm, Tool]],
) -> None:
    farm, tool = new_farm(60, faults="refuses=20", seed=3)
    words = ["--ramp", "20,100%", "--stop-share", "0.1", "--limit", "20"]
    assert tool.run("exclude", *words, hosts=farm.hosts) == 12
    (operation,) = tool.operations()
    assert wrongs(farm.truth(), operation) == []
    assert (operation.verdict, operation.classes["left out"]) == ("stopped", 40)
    assert set(operation.classes) == {"done", "refused", "left out"}
    assert sum(bool(told["requests"]) for told in farm.truth().values()) == 20


def test_one_that_is_called_off_asks_nobody_more(new_farm: Callable[..., tuple[Farm, Tool]]) -> None:
    farm, tool = new_farm(60, speed=20.0)
    words = ["--per-second", "1", "--limit", "60", *EVERYONE]
    with tool.running("exclude", *words, hosts=farm.hosts) as process:
        wait_for("some have been asked", lambda: asked(tool) >= 2)
        assert tool.run("cancel", "last") == 0
        code = process.wait(120)
    (operation,) = tool.operations()
    assert (code, operation.verdict) == (13, "called off")
    assert wrongs(farm.truth(), operation) == []
    assert set(operation.classes) == {"done", "left out"}
    assert operation.classes["done"] == sum(bool(told["requests"]) for told in farm.truth().values())


def test_two_tools_with_one_file_do_not_get_in_each_others_way(new_farm: Callable[..., tuple[Farm, Tool]]) -> None:
    farm, tool = new_farm(60)
    first, second = farm.hosts[:30], farm.hosts[30:]
    with (
        tool.running("exclude", "--limit", "30", *EVERYONE, hosts=first) as one,
        tool.running("exclude", "--limit", "30", *EVERYONE, hosts=second) as other,
    ):
        codes = [one.wait(60), other.wait(60)]
    operations = tool.operations()
    assert codes == [0, 0]
    assert sorted(map(len, (each.nodes for each in operations))) == [30, 30]
    for operation in operations:
        agrees(farm, operation, 0)
        assert operation.classes == {"done": 30}
    assert {len(told["requests"]) for told in farm.truth().values()} == {1}
