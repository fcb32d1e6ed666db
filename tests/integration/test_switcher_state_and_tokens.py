"""A state folder that can't be written or was damaged, and core tokens that are not where they should be."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress

import pytest

from contract.modes import Mode
from tests.integration.node import Node, wait_for

ONE_CORE = {"cores_per_job": 1, "restart_delay_s": 0.2}


# The state folder


def spoil_state(node: Node) -> None:
    """Makes writing the state file impossible, for root as well."""
    node.settle()
    node.paths.state.unlink()
    (node.paths.state / "in the way").mkdir(parents=True)


def test_a_state_file_that_cannot_be_written_holds_the_node_still_and_is_named(node: Node) -> None:
    spoil_state(node)
    status, answer = node.post({"id": "a", "to": "cloud"})
    assert status == 503
    assert "a: not on disk yet" in answer["error"]
    assert "state.json" in node.log
    assert "nothing moves until it can" in node.log
    assert node.log.count("nothing moves") == 1
    shown = node.status()
    assert "state.json" in shown["blocker"]
    assert (shown["mode"], node.mode, node.tokens("idle")) == ("HLT", Mode.HLT, 4)
    shutil.rmtree(node.paths.state)
    node.wait_mode(Mode.CLOUD)
    assert f"{node.paths.state_dir} is written again" in node.log
    assert node.post({"id": "a", "to": "cloud"})[0] == 202


def test_a_node_that_is_held_still_ends_on_sigterm_and_forgets_nothing(node: Node) -> None:
    spoil_state(node)
    node.cgi("exclude", "?id=op-1")
    wait_for("the line", lambda: "nothing moves" in node.log)
    assert node.end() == 0
    shutil.rmtree(node.paths.state)
    node.start()
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    assert [switch.id for switch in node.switches()] == ["op-1"]


def test_a_damaged_state_file_is_moved_aside_and_facts_decide(node: Node) -> None:
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    last = node.records()[-1].seq
    node.kill()
    node.paths.state.write_bytes(b'{"format": 1, "state": \0\0\0')
    node.start()
    assert "not a state file" in node.log
    assert len(list(node.paths.state_dir.glob("state.json.damaged-*"))) == 1
    assert (node.mode, node.tokens("cloud")) == (Mode.CLOUD, 4)
    assert [record.seq for record in node.records()][: last + 1] == list(range(1, last + 2))
    node.cgi("include")
    node.wait_mode(Mode.HLT)


def test_vms_that_run_own_the_cores_even_if_no_file_says_so(node: Node) -> None:
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.kill()
    node.paths.state.unlink()
    for token in node.paths.tokens("cloud").iterdir():
        token.rename(node.paths.tokens("idle") / token.name)
    node.bu_run(100, 3)
    node.paths.run_dir(100).mkdir()
    node.start()
    node.wait_mode(Mode.CLOUD)
    assert node.tokens("cloud") == 4
    assert not node.jobs()


def test_a_torn_journal_is_mended(node: Node) -> None:
    node.cgi("exclude")
    wait_for("the end of the switch", node.switches)
    whole = [record.seq for record in node.records()]
    node.kill()
    content = node.paths.journal.read_bytes()
    node.paths.journal.write_bytes(content[:-20])
    node.start()
    assert [record.seq for record in node.records()] == [*whole, whole[-1] + 1]
    assert node.paths.journal.read_bytes().startswith(content)


def test_a_full_disk_under_the_state_folder_holds_the_node_still(node: Node) -> None:
    """A limit on file sizes stands for the disk: every longer write of the daemon fails from then on."""
    assert node.daemon is not None
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("no prlimit here")
    node.settle()
    os.system(f"{prlimit} --pid {node.daemon.pid} --fsize={64}:unlimited")  # noqa: S605 - a fixed command
    node.paths.command("exclude").touch()
    wait_for("the blocker", lambda: os.strerror(errno.EFBIG) in node.status()["blocker"])
    assert (node.mode, node.tokens("idle")) == (Mode.HLT, 4)
    os.system(f"{prlimit} --pid {node.daemon.pid} --fsize=unlimited:unlimited")  # noqa: S605 - a fixed command
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    assert [record.seq for record in node.records()] == list(range(1, len(node.records()) + 1))


# Core tokens


def test_a_token_that_is_online_without_a_job_is_idle_again(node: Node) -> None:
    (node.paths.tokens("idle") / "core1").rename(node.paths.tokens("online") / "core1")
    wait_for("idle again", lambda: node.tokens("idle") == 4)
    assert "core tokens core1 were online without a job; idle again" in node.log


@pytest.mark.parametrize("twin", ["idle", "cloud"])
def test_a_token_in_two_folders_is_one_core(new_node: Callable[..., Node], twin: str) -> None:
    node = new_node(overlay={"jobs": ONE_CORE}, cores=2)
    node.start()
    node.work_on(jobs=2)
    (node.paths.tokens(twin) / "core0").touch()
    if twin != "cloud":
        node.looked()
        assert len(node.jobs()) == 2
        node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(100))
    node.bu_run(100, 9)
    node.wait_mode(Mode.CLOUD)
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    assert node.token_names() == ["core0", "core1"]
    assert node.tokens("cloud") == 2
    assert node.mode is Mode.CLOUD


def test_a_token_that_is_in_cloud_and_elsewhere_lets_the_node_be_in_cloud(new_node: Callable[..., Node]) -> None:
    node = new_node()
    for state in ("cloud", "quarantined"):
        node.paths.tokens(state).mkdir()
        (node.paths.tokens(state) / "core0").touch()
    node.start()
    node.wait_mode(Mode.CLOUD)
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    assert node.token_names() == ["core0", "core1", "core2", "core3"]
    assert node.tokens("cloud") == 4
    assert node.mode is Mode.CLOUD


def test_a_broken_token_that_somebody_gave_to_another_run_is_not_used_twice(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": ONE_CORE | {"restart_delay_s": 3600.0}}, cores=1)
    node.start()
    node.work_on()
    node.faults({"job": {"behave": "crash"}})
    wait_for("the token broken", lambda: node.tokens("except") == 1)
    node.faults({})
    (node.paths.tokens("except") / "core0").rename(node.paths.tokens("idle") / "core0")
    node.bu_run(101, 1)
    node.cgi("start", "?run=101")
    wait_for("a job of run 101", node.jobs)
    node.configure("restart_delay_s = 3600.0", "restart_delay_s = 0.0")
    wait_for("the restart of run 100 given up", lambda: "somebody moved core0; no new start there" in node.log)
    node.looked()
    assert len(node.jobs()) == 1


def test_junk_among_the_tokens_is_left_alone(node: Node) -> None:
    for name in ("core", "core1.bak", "corex", "README", ".core3", "core-1"):
        (node.paths.tokens("idle") / name).touch()
    node.cgi("exclude")
    wait_for("cloud", lambda: node.cgi("cloud_mode_active") == "4\n")
    node.wait_mode(Mode.CLOUD)
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    assert (node.paths.tokens("idle") / "core1.bak").exists()


def test_a_directory_that_looks_like_a_token_does_not_hold_the_node(node: Node) -> None:
    (node.paths.tokens("idle") / "core9" / "x").mkdir(parents=True)
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    assert {"core0", "core1", "core2", "core3"} <= set(node.token_names())
    assert (node.tokens("cloud"), "Traceback" in node.log) == (0, False)


def test_a_token_folder_that_is_none_is_said_and_waited_out(node: Node) -> None:
    cloud = node.paths.tokens("cloud")
    while cloud.is_dir():  # the switcher makes folders that are missing anew, and may be quicker
        cloud.rmdir()
        with suppress(FileExistsError):
            cloud.touch(exist_ok=False)
    node.cgi("exclude")
    wait_for("a line", lambda: "Not a directory" in node.log)
    cloud.unlink()
    cloud.mkdir(exist_ok=True)
    node.wait_mode(Mode.CLOUD)
