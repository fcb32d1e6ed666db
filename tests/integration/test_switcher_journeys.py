"""Whole journeys between HLT and cloud, with jobs, merge scripts, VMs and runs that come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.journal import MoveRecord, RunRecord
from contract.modes import Mode
from simulator.vms import Vms
from tests.integration.node import Node, script, wait_for

ONE_CORE = {"cores_per_job": 1, "restart_delay_s": 0.2}


def vms(node: Node) -> int:
    return len(Vms(node.paths.watch_dir.parent / "vms").running())


def work_on(node: Node, number: int = 100, *, closed: int = 3, jobs: int = 1) -> None:
    """Has the node work on a run of which so many lumisections are closed."""
    node.settle()
    node.bu_run(number, closed)
    node.cgi("start", f"?run={number}&buname=bu-sim01")
    wait_for(f"{jobs} jobs of run {number}", lambda: len(node.jobs()) == jobs)


def told_to_stop(node: Node, number: int = 100) -> None:
    wait_for(f"run {number} told to stop", lambda: node.stop_file(number))


def run_story(node: Node, number: int) -> list[str]:
    return [record.what for record in node.records() if isinstance(record, RunRecord) and record.run == number]


def outcomes(node: Node) -> list[str]:
    return [switch.outcome for switch in node.switches()]


# The whole way


def test_a_run_of_several_jobs_drains_and_is_joined_again(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": ONE_CORE})
    node.start()
    work_on(node, jobs=4)
    assert node.tokens("online") == 4
    assert len(node.merges()) == 1
    node.cgi("exclude")
    node.wait_mode(Mode.ACTIVATING_CLOUD)
    told_to_stop(node)
    assert node.stop_file(100) == {"lastLS": 5}
    node.close_lumisection(100, 4)
    assert len(node.jobs()) == 4
    assert vms(node) == 0
    node.close_lumisection(100, 5)
    node.wait_mode(Mode.CLOUD)
    assert (node.jobs(), node.merges()) == ([], [])
    assert (node.tokens("cloud"), node.token_names()) == (4, ["core0", "core1", "core2", "core3"])
    wait_for("VMs", lambda: vms(node) == 2)
    wait_for("VMs known to be up", lambda: node.status()["vms"] == "up")
    assert node.markers(100) == ["complete"]
    node.cgi("include")
    wait_for("the jobs back", lambda: len(node.jobs()) == 4)
    assert node.mode is Mode.HLT
    assert vms(node) == 0
    assert node.stop_file(100) is None
    assert node.markers(100) == ["active"]
    assert run_story(node, 100) == ["started", "finished", "joined"]
    assert outcomes(node) == ["done", "done"]
    assert list(node.switches()[0].phases) == ["check", "drain", "hand_over", "start_vms"]
    assert list(node.switches()[1].phases) == ["stop_vms", "take_back"]


@pytest.mark.parametrize(("extra", "closed", "last"), [(2, 0, 2), (3, 7, 10), (0, 1, 1)])
def test_the_last_lumisection_is_the_last_closed_one_and_the_offset(
    new_node: Callable[..., Node], extra: int, closed: int, last: int
) -> None:
    node = new_node(overlay={"jobs": {"extra_lumisections": extra}})
    node.start()
    work_on(node, closed=closed)
    node.cgi("exclude")
    told_to_stop(node)
    assert node.stop_file(100) == {"lastLS": last}
    assert [path.name for path in node.paths.run_dir(100).glob("*CMSSW_STOP*")] == ["CMSSW_STOP"]
    node.bu_run(100, last)
    node.wait_mode(Mode.CLOUD)


def test_the_box_file_is_masked_in_both_forms_at_once(node: Node) -> None:
    work_on(node)
    wait_for("the job in the box", lambda: node.box().used_activeRun == 4)
    assert (node.box().cloudState, node.box().used, node.box().cloud) == ("off", 4, 0)
    node.cgi("exclude")
    wait_for("masked within a moment", lambda: node.box().cloudState == "starting", 3)
    told_to_stop(node)
    box = node.box()
    assert (box.idles, box.used, box.broken, box.cloud) == (0, 0, 0, 4)
    assert (box.used_activeRun, box.activeRuns, box.version) == (4, [100], 5)
    assert box.mode is Mode.ACTIVATING_CLOUD
    node.bu_run(100, 9)
    wait_for("cloud in the box", lambda: node.box().cloudState == "on", 3)
    wait_for("VMs up in the box", lambda: node.box().vms == "up", 3)
    node.end_bu_run(100)
    node.cgi("include")
    wait_for("HLT in the box", lambda: node.box().cloudState == "off", 3)
    assert (node.box().idles, node.box().cloud) == (4, 0)


def test_the_merge_script_is_waited_for_by_name(node: Node) -> None:
    work_on(node)
    node.faults({"merge": {"behave": "ignore_stop"}})
    node.cgi("exclude")
    told_to_stop(node)
    node.bu_run(100, 6)
    wait_for("no job", lambda: not node.jobs())
    (pid,) = node.merges()
    wait_for("the blocker", lambda: node.status()["blocker"] == f"run 100: merge script, pid {pid}")
    assert node.mode is Mode.ACTIVATING_CLOUD
    assert node.tokens("cloud") == 0
    node.faults({})
    node.wait_mode(Mode.CLOUD)


def test_broken_and_quarantined_tokens_go_to_cloud_too_and_all_come_back_idle(node: Node) -> None:
    (node.paths.tokens("idle") / "core0").rename(node.paths.tokens("quarantined") / "core0")
    (node.paths.tokens("idle") / "core1").rename(node.paths.tokens("except") / "core1")
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    assert node.tokens("cloud") == 4
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    assert node.tokens("idle") == 4
    assert node.token_names() == ["core0", "core1", "core2", "core3"]


def test_there_is_exactly_one_marker_at_every_moment(node: Node) -> None:
    work_on(node)
    seen: list[tuple[str, ...]] = []
    over = threading.Event()
    folder = node.paths.run_dir(100)

    def watch() -> None:
        while not over.is_set():
            names = {path.name for path in folder.iterdir()}
            found = tuple(name for name in ("starting", "active", "stopping", "complete") if name in names)
            if seen[-1:] != [found]:
                seen.append(found)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        node.cgi("exclude")
        told_to_stop(node)
        node.bu_run(100, 5)
        node.wait_mode(Mode.CLOUD)
        node.cgi("include")
        wait_for("joined", node.jobs)
    finally:
        over.set()
        watcher.join()
    # A listing is no snapshot: one taken during the rename may show both names or neither.
    settled = [found[0] for found in seen if len(found) == 1]
    assert [name for name in settled if name != "starting"] == ["active", "stopping", "complete", "active"]
    assert node.markers(100) == ["active"]


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
    node.paths.command("include").touch()
    wait_for("the look after it", lambda: not node.paths.command("include").exists())
    assert len(node.jobs()) == 1
    assert run_story(node, 201) == ["refused", "joined"]
    assert run_story(node, 200) == ["refused"]


def end_of_run(node: Node) -> None:
    node.end_bu_run(200)


def vanish(node: Node) -> None:
    for path in node.paths.bu.run_dir(200).iterdir():
        path.unlink()
    node.paths.bu.run_dir(200).rmdir()


def stop_cgi(node: Node) -> None:
    node.cgi("stop", "?run=200")
    wait_for("the end taken", lambda: not list(node.paths.watch_dir.glob("end*")))


@pytest.mark.parametrize("over", [end_of_run, vanish, stop_cgi])
def test_a_refused_run_that_is_over_is_not_joined(node: Node, over: Callable[[Node], None]) -> None:
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    node.bu_run(200, 2)
    node.cgi("start", "?run=200")
    wait_for("refused", lambda: run_story(node, 200) == ["refused"])
    over(node)
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    wait_for("the run given up", lambda: run_story(node, 200)[1:] in (["dropped"], ["ended"]))
    node.bu_run(201, 2)
    node.cgi("start", "?run=201")
    wait_for("a job of the next run", node.jobs)
    assert "started" in run_story(node, 201)
    assert not node.paths.run_dir(200).exists()


# Crossing requests


def test_include_crosses_an_exclude_that_drains(node: Node) -> None:
    work_on(node)
    node.cgi("exclude", "?who=Anna")
    told_to_stop(node)
    node.cgi("include", "?who=Bert")
    node.wait_mode(Mode.DEACTIVATING_CLOUD)
    node.bu_run(100, 6)
    node.wait_mode(Mode.HLT)
    wait_for("the run joined again", node.jobs)
    assert outcomes(node) == ["superseded", "done"]
    assert "Bert asked for HLT" in node.switches()[0].why
    assert Mode.CLOUD not in node.modes_passed()
    assert vms(node) == 0


def test_exclude_crosses_an_include_that_waits_for_vms_to_stop(node: Node) -> None:
    node.cgi("exclude")
    wait_for("VMs up", lambda: outcomes(node) == ["done"])
    node.faults({"stop": {"delay_s": 0.5}})
    node.cgi("include")
    node.wait_mode(Mode.DEACTIVATING_CLOUD)
    node.cgi("exclude")
    node.wait_mode(Mode.ACTIVATING_CLOUD)
    node.wait_mode(Mode.CLOUD)
    wait_for("the ends", lambda: outcomes(node) == ["done", "superseded", "done"])
    assert vms(node) == 2
    assert node.tokens("cloud") == 4
    assert node.modes_passed()[-3:] == [Mode.DEACTIVATING_CLOUD, Mode.ACTIVATING_CLOUD, Mode.CLOUD]


def test_of_twenty_alternating_requests_the_last_one_wins(node: Node) -> None:
    work_on(node)
    answers = [node.post({"id": f"op-{n}", "to": "HLT" if n % 2 else "cloud"})[0] for n in range(21)]
    assert set(answers) <= {200, 202}
    assert node.post({"id": "op-19", "to": "HLT"})[0] == 409
    told_to_stop(node)
    node.bu_run(100, 9)
    node.wait_mode(Mode.CLOUD)
    wait_for("all ends", lambda: outcomes(node)[-1:] == ["done"] and len(outcomes(node)) == 21)
    assert set(outcomes(node)[:-1]) <= {"superseded", "done"}
    assert node.tokens("cloud") == 4
    assert not node.jobs()


# A cloud tool that fails


def test_a_host_without_vm_stack_stays_in_hlt_with_its_jobs(node: Node) -> None:
    work_on(node)
    jobs = node.jobs()
    for code, words in ((66, "no VM stack on this host"), (14, "no answer for now"), (3, "exit 3")):
        node.faults({"status": {"exit": code}})
        status, answer = node.post({"id": f"op-{code}", "to": "cloud"})
        assert status == 412
        assert words in answer["reason"]
        node.wait_mode(Mode.HLT)
    assert node.jobs() == jobs
    assert node.stop_file(100) is None
    assert node.markers(100) == ["active"]
    assert outcomes(node) == ["refused"] * 3
    wait_for("unmasked", lambda: node.box().cloudState == "off" and node.box().used == 4, 3)


def test_vms_that_fail_to_start_are_tried_again_until_they_come_up(node: Node) -> None:
    node.faults({"start": {"behave": "crash"}})
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    wait_for("the failure told", lambda: node.status()["vms"] == "failed")
    assert outcomes(node) == ["vms_failed"]
    assert "start crashed" in node.status()["blocker"]
    assert node.tokens("cloud") == 4
    node.faults({})
    wait_for("VMs up", lambda: node.status()["vms"] == "up" and vms(node) == 2)
    assert node.status()["blocker"] == ""


def test_a_stop_that_lies_is_not_believed(node: Node) -> None:
    """Exit 0 of stop proves nothing: cores come back when status says that no VM runs."""
    node.cgi("exclude")
    wait_for("VMs up", lambda: vms(node) == 2)
    node.faults({"stop": {"behave": "lie"}})
    node.cgi("include")
    wait_for("the blocker", lambda: node.status()["blocker"].startswith(("VMs that still run", "cloud tool s")))
    wait_for("asked again", lambda: node.status()["mode_age_s"] > 1.2)
    assert (node.mode, node.tokens("cloud")) == (Mode.DEACTIVATING_CLOUD, 4)
    Vms(node.paths.watch_dir.parent / "vms").stop()
    node.wait_mode(Mode.HLT)
    assert node.tokens("idle") == 4


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
    node = new_node(overlay={"jobs": ONE_CORE | {"restart_delay_s": 0.5}}, cores=2)
    node.start()
    node.faults({"job": {"behave": "crash"}})
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("both tokens broken", lambda: node.tokens("except") == 2)
    node.faults({})
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
    told_to_stop(node)
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
    wait_for("the run over", lambda: "finished" in run_story(node, 100))
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    state = Path(f"/proc/{child.read_text().strip()}/stat")
    assert not state.exists() or ") Z " in state.read_text()


def test_the_journal_tells_every_move_once_and_in_order(node: Node) -> None:
    work_on(node)
    node.cgi("exclude")
    told_to_stop(node)
    node.bu_run(100, 6)
    wait_for("VMs up", lambda: outcomes(node) == ["done"])
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    wait_for("the end", lambda: outcomes(node) == ["done", "done"])
    moves = [record for record in node.records() if isinstance(record, MoveRecord)]
    assert [move.position for move in moves] == [
        *("draining", "handing_over", "cloud", "cloud"),
        *("stopping_vms", "taking_back", "hlt"),
    ]
    assert [move.from_position for move in moves[1:]] == [move.position for move in moves[:-1]]
    assert [move.vms.value for move in moves] == ["down", "down", "starting", "up", "stopping", "down", "down"]
    assert [record.seq for record in node.records()] == list(range(1, len(node.records()) + 1))
