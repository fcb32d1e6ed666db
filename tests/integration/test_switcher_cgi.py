"""The seven CGI URLs as old callers use them, and as nobody should."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from contract.journal import StartRecord
from contract.modes import Mode
from contract.paths import parse_run
from tests.integration.node import Node, wait_for

HUGE = 10**12
KEEP = "Host: node\r\nConnection: keep-alive\r\n\r\n"


def made_by_callers(node: Node) -> list[str]:
    """What lies in the watch directory beside the mode file."""
    return sorted(path.name for path in node.paths.watch_dir.iterdir() if not path.name.startswith((".", "mode")))


def commands(node: Node) -> list[Path]:
    """The command files that have not been dealt with, those that the switcher has taken among them."""
    return list(node.paths.watch_dir.glob("*clude*"))


@pytest.fixture(scope="module")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests that must leave nothing behind."""
    node = Node(tmp_path_factory.mktemp("bystander"))
    node.start()
    yield node
    assert made_by_callers(node) == []
    assert node.mode is Mode.HLT
    assert [type(record) for record in node.records()] == [StartRecord]
    node.clean()


def test_an_answer_ends_with_the_connection_even_when_the_caller_would_keep_it(bystander: Node) -> None:
    for version, url in itertools.product(("1.0", "1.1"), ("cloud_mode_active", "runl", "run_active")):
        answer = bystander.raw(f"GET /cgi-bin/{url}_cgi.py HTTP/{version}\r\n{KEEP}")
        head, _, body = answer.partition("\r\n\r\n")
        assert head.startswith(f"HTTP/{version} 200")
        assert body
        assert "connection: keep-alive" not in head.lower()


def test_a_refusal_ends_with_the_connection_too(bystander: Node, new_node: Callable[..., Node]) -> None:
    assert " 400 " in bystander.raw(f"GET /cgi-bin/start_cgi.py?run=x HTTP/1.1\r\n{KEEP}")
    assert " 404 " in bystander.raw(f"GET /cgi-bin/no_such_cgi.py HTTP/1.1\r\n{KEEP}")
    stranger = new_node(host="fu-2", overlay={"http": {"allow": ["10.0.0.0/8"]}})
    stranger.start()
    assert " 403 " in stranger.raw(f"GET /cgi-bin/cloud_mode_active_cgi.py HTTP/1.1\r\n{KEEP}")


def test_the_count_of_cloud_cores_is_a_number_and_a_newline(node: Node) -> None:
    assert node.cgi("cloud_mode_active") == "0\n"
    assert "<html>" in node.cgi("exclude", "?who=shift&reason=power%20cut&id=op-1")
    wait_for("all cores in the cloud folder", lambda: node.cgi("cloud_mode_active") == "4\n")
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    switch = node.switches()[0]
    assert (switch.id, switch.who, switch.reason, switch.outcome) == ("op-1", "shift", "power cut", "done")
    assert "<html>" in node.cgi("include")
    wait_for("no core in the cloud folder", lambda: node.cgi("cloud_mode_active") == "0\n")
    node.wait_mode(Mode.HLT)
    assert made_by_callers(node) == []


def test_a_request_with_an_endless_reason_is_cut_and_not_lost(node: Node) -> None:
    """What was answered with 200 must happen, however long the texts were."""
    node.cgi("exclude", f"?who={quote('ü' * 300)}&reason={'%01' * 900}{'y' * 3000}")
    wait_for("the request in the journal", lambda: node.mode is not Mode.HLT)
    node.wait_mode(Mode.CLOUD)
    wait_for("the end of the switch", node.switches)
    assert len(node.switches()[0].who) <= 80
    assert set(node.switches()[0].reason) <= {"y"}


def test_a_bad_request_id_is_told_at_once(bystander: Node) -> None:
    for name in ("../x", "a b", "ü", "-x", "x" * 81):
        status, body = bystander.get(f"/cgi-bin/exclude_cgi.py?id={quote(name)}")
        assert status == 400, (name, body)
        assert len(body.splitlines()) == 1
    assert made_by_callers(bystander) == []
    assert bystander.mode is Mode.HLT


def test_the_last_of_many_requests_in_a_row_wins(node: Node) -> None:
    """However fast they come: time stamps of files are too coarse to tell them apart."""
    for _ in range(10):
        node.cgi("include")
        node.cgi("exclude")
    wait_for("cloud for good", lambda: not commands(node) and node.mode is Mode.CLOUD)
    assert node.status()["wanted"] == "cloud"
    for _ in range(10):
        node.cgi("exclude")
        node.cgi("include")
    wait_for("HLT for good", lambda: not commands(node) and node.mode is Mode.HLT)
    assert node.status()["wanted"] == "HLT"


