"""Bad days: what vanishes, hangs, lies about or can't be written. Each has a clear line and a node that goes on."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.modes import Mode
from simulator.daemons import Daemon, working
from tests.integration.node import Node, script, wait_for

ONE_CORE = {"cores_per_job": 1, "restart_delay_s": 0.2}


def work_on(node: Node, number: int = 100, *, jobs: int = 1) -> None:
    node.settle()
    node.bu_run(number, 3)
    node.cgi("start", f"?run={number}")
    wait_for(f"{jobs} jobs", lambda: len(node.jobs()) == jobs)


def leave(node: Node, number: int = 100) -> None:
    """Excludes the node and closes lumisections until it has left."""
    node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(number))
    node.bu_run(number, 9)
    node.wait_mode(Mode.CLOUD)


# Run directories


def test_a_run_directory_that_vanishes_under_its_jobs(node: Node) -> None:
    work_on(node)
    shutil.rmtree(node.paths.run_dir(100))
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
    wait_for("every run over", lambda: not node.status()["runs"] and node.tokens("idle") == 4)
    assert "Traceback" not in node.log
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)


def test_a_run_whose_bu_directory_is_gone_drains_by_the_offset(node: Node) -> None:
    work_on(node)
    shutil.rmtree(node.paths.bu.run_dir(100))
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    assert node.stop_file(100) in ({"lastLS": 2}, {"lastLS": 5})
    assert "lumisection unknown" in node.log


# A dead mount


def test_a_dead_mount_is_said_and_holds_nothing_up(new_node: Callable[..., Node]) -> None:
    """Opening a pipe that nobody reads hangs in the kernel, as a file of a dead mount does."""
    node = new_node(overlay={"switch": {"mount_timeout_s": 0.3}})
    os.mkfifo(node.paths.box)
    node.start()
    wait_for("a line about it", lambda: f"box file not written: {node.paths.bu_dir}: no answer within" in node.log)
    work_on(node)
    node.cgi("exclude")
    node.wait_mode(Mode.CLOUD)
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    reader = os.open(node.paths.box, os.O_RDONLY | os.O_NONBLOCK)
    wait_for("the box written again", lambda: "box file is written again" in node.log)
    node.paths.box.unlink()
    os.close(reader)
    wait_for("a box file", lambda: node.paths.box.is_file() and node.box().mode is Mode.HLT)


def test_sigterm_ends_a_daemon_whose_mount_hangs(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"switch": {"mount_timeout_s": 0.3}})
    os.mkfifo(node.paths.box)
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
    assert node.mode is Mode.HLT


HANGING_TOOL = """
case "$1" in
status) [ -e "$0.hang" ] || exit 1 ;;
start) exit 0 ;;
esac
sleep 300 &
echo $! > "$0.child"
wait
"""


def test_a_cloud_tool_that_hangs_is_killed_with_its_children(new_node: Callable[..., Node], tmp_path: Path) -> None:
    tool = script(tmp_path / "tool", HANGING_TOOL)
    (tmp_path / "tool.hang").touch()
    node = new_node(overlay={"igniter": {"command": tool, "status_timeout_s": 0.5, "timeout_s": 0.6}})
    node.start()
    status, answer = node.post({"id": "a", "to": "cloud"})
    assert (status, answer["reason"]) == (412, "the cloud tool says: timed out after 0.5 s and was killed")
    child = Path("/proc") / (tmp_path / "tool.child").read_text().strip() / "stat"
    wait_for("its child gone", lambda: not child.exists() or ") Z " in child.read_text())
    (tmp_path / "tool.hang").unlink()
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.cgi("include")
    wait_for("stop timed out", lambda: "cloud tool stop: timed out after 0.6 s and was killed" in node.log)
    node.wait_mode(Mode.HLT)
    wait_for("no call left", lambda: not list(working(node.paths.state_dir, "igniter")))


def test_while_the_cloud_tool_is_asked_it_is_the_blocker(node: Node) -> None:
    node.settle()
    node.faults({"status": {"behave": "hang"}})
    node.cgi("exclude")
    wait_for("the blocker", lambda: node.status()["blocker"].startswith("cloud tool status (pid "))
    wait_for("the same in the box", lambda: (node.box().blocker or "").startswith("cloud tool status (pid "), 7)
    node.faults({})
    node.wait_mode(Mode.CLOUD)


def test_a_cloud_tool_that_prints_without_end_costs_nothing(node: Node) -> None:
    assert node.daemon is not None
    node.faults({verb: {"print_bytes": 10_000_000} for verb in ("status", "start", "stop")})
    node.cgi("exclude")
    wait_for("VMs up", lambda: node.status()["vms"] == "up")
    node.cgi("include")
    node.wait_mode(Mode.HLT)
    peak = next(line for line in Path(f"/proc/{node.daemon.pid}/status").open() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 80_000
    node.faults({"status": {"print_bytes": 100_000, "exit": 5}})
    _, answer = node.post({"id": "a", "to": "cloud"})
    assert len(answer["reason"]) < 300


def test_vms_of_a_tool_without_arguments_survive_a_restart(new_node: Callable[..., Node], tmp_path: Path) -> None:
    """They are session leaders that inherited the tool's marks, as a daemonised hypervisor is."""
    vm = tmp_path / "vm"
    body = f"case $1 in status) kill -0 $(cat {vm}) ;; start) setsid sleep 300 & echo $! > {vm} ;; stop) kill $(cat {vm}) ;; esac"
    node = new_node(overlay={"igniter": {"command": script(tmp_path / "tool", body)}})
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


