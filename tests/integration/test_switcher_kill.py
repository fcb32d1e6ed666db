"""kill -9 in every position and at random moments: the next start arrives where the last request wanted to be."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.journal import MoveRecord, RequestRecord, RunRecord
from contract.modes import Mode
from simulator import living
from simulator.vms import Vms
from switcher import processes
from tests.integration.node import Node, script, wait_for

CORES = ["core0", "core1", "core2", "core3"]


def position(node: Node) -> str:
    return str(node.state()["position"])


def at(node: Node, wanted: str) -> None:
    wait_for(f"position {wanted}", lambda: position(node) == wanted)


def cores_at_work(node: Node) -> list[str]:
    """The cores of all living jobs, each as often as a job has it."""
    jobs = (found.mark for found in processes.marked(node.paths.state_dir) if found.mark.get(processes.ROLE) == "job")
    return sorted(core for mark in jobs for core in mark[processes.CORES].split(","))


def check_books(node: Node) -> None:
    """What must be so after any kill: tokens conserved, the journal whole, every move once, one owner for a core."""
    # Those on their way from one folder to another may be seen in both, or in none.
    wait_for("every token once", lambda: node.token_names() == CORES)
    records = node.records()
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    moves = [record for record in records if isinstance(record, MoveRecord)]
    for before, after in itertools.pairwise(moves):
        assert (after.from_mode, after.from_position) == (before.mode, before.position)
        assert (after.mode, after.position, after.vms) != (before.mode, before.position, before.vms)
    ids = [record.id for record in records if isinstance(record, RequestRecord)]
    assert len(ids) == len(set(ids))
    at_work = cores_at_work(node)
    assert at_work == sorted(set(at_work))


@contextmanager
def no_core_owned_twice(node: Node) -> Iterator[None]:
    """Looks all the time whether a job works while VMs run."""
    over = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        folder = Vms(node.paths.watch_dir.parent / "vms")
        while not over.wait(0.005):
            before, jobs, after = folder.running(), node.jobs(), folder.running()
            if jobs and before.items() & after.items():
                seen.append(f"jobs {jobs} beside VMs {sorted(before)}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert not seen


def arrived_in_cloud(node: Node) -> None:
    node.wait_mode(Mode.CLOUD)
    wait_for("VMs up", lambda: node.status()["vms"] == "up" and not node.state()["unproven"])
    assert (node.jobs(), node.tokens("cloud"), node.vms()) == ([], 4, 2)
    check_books(node)


def arrived_in_hlt(node: Node) -> None:
    node.wait_mode(Mode.HLT)
    node.settle()
    assert node.vms() == 0
    assert node.tokens("cloud") == 0
    check_books(node)


def again(node: Node) -> None:
    node.kill()
    node.start()


# In each position


def test_in_hlt_with_a_job_at_work(node: Node) -> None:
    node.work_on()
    jobs, merges = node.jobs(), node.merges()
    for _ in range(2):
        again(node)
        arrived_in_hlt(node)
    assert (node.jobs(), node.merges()) == (jobs, merges)
    assert cores_at_work(node) == CORES


def test_in_hlt_after_every_process_died_too_the_run_is_joined_again(node: Node) -> None:
    node.work_on()
    node.clean()
    assert not node.jobs()
    node.start()
    wait_for("a job again", node.jobs)
    arrived_in_hlt(node)
    assert len(node.merges()) == 1


def test_while_the_cloud_tool_is_asked_whether_it_works(node: Node) -> None:
    node.work_on()
    node.faults({"status": {"behave": "hang"}})
    node.cgi("exclude", "?id=op-1")
    at(node, "draining")
    again(node)
    assert node.mode is Mode.ACTIVATING_CLOUD
    assert node.stop_file(100) is None
    node.faults({})
    wait_for("told to stop", lambda: node.stop_file(100))
    node.bu_run(100, 9)
    arrived_in_cloud(node)
    assert [switch.id for switch in node.switches()] == ["op-1"]


def test_while_draining_the_jobs_keep_their_last_lumisection(node: Node) -> None:
    node.work_on()
    node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(100))
    node.close_lumisection(100, 4)
    again(node)
    assert node.mode is Mode.ACTIVATING_CLOUD
    wait_for("the job named", lambda: "until LS 5" in node.status()["blocker"])
    assert node.stop_file(100) == {"lastLS": 5}
    again(node)
    node.close_lumisection(100, 5)
    arrived_in_cloud(node)


def test_while_draining_towards_hlt(node: Node) -> None:
    node.work_on()
    node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(100))
    node.cgi("include")
    node.wait_mode(Mode.DEACTIVATING_CLOUD)
    again(node)
    assert node.mode is Mode.DEACTIVATING_CLOUD
    node.bu_run(100, 9)
    wait_for("the run joined again", lambda: node.mode is Mode.HLT and node.jobs())
    arrived_in_hlt(node)
    assert cores_at_work(node) == CORES


def in_the_way(node: Node, state: str) -> Path:
    """Puts a directory where core0 would have to go in the folder `state`: renaming a file over it fails."""
    obstacle = node.paths.tokens(state) / "core0"
    obstacle.mkdir(parents=True)
    return obstacle


def test_while_the_tokens_are_handed_over(node: Node) -> None:
    """A directory that looks like a token in the cloud folder is none, but is in the way of the true one."""
    node.settle()
    block = in_the_way(node, "cloud")
    node.cgi("exclude")
    at(node, "handing_over")
    wait_for("the blocker", lambda: node.status()["blocker"].startswith("core token core0: "))
    again(node)
    assert node.mode is Mode.ACTIVATING_CLOUD
    assert node.vms() == 0
    block.rmdir()
    arrived_in_cloud(node)


def test_while_the_vms_start(node: Node) -> None:
    node.faults({"start": {"behave": "hang"}})
    node.cgi("exclude")
    at(node, "cloud")
    again(node)
    assert node.mode is Mode.CLOUD
    assert node.tokens("cloud") == 4
    node.faults({})
    arrived_in_cloud(node)


def test_at_rest_in_cloud(node: Node) -> None:
    node.cgi("exclude")
    arrived_in_cloud(node)
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("the run refused", lambda: node.status()["waiting_run"] == 100)
    for _ in range(2):
        again(node)
        arrived_in_cloud(node)
    node.cgi("include")
    wait_for("the run joined", node.jobs)
    assert [record.what for record in node.records() if isinstance(record, RunRecord)] == ["refused", "joined"]


def test_while_the_vms_stop(node: Node) -> None:
    node.cgi("exclude")
    arrived_in_cloud(node)
    node.faults({"stop": {"behave": "hang"}})
    node.cgi("include")
    at(node, "stopping_vms")
    again(node)
    assert node.mode is Mode.DEACTIVATING_CLOUD
    assert node.tokens("cloud") == 4
    node.faults({})
    arrived_in_hlt(node)
    assert node.tokens("idle") == 4


def test_while_the_tokens_are_taken_back(node: Node) -> None:
    node.cgi("exclude")
    arrived_in_cloud(node)
    block = in_the_way(node, "idle")
    node.cgi("include")
    at(node, "taking_back")
    wait_for("the blocker", lambda: "core0" in node.status()["blocker"])
    again(node)
    assert node.mode is Mode.DEACTIVATING_CLOUD
    assert not node.jobs()
    block.rmdir()
    arrived_in_hlt(node)
    assert node.tokens("idle") == 4


# What went on while no switcher was there


def test_children_of_a_job_that_died_unseen_are_ended(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """They would work on cores that belong to the cloud a moment later."""
    body = 'sleep 300 & echo $! > "$0.child.new" && mv "$0.child.new" "$0.child"; wait'
    node = new_node(overlay={"jobs": {"command": script(tmp_path / "job", body)}})
    node.start()
    node.work_on()
    wait_for("the child", (tmp_path / "job.child").exists)
    child = int((tmp_path / "job.child").read_text())
    (job,) = node.jobs()
    node.kill()
    os.kill(job, signal.SIGKILL)
    wait_for("the job dead", lambda: not node.jobs())
    assert living.started(child)
    node.start()
    wait_for("its child dead", lambda: not living.started(child))
    assert f"process group {job}: left behind by a job that ended unseen; killed" in node.log


def test_the_helper_of_a_job_that_lives_survives_a_restart_with_it(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    """In a session of its own, whose leader is gone, it looks like what a dead job has left behind."""
    inner = 'sleep 300 & echo $! > "$0.new" && mv "$0.new" "$0"'
    body = f"setsid sh -c '{inner}' \"$0.helper\" & wait; sleep 300"
    node = new_node(overlay={"jobs": {"command": script(tmp_path / "job", body)}})
    node.start()
    node.work_on()
    wait_for("the helper", (tmp_path / "job.helper").exists)
    helper = int((tmp_path / "job.helper").read_text())
    try:
        assert os.getsid(helper) not in (helper, *node.jobs())
        jobs = node.jobs()
        again(node)
        assert node.jobs() == jobs
        assert living.started(helper)
        assert "left behind" not in node.log
    finally:
        os.kill(helper, signal.SIGKILL)


def test_a_core_that_waited_for_a_new_start_gets_it_from_the_next_switcher(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": {"restart_delay_s": 300}})
    node.start()
    node.work_on()
    node.faults({"job": {"behave": "crash"}})
    wait_for("the cores broken", lambda: node.tokens("except") == 4)
    node.faults({})
    again(node)
    wait_for("a job again", node.jobs)
    assert (node.tokens("online"), len(node.merges())) == (4, 1)
    assert "core tokens core0, core1, core2, core3 were broken; idle again" in node.log


def test_a_start_of_the_cloud_tool_that_was_left_running_is_waited_for(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    """Killed half-way it could leave VMs that the tool doesn't know of."""
    body = """
    case "$1" in
    status) [ -e "$0.up" ] || exit 1 ;;
    start) echo >> "$0.starts"; while [ -e "$0.slow" ]; do sleep 0.05; done; touch "$0.up" ;;
    stop) rm -f "$0.up" ;;
    esac
    """
    (tmp_path / "tool.slow").touch()
    node = new_node(overlay={"igniter": {"command": script(tmp_path / "tool", body)}})
    node.start()
    node.cgi("exclude")
    wait_for("the start", (tmp_path / "tool.starts").exists)
    again(node)
    wait_for("the blocker", lambda: "cloud tool start of an earlier switcher" in node.status()["blocker"])
    (tmp_path / "tool.slow").unlink()
    wait_for("VMs up", lambda: node.status()["vms"] == "up" and not node.state()["unproven"])
    assert (tmp_path / "tool.starts").read_text() == "\n"


