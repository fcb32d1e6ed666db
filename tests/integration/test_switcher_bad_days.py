"""Bad days: what vanishes, hangs, lies about or can't be written. Each has a clear line and a node that goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.modes import Mode
from contract.modes import Vms as VmsState
from simulator import living
from simulator.daemons import working
from simulator.vms import Vms
from tests.integration import mounts
from tests.integration.node import Node, script, wait_for

NO_DISK = mounts.why_none()


def leave(node: Node, number: int = 100) -> None:
    """Excludes the node and closes lumisections until it has left."""
    node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(number))
    node.bu_run(number, 9)
    node.wait_mode(Mode.CLOUD)


# Run directories


def vanish(folder: Path) -> None:
    """Takes a directory away at once, whoever is about to write there."""
    shutil.rmtree(folder.rename(folder.parent.with_name(f"{folder.name}.gone")))


def test_a_run_directory_that_vanishes_under_its_jobs(node: Node) -> None:
    node.work_on()
    vanish(node.paths.run_dir(100))
    wait_for("a line about it", lambda: "run 100 vanished" in node.log)
    leave(node)
    assert (node.tokens("cloud"), node.jobs(), node.merges()) == (4, [], [])
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    assert "Traceback" not in node.log


def test_a_run_directory_that_vanishes_before_its_jobs_start(node: Node) -> None:
    node.settle()
    for number in range(100, 130):
        node.bu_run(number, 1)
        node.paths.run_dir(number).mkdir()
        if number % 2:
            shutil.rmtree(node.paths.run_dir(number), ignore_errors=True)
        node.end_bu_run(number)
    node.looked()
    wait_for("every run over", lambda: not node.status()["runs"] and node.tokens("idle") == 4)
    assert "Traceback" not in node.log
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)


def test_a_run_whose_bu_directory_is_gone_drains_by_the_offset(new_node: Callable[..., Node], tmp_path: Path) -> None:
    command = [*script(tmp_path / "job", 'while [ ! -e "$1/CMSSW_STOP" ]; do sleep 0.05; done'), "{run_dir}"]
    node = new_node(overlay={"jobs": {"command": command}})
    node.start()
    node.work_on()
    shutil.rmtree(node.paths.bu.run_dir(100))
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    assert node.stop_file(100) == {"lastLS": 2}
    assert "run 100: lumisection unknown" in node.log


# A dead mount


@pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)
def test_a_dead_mount_is_said_and_holds_nothing_up(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"switch": {"mount_timeout_s": 0.3}})
    with mounts.dead(node.paths.box.parent):
        node.start()
        wait_for("a line about it", lambda: f"box file not written: {node.paths.bu_dir}: no answer within" in node.log)
        node.work_on()
        node.cgi("exclude")
        node.wait_mode(Mode.CLOUD)
        node.cgi("include")
        node.wait_mode(Mode.HLT)
        assert str(node.paths.bu_dir) in node.status()["mount_trouble"]
    wait_for("the box written again", lambda: "box file is written again" in node.log)
    assert node.box().mode is Mode.HLT
    assert node.status()["mount_trouble"] == ""


@pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)
def test_sigterm_ends_a_daemon_whose_mount_hangs(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"switch": {"mount_timeout_s": 0.3}})
    with mounts.dead(node.paths.box.parent):
        node.start()
        wait_for("a line about it", lambda: "box file not written" in node.log)
        assert node.end() == 0


def test_a_box_folder_that_is_missing_is_named_and_waited_for(new_node: Callable[..., Node]) -> None:
    node = new_node()
    shutil.rmtree(node.paths.bu_dir)
    node.start()
    wait_for(
        "a line about it", lambda: f"box file not written: {node.paths.box}: {os.strerror(errno.ENOENT)}" in node.log
    )
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    node.paths.box.parent.mkdir(parents=True)
    wait_for("a box file", node.paths.box.exists)


# The cloud tool


def test_a_missing_cloud_tool_refuses_the_switch_by_name(new_node: Callable[..., Node], tmp_path: Path) -> None:
    tool = tmp_path / "cloud-igniter.py"
    node = new_node(overlay={"igniter": {"command": [str(tool)]}})
    node.start()
    status, answer = node.post({"id": "a", "to": "cloud"})
    assert status == 412
    assert f"{tool} is not there or not executable; see igniter.command" in answer["reason"]
    tool.write_text("no program")
    tool.chmod(0o755)
    status, answer = node.post({"id": "b", "to": "cloud"})
    assert status == 412
    assert f"{tool}: Exec format error" in answer["reason"]
    wait_for("HLT", lambda: node.mode is Mode.HLT)


HANGING_TOOL = """
case "$1" in
status) [ -e "$0.hang" ] || exit 1 ;;
start) exit 0 ;;
esac
sleep 300 &
echo $! > "$0.new" && mv "$0.new" "$0.child"
wait
"""


def test_a_cloud_tool_that_hangs_is_killed_with_its_children(new_node: Callable[..., Node], tmp_path: Path) -> None:
    tool = script(tmp_path / "tool", HANGING_TOOL)
    (tmp_path / "tool.hang").touch()
    node = new_node(overlay={"igniter": {"command": tool, "status_timeout_s": 0.5, "timeout_s": 0.6}})
    node.start()
    status, answer = node.post({"id": "a", "to": "cloud"})
    assert (status, answer["reason"]) == (412, "the cloud tool says: timed out after 0.5 s and was killed")
    child = tmp_path / "tool.child"
    while not child.exists():  # on a busy machine the tool may be killed before it has one
        assert node.post({"id": f"again-{time.time_ns()}", "to": "cloud"})[0] == 412
    wait_for("its child gone", lambda: not living.started(int(child.read_text())))
    (tmp_path / "tool.hang").unlink()
    node.configure("status_timeout_s = 0.5", "status_timeout_s = 60.0")
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.cgi("include")
    wait_for("stop timed out", lambda: "cloud tool stop: timed out after 0.6 s and was killed" in node.log)
    node.wait_mode(Mode.HLT)
    wait_for("no call left", lambda: not list(working(node.paths.state_dir, "igniter")))


DYING_TOOL = f"""
if [ -e "$0.dies" ]; then exec {sys.executable} -S -E -c 'raise RuntimeError("no libvirt")'; fi
case "$1" in
start) : > "$0.up" ;;
stop) rm -f "$0.up" ;;
status) test -e "$0.up" ;;
esac
"""


def test_a_cloud_tool_that_dies_of_an_exception_has_not_said_that_no_vm_runs(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    """Python ends with exit 1 then, which as an answer to `status` would mean "not running"."""
    node = new_node(overlay={"igniter": {"command": script(tmp_path / "tool", DYING_TOOL)}})
    node.start()
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    (tmp_path / "tool.dies").touch()
    node.cgi("include")
    wait_for("the blocker", lambda: "exit 1, it died: RuntimeError: no libvirt" in node.status()["blocker"])
    assert (node.mode, node.tokens("cloud")) == (Mode.DEACTIVATING_CLOUD, 4)
    (tmp_path / "tool.dies").unlink()
    (tmp_path / "tool.up").unlink(missing_ok=True)  # another stop may have worked by now
    node.wait_mode(Mode.HLT)


def test_while_the_cloud_tool_is_asked_it_is_the_blocker(node: Node) -> None:
    node.settle()
    node.faults({"status": {"behave": "hang"}})
    node.cgi("exclude")
    wait_for("the blocker", lambda: node.status()["blocker"].startswith("cloud tool status (pid "))
    node.faults({})
    node.wait_mode(Mode.CLOUD)


def test_a_cloud_tool_that_prints_without_end_costs_nothing(node: Node) -> None:
    assert node.daemon is not None
    node.faults({verb: {"print_bytes": 10_000_000} for verb in ("status", "start", "stop")})
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    _, _, peak = Path(f"/proc/{node.daemon.pid}/status").read_text().partition("VmHWM:")
    assert int(peak.split()[0]) < 80_000
    node.faults({"status": {"print_bytes": 100_000, "exit": 5}})
    _, answer = node.post({"id": "a", "to": "cloud"})
    assert len(answer["reason"]) < 300


ONE_VM = """
case "$1" in
status) [ -e $vm ] && kill -0 $(cat $vm) || exit 1 ;;
start) setsid sleep 300 & echo $! > $vm ;;
stop) kill $(cat $vm) && rm $vm ;;
esac
"""


def test_vms_of_a_tool_without_arguments_survive_a_restart(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """They are session leaders that inherited the tool's marks, as a daemonised hypervisor is."""
    vm = tmp_path / "vm"
    node = new_node(overlay={"igniter": {"command": script(tmp_path / "tool", f"vm={vm}\n{ONE_VM}")}})
    node.start()
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.kill()
    node.start()
    wait_for("VMs known to be up again", lambda: node.status()["vms"] == "up" and not node.state()["unproven"])
    assert "still runs; killed" not in node.log
    assert Path(f"/proc/{vm.read_text().strip()}").exists()
    node.cgi("include")
    node.wait_mode(Mode.HLT)


