"""The daemon as a process: its exit codes, its signals, its configuration, what it leaves and finds again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.journal import StartRecord, SwitchRecord
from contract.modes import Mode, Vms, Wanted
from contract.request import Request, Verdict
from switcher import processes
from switcher.events import EndSwitch, NoteRequest
from switcher.states import Position, State
from switcher.timeline import Now, Timeline, advance, elapsed_s, rebased
from tests.integration.node import PATIENCE_S, Node, wait_for


def refused(node: Node, *, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Starts the daemon, which must end by itself; returns its exit code and its one line."""
    daemon = node.start(environment=environment, ready=False)
    code = daemon.process.wait(PATIENCE_S)
    daemon.end()
    lines = [line for line in daemon.said.splitlines() if line.startswith("hltmode: ")]
    assert len(lines) == 1, daemon.said
    assert "Traceback" not in daemon.said
    return code, lines[0]


# Ends before it has begun


def test_a_second_switcher_on_the_same_node_is_refused(node: Node) -> None:
    assert node.daemon is not None
    first = node.daemon
    code, line = refused(node)
    assert code == 4
    assert f"a switcher already serves this node (pid {first.pid})" in line
    assert node.status()["mode"] == "HLT"
    assert len([record for record in node.records() if isinstance(record, StartRecord)]) == 1
    first.end()


def test_a_taken_port_is_named(new_node: Callable[..., Node]) -> None:
    node = new_node()
    with socket.create_server(("127.0.0.1", node.port)):
        code, line = refused(node)
    assert code == 5
    assert f"127.0.0.1:{node.port}: cannot listen (Address already in use" in line
    assert not node.paths.state.exists()


def test_folders_that_are_missing_are_named(new_node: Callable[..., Node]) -> None:
    node = new_node()
    node.paths.watch_dir.rmdir()
    code, line = refused(node)
    assert (code, f"{node.paths.watch_dir}: no such folder; make it or set node.watch_dir" in line) == (5, True)
    node.paths.watch_dir.mkdir()
    node.paths.state_dir.rmdir()
    node.paths.state_dir.touch()
    code, line = refused(node)
    assert (code, f"{node.paths.state_dir}: " in line) == (5, True)
    node.paths.state_dir.unlink()
    node.paths.journal.mkdir(parents=True)
    code, line = refused(node)
    assert (code, f"{node.paths.journal}: cannot be written" in line) == (5, True)


WRONG = [
    ("[http]\nprot = 9000", "http.prot is unknown; did you mean port?"),
    ('[http]\nport = "x"', "http.port: "),
    ("\udcff[http", "not TOML"),
    ('[http]\ntoken_file = "/nowhere/token"', "/nowhere/token: cannot be read"),
]


def test_a_wrong_configuration_is_one_line_with_key_and_remedy(new_node: Callable[..., Node]) -> None:
    node = new_node()
    good = node.files.config.read_text()
    for text, words in WRONG:
        content = good.replace("[http]", text) if "token_file" in text else text
        node.files.config.write_bytes(content.encode(errors="surrogateescape"))
        code, line = refused(node)
        assert (code, words in line) == (3, True), (text, line)
    node.files.config.unlink()
    code, line = refused(node)
    assert (code, f"{node.files.config}: cannot be read (No such file or directory)" in line) == (3, True)


def test_a_tool_of_the_node_may_call_hltmode(new_node: Callable[..., Node]) -> None:
    """Jobs and cloud tools inherit the marks of the switcher, which must not be read as configuration."""
    node = new_node()
    marks = {processes.NODE: "/x", processes.ROLE: "igniter", processes.RUN: "100", processes.CORES: "core0"}
    node.start(environment=marks)
    assert node.status()["mode"] == "HLT"


# Signals


def test_sigterm_leaves_the_jobs_at_work_and_the_next_start_adopts_them(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"jobs": {"cores_per_job": 2}})
    node.start()
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("two jobs", lambda: len(node.jobs()) == 2)
    jobs, merges = sorted(node.jobs()), node.merges()
    for how in (node.end, node.kill):
        how()
        assert (sorted(node.jobs()), node.merges()) == (jobs, merges)
        node.start()
        wait_for("adopted", lambda: node.status()["runs"] and sorted(node.status()["runs"][0]["jobs"]) == jobs)
        node.settle()
    assert (node.tokens("online"), node.tokens("idle")) == (4, 0)
    node.cgi("exclude")
    wait_for("told to stop", lambda: node.stop_file(100))
    node.bu_run(100, 6)
    node.wait_mode(Mode.CLOUD)
    assert (node.jobs(), node.merges(), node.tokens("cloud")) == ([], [], 4)