# The state folder


def spoil(path: Path) -> None:
    """Makes writing `path` impossible, for root as well."""
    path.unlink(missing_ok=True)
    (path / "in the way").mkdir(parents=True)


def test_a_state_file_that_cannot_be_written_holds_the_node_still_and_is_named(node: Node) -> None:
    spoil(node.paths.state)
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
    spoil(node.paths.state)
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
    size = node.daemon.log.stat().st_size
    os.system(f"{prlimit} --pid {node.daemon.pid} --fsize={64}:unlimited")  # noqa: S605 - a fixed command
    assert node.post({"id": "a", "to": "cloud"})[0] == 503
    assert (node.mode, node.tokens("idle")) == (Mode.HLT, 4)
    assert os.strerror(errno.EFBIG) in node.status()["blocker"]
    assert node.daemon.log.stat().st_size == size
    os.system(f"{prlimit} --pid {node.daemon.pid} --fsize=unlimited:unlimited")  # noqa: S605 - a fixed command
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    assert [record.seq for record in node.records()] == list(range(1, len(node.records()) + 1))


# Core tokens


def test_a_token_that_is_online_without_a_job_is_idle_again(node: Node) -> None:
    (node.paths.tokens("idle") / "core1").rename(node.paths.tokens("online") / "core1")
    wait_for("idle again", lambda: node.tokens("idle") == 4)
    assert "core tokens core1 were online without a job; idle again" in node.log


@pytest.mark.parametrize("twin", ["idle", "except", "cloud"])
def test_a_token_in_two_folders_is_one_core(new_node: Callable[..., Node], twin: str) -> None:
    node = new_node(overlay={"jobs": ONE_CORE}, cores=2)
    node.start()
    work_on(node, jobs=2)
    (node.paths.tokens(twin) / "core0").touch()
    if twin != "cloud":
        node.paths.command("include").touch()
        wait_for("a look", lambda: not node.paths.command("include").exists())
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
    node = new_node(overlay={"jobs": ONE_CORE | {"restart_delay_s": 1.0}}, cores=1)
    node.start()
    work_on(node)
    node.faults({"job": {"behave": "crash"}})
    wait_for("the token broken", lambda: node.tokens("except") == 1)
    node.faults({})
    (node.paths.tokens("except") / "core0").rename(node.paths.tokens("idle") / "core0")
    node.bu_run(101, 1)
    node.cgi("start", "?run=101")
    wait_for("a job again", node.jobs)
    wait_for("the restart would be due", lambda: node.status()["mode_age_s"] > 0 and not node.state()["waiting"])
    seen = {len(node.jobs()) for _ in range(60) if not node.get("/status")[0] == 0}
    assert max(seen) == 1


def test_junk_among_the_tokens_is_left_alone(node: Node) -> None:
    for name in ("core", "core1.bak", "corex", "README", ".core3", "core-1"):
        (node.paths.tokens("idle") / name).touch()
    leaving = sorted(path.name for path in node.paths.tokens("idle").iterdir())[:4]
    assert leaving
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


def test_a_token_that_cannot_be_moved_is_the_blocker_by_name(node: Node) -> None:
    node.paths.tokens("cloud").rmdir()
    node.paths.tokens("cloud").touch()
    node.cgi("exclude")
    wait_for("a line", lambda: "Not a directory" in node.log)
    node.paths.tokens("cloud").unlink()
    node.paths.tokens("cloud").mkdir()
    node.wait_mode(Mode.CLOUD)


def ended_with(daemon: Daemon) -> tuple[int, str]:
    """Returns exit code and output of a daemon that ends by itself."""
    code = daemon.process.wait(20)
    daemon.end()
    return code, daemon.said


def signalled(node: Node, number: signal.Signals) -> None:
    assert node.daemon is not None
    node.daemon.process.send_signal(number)
