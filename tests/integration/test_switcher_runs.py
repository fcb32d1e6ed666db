"""Runs that come while the node is in cloud, and jobs that crash, leave things behind or can't be started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.modes import Mode
from simulator import living
from tests.integration.node import Node, script, wait_for

ONE_CORE = {"cores_per_job": 1, "restart_delay_s": 0.2}


# Runs during cloud


def test_a_run_refused_in_cloud_is_joined_once_on_return(node: Node) -> None:
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    for number in (200, 201):
        node.bu_run(number, 2)
        node.cgi("start", f"?run={number}&buname=bu-sim01")
        wait_for("the directory gone", lambda: not list(node.paths.watch_dir.glob("run*")))
    assert not node.jobs()
    assert node.status()["waiting_run"] == 201
    node.cgi("include")
    wait_for("a job", node.jobs)
    # The BU notifies as well when it sees the node back.
    assert "exists already" in node.cgi("start", "?run=201&buname=bu-sim01")
    (node.paths.watch_dir / "run000201_bu-sim01").mkdir()
    node.looked()
    assert len(node.jobs()) == 1
    assert node.run_story(201) == ["refused", "joined"]
    assert node.run_story(200) == ["refused"]


def end_of_run(node: Node, number: int) -> None:
    node.end_bu_run(number)


def vanish(node: Node, number: int) -> None:
    for path in node.paths.bu.run_dir(number).iterdir():
        path.unlink()
    node.paths.bu.run_dir(number).rmdir()


def stop_cgi(node: Node, number: int) -> None:
    node.cgi("stop", f"?run={number}")
    wait_for("the end taken", lambda: not list(node.paths.watch_dir.glob("end*")))


def test_a_refused_run_that_is_over_is_not_joined(node: Node) -> None:
    for number, over in ((200, end_of_run), (300, vanish), (400, stop_cgi)):
        node.cgi("exclude")
        node.wait_mode(Mode.CLOUD)
        node.bu_run(number, 2)
        node.cgi("start", f"?run={number}")
        wait_for("refused", lambda: node.run_story(number) == ["refused"])  # noqa: B023 - waited for here
        over(node, number)
        node.cgi("include")
        node.wait_mode(Mode.HLT)
        wait_for("given up", lambda: node.run_story(number)[1:] in (["dropped"], ["ended"]))  # noqa: B023
        assert not node.paths.run_dir(number).exists()
    node.work_on(401)


# Jobs that crash


def test_a_crashed_job_is_started_again_and_not_for_ever(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": ONE_CORE | {"max_restarts": 2}}, cores=2)
    node.start()
    node.faults({"job": {"behave": "crash"}})
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("both cores given up", lambda: node.log.count("crashed 3 times; not started again") == 2)
    assert node.log.count("ended with exit 1") == 6
    assert node.tokens("except") == 2
    wait_for("the crashes told", lambda: node.status()["runs"][0]["crashes"] == 6)
    wait_for("the box tells it", lambda: (node.box().broken, node.box().broken_activeRun) == (2, 2))
    node.faults({})
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    assert node.tokens("cloud") == 2


def test_a_job_that_crashed_once_works_on_and_its_token_with_it(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": ONE_CORE | {"restart_delay_s": 3600.0}}, cores=2)
    node.start()
    node.faults({"job": {"behave": "crash"}})
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("both tokens broken", lambda: node.tokens("except") == 2)
    node.faults({})
    node.configure("restart_delay_s = 3600.0", "restart_delay_s = 0.0")
    wait_for("both jobs again", lambda: len(node.jobs()) == 2 and node.tokens("online") == 2)
    assert node.markers(100) == ["active"]


@pytest.mark.parametrize("kind", ["command", "merge_command"])
def test_a_program_that_cannot_be_started_is_named_and_the_node_can_leave(
    new_node: Callable[..., Node], tmp_path: Path, kind: str
) -> None:
    jobs: dict[str, Any] = {kind: [str(tmp_path / "missing")], "max_restarts": 1, "restart_delay_s": 0.1}
    node = new_node(overlay={"jobs": jobs})
    node.start()
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("a line", lambda: f"{tmp_path / 'missing'}: No such file or directory; see jobs.{kind}" in node.log)
    node.cgi("exclude")
    node.told_to_stop()
    node.bu_run(100, 6)
    node.wait_mode(Mode.CLOUD)
    assert node.tokens("cloud") == 4


def test_no_process_of_a_job_is_left_when_its_core_goes_to_cloud(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """A job's children live in its group; they must not work on a core that VMs own."""
    child = tmp_path / "child"
    command = script(tmp_path / "job", f"sleep 300 & echo $! > {child}; exit 0")
    node = new_node(overlay={"jobs": {"command": command, "merge_command": []}})
    node.start()
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("the run over", lambda: "finished" in node.run_story(100))
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    assert not living.started(int(child.read_text()))