def test_a_status_tells_of_runs_from_the_first_moment_on(node: Node) -> None:
    node.work_on()
    for _ in range(3):
        again(node)
        assert [run["number"] for run in node.status()["runs"]] == [100]


# Requests on the brink


@pytest.mark.parametrize("pause_s", [0.0, 0.004])
def test_a_request_that_was_answered_is_not_lost(node: Node, pause_s: float) -> None:
    node.settle()
    node.cgi("exclude", "?id=op-1")
    time.sleep(pause_s)
    again(node)
    arrived_in_cloud(node)
    assert node.post({"id": "op-2", "to": "HLT"})[0] == 202
    again(node)
    arrived_in_hlt(node)
    asked = [record.id for record in node.records() if isinstance(record, RequestRecord)]
    assert asked == ["op-1", "op-2"]
    assert not list(node.paths.watch_dir.glob(".*"))


# At random


def test_kills_at_random_moments_of_many_journeys(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """A job that stops when it is told to, so that journeys are short and every moment of them is hit."""
    seed = random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    body = 'while [ ! -e "$1/CMSSW_STOP" ]; do sleep 0.03; done'
    job = [*script(tmp_path / "job", body), "{run_dir}"]
    node = new_node(overlay={"jobs": {"command": job, "merge_command": job}})
    node.start()
    node.work_on()
    hit: set[str] = set()
    with no_core_owned_twice(node):
        for number in range(8):
            to = "HLT" if number % 2 else "cloud"
            node.command("include" if number % 2 else "exclude", f'{{"id": "op-{number}"}}')
            time.sleep(dice.uniform(0.0, 0.35))
            node.kill()
            hit.add(position(node))
            assert node.mode in set(Mode), seed
            node.start()
            wait_for(f"the request read (seed {seed})", lambda: node.state()["wanted"] == to)  # noqa: B023
            check_books(node)
        node.cgi("exclude")
        arrived_in_cloud(node)
    asked = [record.id for record in node.records() if isinstance(record, RequestRecord)]
    assert [name for name in asked if name.startswith("op-")] == [f"op-{number}" for number in range(8)], seed
    assert len(hit) >= 2, (hit, seed)