def test_a_run_is_started_listed_and_ended(node: Node) -> None:
    assert ast.literal_eval(node.cgi("runl")) == []
    assert node.cgi("run_active") == "0\n"
    node.bu_run(100, 3)
    assert "run000100_bu-sim01" in node.cgi("start", "?run=100&buname=bu-sim01")
    wait_for("a job of run 100", node.jobs)
    wait_for("run 100 active", lambda: node.cgi("run_active") == "1\n")
    assert ast.literal_eval(node.cgi("runl")) == [100]
    assert "exists already" in node.cgi("start", "?run=100&buname=bu-sim01")
    assert "exists already" in node.cgi("start", "?run=100")
    assert len(node.jobs()) == 1
    node.end_bu_run(100)
    node.cgi("stop", "?run=100")
    wait_for("the end of run 100", lambda: node.markers(100) == ["complete"])
    wait_for("no run at work", lambda: not node.status()["runs"])
    assert node.cgi("run_active") == "0\n"
    assert made_by_callers(node) == ["run000100"]


def test_the_end_of_a_run_is_a_file_in_the_watch_directory(new_node: Callable[..., Node]) -> None:
    """The daemon is held still, so that the file can be seen before it is taken."""
    node = new_node(overlay={"igniter": {"command": ["/bin/true"]}})
    node.start()
    wait_for("rest", lambda: (node.status()["mode"], node.status()["vms"]) == ("cloud", "up"))
    node.paths.state.unlink()
    (node.paths.state / "x").mkdir(parents=True)
    node.cgi("start", "?run=5")
    wait_for("the daemon holds still", lambda: "nothing moves" in node.log)
    assert "<html>" in node.cgi("stop", "?run=5")
    ends = [path.name for path in node.paths.watch_dir.glob("end*")]
    assert [int(name.removeprefix("end")) for name in ends] == [5]
    assert [path.name for path in node.paths.watch_dir.glob("run*")] == ["run000005"]


def test_a_start_and_a_stop_at_once_leave_no_run_behind(node: Node) -> None:
    for number in range(200, 220):
        node.bu_run(number, 1)
        node.end_bu_run(number)
        node.cgi("start", f"?run={number}")
        node.cgi("stop", f"?run={number}")
    wait_for("every end file taken", lambda: not list(node.paths.watch_dir.glob("end*")))
    wait_for("no run at work", lambda: not node.status()["runs"])
    assert not node.jobs()
    assert node.tokens("idle") == 4


BAD_RUNS = ["", "x", "-1", "0", "00", "1.5", "1e3", "0x10", "1_000", "+5", " 5", "٣٤", "²", "../5", "5/..", "5%00"]
HUGE_RUNS = [str(HUGE), "9" * 5000, "0" * 9 + "1" * 12, "000000000" + "1" + "9" * 4500]


def test_a_bad_run_number_is_refused_and_nothing_is_made(bystander: Node) -> None:
    before = made_by_callers(bystander)
    for text in [*BAD_RUNS, *HUGE_RUNS]:
        given = text if "%" in text else quote(text)
        for name in ("start", "stop"):
            status, body = bystander.get(f"/cgi-bin/{name}_cgi.py?run={given}")
            assert status == 400, (name, text[:40], status, body[:80])
            assert len(body.splitlines()) == 1
            assert body.startswith("run: ")
    assert bystander.get("/cgi-bin/start_cgi.py")[0] == 400
    assert made_by_callers(bystander) == before
    assert not bystander.status()["runs"]


def test_a_bad_buname_is_refused_and_nothing_is_made(bystander: Node) -> None:
    for name in ("../x", "x/../../y", "..", ".x", "a b", "ü", "x" * 65, "a_b", "x\n", "%"):
        status, body = bystander.get(f"/cgi-bin/start_cgi.py?run=5&buname={quote(name)}")
        assert status == 400, (name, body)
        assert len(body.splitlines()) == 1
    assert made_by_callers(bystander) == []
    assert sorted(path.name for path in bystander.paths.watch_dir.parent.iterdir()) == [
        "data",
        "node.toml",
        "resources",
        "state",
        "vms",
    ]


def test_the_largest_run_number_is_taken(node: Node) -> None:
    node.cgi("start", "?run=999999999")
    assert "exists already" in node.cgi("start", "?run=0999999999")
    assert [parse_run(name) is not None for name in made_by_callers(node)] == [True]


def test_a_caller_from_outside_is_refused_and_named_in_the_log(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"http": {"allow": ["10.1.0.0/16", "127.0.0.9/32"]}})
    node.start()
    for url in ("/cgi-bin/exclude_cgi.py", "/cgi-bin/start_cgi.py?run=5", "/status", "/nothing"):
        status, body = node.get(url)
        assert status == 403
        assert "127.0.0.1" in body
    assert node.post({"id": "a", "to": "cloud"})[0] == 403
    assert "/cgi-bin/exclude_cgi.py: refused to 127.0.0.1: may not ask here; see http.allow" in node.log
    assert made_by_callers(node) == []
    assert node.mode is Mode.HLT


def test_a_directory_in_the_way_is_said_to_the_caller(node: Node) -> None:
    node.paths.run_dir(5).touch()
    status, body = node.get("/cgi-bin/start_cgi.py?run=5")
    assert status == 500
    assert len(body.splitlines()) == 1
    assert "Traceback" not in node.log
