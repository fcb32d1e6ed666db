"""The JSON API: requests with an id, the truth about the node, the journal, and callers who err or attack."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rude_clients import RUDE
from contract.modes import Mode
from contract.times import unix
from switcher.view import Status
from tests.integration.node import PATIENCE_S, Node, script, secret, wait_for

JSON = {"Content-Type": "application/json"}


def post_raw(node: Node, body: bytes, headers: Mapping[str, str] = JSON) -> tuple[int, str]:
    url = f"http://127.0.0.1:{node.port}/switch"
    return node._call(urllib.request.Request(url, data=body, headers=dict(headers)))


def ask(node: Node, name: str, to: str, **more: object) -> tuple[int, str]:
    status, answer = node.post({"id": name, "to": to, **more})
    return status, answer.get("verdict", answer.get("text", ""))


def working_node(new_node: Callable[..., Node], **overlay: dict[str, Any]) -> Node:
    """A node with one job at work on run 100."""
    node = new_node(overlay=overlay)
    node.start()
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("a job", node.jobs)
    return node


# Telling


def test_the_status_tells_how_the_node_stands(new_node: Callable[..., Node]) -> None:
    node = working_node(new_node)
    wait_for("the run shown", lambda: node.status()["runs"])
    shown = node.status()
    assert set(Status.__struct_fields__) <= set(shown)
    assert (shown["host"], shown["mode"], shown["position"], shown["wanted"]) == ("fu-1", "HLT", "hlt", "HLT")
    assert shown["tokens"] == {"idle": 0, "online": 4, "except": 0, "quarantined": 0, "cloud": 0}
    assert (shown["vms"], shown["blocker"], shown["stuck"], shown["switch"]) == ("down", "", False, None)
    assert [run["number"] for run in shown["runs"]] == [100]
    assert tuple(shown["runs"][0]["jobs"]) == tuple(node.jobs())
    assert shown["journal_seq"] == node.records()[-1].seq
    assert abs(unix(shown["time"]) - unix(shown["mode_since"]) - shown["mode_age_s"]) < 0.1
    assert ask(node, "op-1", "cloud", who="Anna", reason="gap") == (202, "accepted")
    pid = node.jobs()[0]
    wait_for("the job named as blocker", lambda: node.status()["blocker"].startswith(f"run 100: 1 jobs, pid {pid}"))
    wait_for("its last lumisection", lambda: node.status()["blocker"].endswith("until LS 5"))
    shown = node.status()
    assert shown["mode"] == "activatingCloud"
    assert shown["switch"]["request"]["who"] == "Anna"
    assert shown["switch"]["phase"] == "drain"
    assert shown["switch"]["age_s"] >= shown["switch"]["phases"]["drain"]


def test_the_journal_is_read_from_any_record_on(node: Node) -> None:
    ask(node, "op-1", "cloud")
    wait_for("the end of the switch", node.switches)
    whole = json.loads(node.get("/journal")[1])
    assert [record["seq"] for record in whole] == list(range(1, len(whole) + 1))
    assert [record["kind"] for record in whole][:2] == ["start", "request"]
    last = whole[-1]["seq"]
    assert json.loads(node.get(f"/journal?after={last - 1}")[1]) == whole[-1:]
    assert json.loads(node.get(f"/journal?after={last}")[1]) == []
    assert json.loads(node.get(f"/journal?after={10**14}")[1]) == []
    for text in ("x", "-1", "1.0", "", "%D9%A1", "9" * 20, "1%0A"):
        status, body = node.get(f"/journal?after={text}")
        assert status == 400, text
        assert len(body.splitlines()) == 1


# Asking


def test_a_request_is_accepted_once_and_every_repetition_gets_the_same_answer(node: Node) -> None:
    assert ask(node, "op-1", "cloud", reason="gap") == (202, "accepted")
    assert ask(node, "op-1", "cloud") == (202, "accepted")
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    seq = node.records()[-1].seq
    assert ask(node, "op-1", "cloud") == (202, "accepted")
    assert ask(node, "op-1", "HLT") == (202, "accepted")
    assert node.records()[-1].seq == seq
    assert ask(node, "op-2", "cloud") == (200, "already")
    assert ask(node, "op-2", "cloud") == (200, "already")
    assert node.mode is Mode.CLOUD


def test_a_request_that_nothing_has_undone_is_not_called_stale(node: Node) -> None:
    """op-2 wanted the same as op-1, and op-3 was refused: op-1 is what the node still does."""
    ask(node, "op-1", "cloud")
    node.wait_mode(Mode.CLOUD)
    assert ask(node, "op-2", "cloud") == (200, "already")
    assert ask(node, "op-1", "cloud") == (202, "accepted")
    ask(node, "op-3", "HLT")
    node.wait_mode(Mode.HLT)
    node.faults({"status": {"exit": 66}})
    assert ask(node, "op-4", "cloud") == (412, "refused")
    assert ask(node, "op-3", "HLT") == (202, "accepted")


def test_a_stale_request_undoes_nothing_newer(node: Node) -> None:
    ask(node, "op-1", "cloud")
    node.wait_mode(Mode.CLOUD)
    assert ask(node, "op-2", "HLT") == (202, "accepted")
    node.wait_mode(Mode.HLT)
    seq = node.records()[-1].seq
    assert ask(node, "op-1", "cloud") == (409, "newer")
    assert node.records()[-1].seq == seq
    assert node.mode is Mode.HLT
    assert node.status()["switch"] is None


def test_a_request_that_a_newer_one_overtakes_in_the_check_is_told_so(node: Node) -> None:
    node.settle()
    node.faults({"status": {"behave": "hang"}})
    body = json.dumps({"id": "op-1", "to": "cloud"}).encode()
    head = f"POST /switch HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port), 10) as first:
        first.sendall(head.encode() + body)
        node.wait_mode(Mode.ACTIVATING_CLOUD)
        assert ask(node, "op-2", "HLT") == (202, "accepted")
        answer = first.makefile("rb").read().decode()
    assert " 409 " in answer
    assert "newer" in answer
    node.faults({})
    node.wait_mode(Mode.HLT)


def test_a_refusal_says_why_and_is_remembered(node: Node) -> None:
    node.faults({"status": {"exit": 66}})
    status, answer = node.post({"id": "op-1", "to": "cloud"})
    assert (status, answer["verdict"]) == (412, "refused")
    assert "no VM stack on this host" in answer["reason"]
    assert node.post({"id": "op-1", "to": "cloud"}) == (status, answer)
    assert node.mode is Mode.HLT


def test_a_slow_cloud_tool_does_not_keep_the_caller_waiting(node: Node) -> None:
    node.settle()
    node.faults({"status": {"behave": "hang"}})
    assert ask(node, "op-1", "cloud") == (202, "accepted")
    assert node.mode is Mode.ACTIVATING_CLOUD
    node.faults({})


BAD_BODIES: list[bytes] = [
    b"",
    b"{",
    b"\xff\xfe{}",
    b"[]",
    b"null",
    b'{"id": "a"}',
    b'{"to": "cloud"}',
    b'{"id": "a", "to": "Cloud"}',
    b'{"id": "a", "to": "activatingCloud"}',
    b'{"id": 5, "to": "cloud"}',
    b'{"id": "", "to": "cloud"}',
    b'{"id": "../a", "to": "cloud"}',
    b'{"id": "a\\n", "to": "cloud"}',
    b'{"id": "\\u0661", "to": "cloud"}',
    b'{"id": "' + b"a" * 81 + b'", "to": "cloud"}',
    b'{"id": "a", "to": "cloud", "force": true}',
    b'{"id": "a", "to": "cloud", "hurry": "yes"}',
    b'{"id": "a", "to": "cloud", "who": null}',
    b'{"id": "a", "to": "cloud", "who": "\\ud800"}',
    b'{"id": "a", "to": "cloud", "deadline_s": 0}',
    b'{"id": "a", "to": "cloud", "deadline_s": -1}',
    b'{"id": "a", "to": "cloud", "deadline_s": 86401}',
    b'{"id": "a", "to": "cloud", "deadline_s": 1e999}',
    b'{"id": "a", "to": "cloud", "deadline_s": NaN}',
    b"[" * 5000,
    b'{"id": "a\xff", "to": "cloud"}',
    b'{"id": ' + b"[" * 8000,
]


def test_what_is_no_request_is_refused_in_one_line_and_does_nothing(node: Node) -> None:
    seq = node.records()[-1].seq
    for body in BAD_BODIES:
        status, answer = post_raw(node, body)
        assert status == 400, (body[:60], answer)
        assert len(answer.splitlines()) == 1, (body[:60], answer)
    good = b'{"id": "a", "to": "cloud"}'
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "x"}, {"Content-Type": "multipart/form-data"}):
        assert post_raw(node, good, headers)[0] in (400, 415)
    assert post_raw(node, good + b" " * (64 << 10))[0] == 413
    assert node.get("/switch")[0] == 405
    wait_for("nothing but the look at start", lambda: node.records()[-1].seq == seq)
    assert node.mode is Mode.HLT
    assert "Traceback" not in node.log


def test_control_characters_reach_neither_log_nor_journal(node: Node) -> None:
    nasty = "Anna\r\n2026 ERROR\x1b[2J\u202e\x00 é"
    assert ask(node, "op-1", "cloud", who=nasty * 9, reason=nasty * 99) == (202, "accepted")
    wait_for("the end of the switch", node.switches)
    switch = node.switches()[0]
    assert switch.who.isprintable()
    assert switch.reason.isprintable()
    assert "é" in switch.who
    assert (len(switch.who), len(switch.reason)) == (80, 300)
    assert not {"\x1b", "\x00", "\r"} & set(node.log)
    assert "\n2026 ERROR" not in node.log


# The bearer token


def test_the_api_wants_its_token_and_old_callers_none(new_node: Callable[..., Node], tmp_path: Path) -> None:
    secret(tmp_path / "token", "s3cret-s3cret-16")
    node = new_node(overlay={"http": {"token_file": str(tmp_path / "token")}})
    node.start()
    good = b'{"id": "op-1", "to": "cloud"}'
    for given in (
        "",
        "s3cret-s3cret-16",
        "Bearer",
        "Bearer s3cret",
        "Bearer s3cret-s3cret-16s",
        "bearer s3cret-s3cret-16",
        "Bearer \xff\xfe",
    ):
        status, body = post_raw(node, good, JSON | {"Authorization": given})
        assert status == 403, (given, body)
        assert json.loads(body)["error"]
    for url in ("/status", "/journal"):
        assert node.get(url)[0] == 403
    assert node.mode is Mode.HLT
    assert post_raw(node, good, JSON | {"Authorization": "Bearer s3cret-s3cret-16"})[0] == 202
    assert node.get("/cgi-bin/cloud_mode_active_cgi.py")[0] == 200
    assert "Traceback" not in node.log


# The ladder of a deadline

SAYS_WHEN_TERMINATED = """
trap 'echo terminated >> "$0".said' TERM
touch "$0".heeds
while :; do sleep 0.05; done
"""


def test_a_job_that_stays_past_the_deadline_is_terminated_then_killed(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    command = script(tmp_path / "job", SAYS_WHEN_TERMINATED)
    node = working_node(new_node, jobs={"command": command}, switch={"kill_grace_s": 2.0})
    wait_for("a job that heeds signals", (tmp_path / "job.heeds").exists)
    pid = node.jobs()[0]
    assert ask(node, "op-1", "cloud", deadline_s=0.5) == (202, "accepted")
    wait_for("SIGTERM", (tmp_path / "job.said").exists)
    node.wait_mode(Mode.CLOUD)
    assert f"pid {pid} did not end in time; terminate" in node.log
    assert f"pid {pid} did not end in time; kill" in node.log
    assert not node.jobs()
    assert not node.merges()
    assert node.markers(100) == ["abortcomplete"]
    assert node.tokens("cloud") == 4


def test_without_a_deadline_nothing_is_killed_and_the_switch_is_called_stuck(new_node: Callable[..., Node]) -> None:
    node = working_node(new_node, switch={"activating_timeout_s": 0.5})
    node.faults({"job": {"behave": "ignore_stop"}})
    pid = node.jobs()[0]
    assert ask(node, "op-1", "cloud") == (202, "accepted")
    wait_for("stuck", lambda: node.status()["stuck"])
    assert node.jobs() == [pid]
    assert f"pid {pid}" in node.status()["blocker"]
    wait_for("the same in the box file", lambda: node.box().stuck and f"pid {pid}" in (node.box().blocker or ""))
    assert ask(node, "op-2", "cloud", deadline_s=0.1) == (200, "already")
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    assert node.switches()[0].was_stuck


def test_a_deadline_that_came_later_survives_a_kill_of_the_daemon(new_node: Callable[..., Node]) -> None:
    """It lies far ahead: the start after the kill must not take it for passed."""
    node = working_node(new_node)
    node.faults({"job": {"behave": "ignore_stop"}})
    pid = node.jobs()[0]
    ask(node, "op-1", "cloud")
    assert ask(node, "op-2", "cloud", deadline_s=600) == (200, "already")
    wait_for("the stop file", lambda: node.stop_file(100))
    node.kill()
    node.start()
    wait_for("the job shown again", lambda: f"pid {pid}" in node.status()["blocker"])
    seen = node.log
    assert ask(node, "op-2", "cloud") == (200, "already")
    assert node.jobs() == [pid]
    assert "did not end in time" not in seen + node.log


# Callers who do not finish


def test_sigterm_does_not_wait_for_a_caller_who_never_finishes(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 10) as caller:
        caller.sendall(
            b"POST /switch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        assert node.status()["mode"] == "HLT"
        assert node.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_right_after_the_word_ready_ends_the_daemon_with_exit_0(node: Node, number: signal.Signals) -> None:
    assert node.daemon is not None
    node.daemon.process.send_signal(number)
    assert node.daemon.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in node.log


def test_rude_callers_are_worth_a_line_and_change_nothing(node: Node) -> None:
    for rude in RUDE:
        rude(node.port)
        wait_for("the node answers the next one", node.status)
        assert "Traceback" not in node.log, rude.__name__
    assert node.requests() == []
    assert node.mode is Mode.HLT
