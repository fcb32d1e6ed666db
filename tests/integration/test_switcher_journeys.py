"""Whole journeys between HLT and cloud, with jobs, merge scripts, VMs and runs that come and go."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from contract.journal import MoveRecord
from contract.modes import Mode
from simulator.vms import Vms
from tests.integration.node import Node, in_order, wait_for

ONE_CORE = {"cores_per_job": 1, "restart_delay_s": 0.2}


# The whole way


def test_a_run_of_several_jobs_drains_and_is_joined_again(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": ONE_CORE})
    node.start()
    node.work_on(jobs=4)
    assert node.tokens("online") == 4
    assert len(node.merges()) == 1
    node.cgi("exclude")
    node.wait_mode(Mode.ACTIVATING_CLOUD)
    node.told_to_stop()
    assert node.stop_file(100) == {"lastLS": 5}
    node.close_lumisection(100, 4)
    assert len(node.jobs()) == 4
    assert node.vms() == 0
    node.close_lumisection(100, 5)
    node.wait_mode(Mode.CLOUD)
    assert (node.jobs(), node.merges()) == ([], [])
    assert (node.tokens("cloud"), node.token_names()) == (4, ["core0", "core1", "core2", "core3"])
    wait_for("VMs", lambda: node.vms() == 2)
    wait_for("VMs known to be up", lambda: node.status()["vms"] == "up")
    assert node.markers(100) == ["complete"]
    node.cgi("include")
    wait_for("the jobs back", lambda: len(node.jobs()) == 4)
    assert node.mode is Mode.HLT
    assert node.vms() == 0
    assert node.stop_file(100) is None
    wait_for("the run at work", lambda: node.markers(100) == ["active"])
    assert node.run_story(100) == ["started", "finished", "joined"]
    assert node.outcomes() == ["done", "done"]
    assert list(node.switches()[0].phases) == ["check", "drain", "hand_over", "start_vms"]
    assert list(node.switches()[1].phases) == ["stop_vms", "take_back"]


@pytest.mark.parametrize(("extra", "closed", "last"), [(2, 0, 2), (3, 7, 10)])
def test_the_last_lumisection_is_the_last_closed_one_and_the_offset(
    new_node: Callable[..., Node], extra: int, closed: int, last: int
) -> None:
    node = new_node(overlay={"jobs": {"extra_lumisections": extra}})
    node.start()
    node.work_on(closed=closed)
    node.cgi("exclude")
    node.told_to_stop()
    assert node.stop_file(100) == {"lastLS": last}
    assert [path.name for path in node.paths.run_dir(100).glob("*CMSSW_STOP*")] == ["CMSSW_STOP"]
    node.bu_run(100, last)
    node.wait_mode(Mode.CLOUD)


def test_the_box_file_is_masked_in_both_forms_at_once(node: Node) -> None:
    node.work_on()
    wait_for("the job in the box", lambda: node.box().used_activeRun == 4)
    assert (node.box().cloudState, node.box().used, node.box().cloud) == ("off", 4, 0)
    node.cgi("exclude")
    wait_for("masked", lambda: node.box().cloudState == "starting")
    node.told_to_stop()
    box = node.box()
    assert (box.idles, box.used, box.broken, box.cloud) == (0, 0, 0, 4)
    assert (box.used_activeRun, box.activeRuns, box.version) == (4, [100], 5)
    assert box.mode is Mode.ACTIVATING_CLOUD
    node.bu_run(100, 9)
    wait_for("cloud in the box", lambda: node.box().cloudState == "on")
    wait_for("VMs up in the box", lambda: node.box().vms == "up")
    node.end_bu_run(100)
    node.cgi("include")
    wait_for("HLT in the box", lambda: node.box().cloudState == "off")
    assert (node.box().idles, node.box().cloud) == (4, 0)


def test_the_merge_script_is_waited_for_by_name(node: Node) -> None:
    node.work_on()
    node.faults({"merge": {"behave": "ignore_stop"}})
    node.cgi("exclude")
    node.told_to_stop()
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
    node.work_on()
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
        wait_for("a look at the job at work", lambda: ("active",) in seen)
        node.cgi("exclude")
        node.told_to_stop()
        wait_for("a look at the job told to stop", lambda: ("stopping",) in seen)
        node.bu_run(100, 5)
        node.wait_mode(Mode.CLOUD)
        node.cgi("include")
        wait_for("joined", lambda: node.jobs() and node.markers(100) == ["active"])
    finally:
        over.set()
        watcher.join()
    # A listing is no snapshot: one taken during the rename may show both names or neither.
    settled = [found[0] for found in seen if len(found) == 1]
    assert in_order(settled, ["active", "stopping", "complete", "starting", "active"]), seen
    assert {"active", "stopping"} <= set(settled)
    assert node.markers(100) == ["active"]


# Crossing requests


def test_include_crosses_an_exclude_that_drains(node: Node) -> None:
    node.work_on()
    node.cgi("exclude", "?who=Anna")
    node.told_to_stop()
    node.cgi("include", "?who=Bert")
    node.wait_mode(Mode.DEACTIVATING_CLOUD)
    node.bu_run(100, 6)
    node.wait_mode(Mode.HLT)
    wait_for("the run joined again", node.jobs)
    assert node.outcomes() == ["superseded", "done"]
    assert "Bert asked for HLT" in node.switches()[0].why
    assert Mode.CLOUD not in node.modes_passed()
    assert node.vms() == 0


def test_exclude_crosses_an_include_that_waits_for_vms_to_stop(node: Node) -> None:
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.outcomes() == ["done"])
    node.faults({"stop": {"behave": "hang"}})
    node.cgi("include")
    node.wait_mode(Mode.DEACTIVATING_CLOUD)
    node.cgi("exclude")
    node.wait_mode(Mode.ACTIVATING_CLOUD)
    node.faults({})
    node.wait_mode(Mode.CLOUD)
    wait_for("the ends", lambda: node.outcomes() == ["done", "superseded", "done"])
    assert node.vms() == 2
    assert node.tokens("cloud") == 4
    assert node.modes_passed()[-3:] == [Mode.DEACTIVATING_CLOUD, Mode.ACTIVATING_CLOUD, Mode.CLOUD]


def test_of_twenty_alternating_requests_the_last_one_wins(node: Node) -> None:
    node.work_on()
    answers = [node.post({"id": f"op-{n}", "to": "HLT" if n % 2 else "cloud"})[0] for n in range(21)]
    assert set(answers) <= {200, 202}
    assert node.post({"id": "op-19", "to": "HLT"})[0] == 409
    node.told_to_stop()
    node.bu_run(100, 9)
    node.wait_mode(Mode.CLOUD)
    wait_for("all ends", lambda: node.outcomes()[-1:] == ["done"] and len(node.outcomes()) == 21)
    assert set(node.outcomes()[:-1]) <= {"superseded", "done"}
    assert node.tokens("cloud") == 4
    assert not node.jobs()


# A cloud tool that fails


def test_a_host_without_vm_stack_stays_in_hlt_with_its_jobs(node: Node) -> None:
    node.work_on()
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
    assert node.outcomes() == ["refused"] * 3
    wait_for("unmasked", lambda: node.box().cloudState == "off" and node.box().used == 4)


def test_vms_that_fail_to_start_are_tried_again_until_they_come_up(node: Node) -> None:
    node.faults({"start": {"behave": "crash"}})
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    wait_for("the failure told", lambda: node.status()["vms"] == "failed")
    assert node.outcomes() == ["vms_failed"]
    assert "start crashed" in node.status()["blocker"]
    assert node.tokens("cloud") == 4
    node.faults({})
    wait_for("VMs up", lambda: node.status()["vms"] == "up" and node.vms() == 2)
    assert node.status()["blocker"] == ""


def test_a_stop_that_lies_is_not_believed(node: Node) -> None:
    """Exit 0 of stop proves nothing: cores come back when status says that no VM runs."""
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.vms() == 2)
    node.faults({"stop": {"behave": "lie"}})
    node.cgi("include")
    wait_for("the blocker", lambda: node.status()["blocker"].startswith(("VMs that still run", "cloud tool s")))
    wait_for("asked again", lambda: node.status()["mode_age_s"] > 1.2)
    assert (node.mode, node.tokens("cloud")) == (Mode.DEACTIVATING_CLOUD, 4)
    Vms(node.paths.watch_dir.parent / "vms").stop()
    node.wait_mode(Mode.HLT)
    assert node.tokens("idle") == 4


def test_the_journal_tells_every_move_once_and_in_order(node: Node) -> None:
    node.work_on()
    node.cgi("exclude")
    node.told_to_stop()
    node.bu_run(100, 6)
    wait_for("VMs up", lambda: node.outcomes() == ["done"])
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    wait_for("the end", lambda: node.outcomes() == ["done", "done"])
    moves = [record for record in node.records() if isinstance(record, MoveRecord)]
    assert [move.position for move in moves] == [
        *("draining", "handing_over", "cloud", "cloud"),
        *("stopping_vms", "taking_back", "hlt"),
    ]
    assert [move.from_position for move in moves[1:]] == [move.position for move in moves[:-1]]
    assert [move.vms.value for move in moves] == ["down", "down", "starting", "up", "stopping", "down", "down"]
    assert [record.seq for record in node.records()] == list(range(1, len(node.records()) + 1))