def test_vms_that_die_in_cloud_are_missed_started_again_and_stopped_on_return(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"igniter": {"check_every_s": 0.5}})
    node.start()
    node.settle()
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    vms = Vms(node.paths.watch_dir.parent / "vms")
    node.faults({"start": {"behave": "crash"}})
    dead = vms.running()
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_for("missed in status", lambda: node.status()["vms"] == "failed")
    wait_for("missed in the box file", lambda: node.box().vms is VmsState.FAILED)
    assert node.mode is Mode.CLOUD
    node.faults({})
    wait_for("others in the box file", lambda: node.box().vms is VmsState.UP)
    assert dead and vms.running() and not set(dead) & set(vms.running())
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    assert node.vms() == 0
    assert node.log.count("no VMs run though the node is in cloud") == 1
    assert [switch.outcome for switch in node.switches()] == ["done", "done"]


def test_a_tool_call_that_a_killed_daemon_left_is_ended_at_the_next_start(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    (tmp_path / "tool.hang").touch()
    node = new_node(overlay={"igniter": {"command": script(tmp_path / "tool", HANGING_TOOL)}})
    node.start()
    wait_for("the call", (tmp_path / "tool.child").exists)
    (left,) = working(node.paths.state_dir, "igniter")
    node.kill()
    node.start()
    assert f"pid {left}: a cloud tool call of an earlier switcher still runs; killed" in node.log