def test_a_job_that_ended_while_no_daemon_ran_gives_its_cores_back(node: Node) -> None:
    node.settle()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("a job", node.jobs)
    assert node.end() == 0
    node.end_bu_run(100)
    wait_for("job and merge script over", lambda: not node.jobs() and not node.merges())
    assert node.tokens("online") == 4
    node.start()
    wait_for("the cores idle", lambda: node.tokens("idle") == 4)
    node.settle()
    wait_for("no run left", lambda: node.state()["waiting"] is None and not node.status()["runs"])
    assert not node.jobs()


def test_sighup_takes_over_what_can_change_and_keeps_the_rest_from_a_broken_file(node: Node) -> None:
    node.settle()
    good = node.files.config.read_text()
    node.files.config.write_text(good + "\nnonsense")
    node.reload(good=False)
    assert f"configuration not taken over: {node.files.config}: not TOML" in node.log
    assert node.post({"id": "a", "to": "HLT"})[0] == 200
    node.files.config.write_text(good.replace("cloud_tool.py", "no_such_tool.py").replace("bu-sim01", "bu-sim02"))
    node.reload()
    assert "changes of [node] take a restart" in node.log
    assert node.post({"id": "b", "to": "cloud"})[0] == 412
    node.files.config.write_text(good)
    node.reload()
    assert node.post({"id": "c", "to": "cloud"})[0] == 202
    node.wait_mode(Mode.CLOUD)
    assert "Traceback" not in node.log


def test_a_daemon_that_does_nothing_writes_nothing_but_the_box(node: Node) -> None:
    node.settle()
    assert node.daemon is not None
    before = {path: path.stat().st_mtime_ns for path in (node.paths.state, node.paths.journal, node.paths.mode)}
    wait_for("the box rewritten", lambda: node.box().fm_date)
    first = node.box().fm_date
    wait_for("the next box", lambda: node.box().fm_date != first)
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before
    assert Path(f"/proc/{node.daemon.pid}/task/{node.daemon.pid}/children").read_text() == ""


# A clock that is set


REQUEST = Request(id="op-1", to=Wanted.CLOUD)
AT_REST = State()
LEAVING = State(position=Position.DRAINING, wanted=Wanted.CLOUD, cleared=True, switch=REQUEST)
IN_CLOUD = State(position=Position.CLOUD, wanted=Wanted.CLOUD, vms=Vms.UP)


@pytest.mark.parametrize("set_by_s", [-86_400.0, -1.0, 0.0, 7_200.0])
def test_a_clock_that_is_set_bends_no_duration(set_by_s: float) -> None:
    start = Now(1_800_000_000.0, 1_000.0)
    asked = NoteRequest(REQUEST, Verdict.ACCEPTED)
    timeline, _ = advance(Timeline(mode_since=start, boot_id="b"), AT_REST, LEAVING, [asked], start)
    end = Now(start.wall_s + 60.0 + set_by_s, start.boot_s + 60.0)
    timeline, records = advance(timeline, LEAVING, IN_CLOUD, [EndSwitch("done")], end)
    switch = records[-1]
    assert isinstance(switch, SwitchRecord)
    assert (switch.duration_s, switch.phases) == (60.0, {"drain": 60.0})
    assert [record.seq for record in records] == sorted({record.seq for record in records})
    assert elapsed_s(timeline.mode_since, Now(end.wall_s - 10**6, end.boot_s + 5.0)) == 5.0


def test_a_reboot_with_a_clock_that_went_back_makes_no_negative_age() -> None:
    before = Timeline(mode_since=Now(1_800_000_000.0, 9_000.0), boot_id="old")
    now = Now(1_700_000_000.0, 12.0)
    assert elapsed_s(rebased(before, "new", now).mode_since, now) == 0.0
    later = Now(1_800_000_100.0, 12.0)
    assert elapsed_s(rebased(before, "new", later).mode_since, later) == 100.0
