"""A farm of sixty nodes as a real process: its HTTP, its faults, and the truth that it tells."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.journal import AnyRecord, MoveRecord, SwitchRecord
from simulator.daemons import Daemon
from simulator.node_farm.faults import Fault
from switcher.view import Status
from tests.integration.node import PATIENCE_S, wait_for

NODES = 60
MIX = "slow=5%,refuses=3%,refuses-late=1,hangs=1,dead=1,silent=1,loses=2,lies=1,dies=1,forgets=1,mistaken=1,old=5%"
FIRST = "127.78.0.1"

# One process serves all tests of this file; each asks nodes of its own.
pytestmark = pytest.mark.xdist_group("node_farm")


class Farm:
    """The process, and the ways to its nodes."""

    def __init__(self, folder: Path, *options: str) -> None:
        hosts = folder / "hosts.txt"
        command = ["simulate", "farm", "--nodes", str(NODES), "--first", FIRST, "--port", "0", "--control", "0"]
        self.daemon = Daemon("farm", [*command, "--hosts", str(hosts), *options], folder / "farm.log")
        self.daemon.wait_ready()
        self.lines = [line.split() for line in hosts.read_text().splitlines()]
        self.places = {host: address for host, _, address in self.lines}
        self._control = self.daemon.said.split()[-1]
        self._healthy = iter(sorted(host for host, told in self.truth().items() if told["fault"] == "none"))

    def truth(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._control, timeout=10) as answer:
            truth: dict[str, Any] = json.load(answer)
        return truth

    def healthy(self) -> str:
        """Returns a node that nobody has asked yet."""
        return next(self._healthy)

    def with_fault(self, fault: Fault) -> list[str]:
        return [host for host, told in self.truth().items() if told["fault"] == fault.value]

    def get(self, host: str, path: str, timeout_s: float = 10.0) -> tuple[int, str]:
        return self._call(urllib.request.Request(f"http://{self.places[host]}{path}"), timeout_s)

    def ask(self, host: str, name: str, to: str, **more: object) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"id": name, "to": to, **more}).encode()
        url, headers = f"http://{self.places[host]}/switch", {"Content-Type": "application/json"}
        status, text = self._call(urllib.request.Request(url, data=body, headers=headers), 10.0)
        return status, json.loads(text)

    def status(self, host: str) -> Status:
        return msgspec.json.decode(self.get(host, "/status")[1], type=Status)

    def journal(self, host: str, after: int = 0) -> list[AnyRecord]:
        return msgspec.json.decode(self.get(host, f"/journal?after={after}")[1], type=list[AnyRecord])

    def outcome(self, host: str, name: str) -> str:
        """Waits until the journal says what became of a request, and returns it."""
        found: list[str] = []

        def ended() -> bool:
            records = [record for record in self.journal(host) if isinstance(record, SwitchRecord)]
            found[:] = [record.outcome for record in records if record.id == name]
            return bool(found)

        wait_for(f"the end of {name} on {host}", ended)
        assert len(found) == 1
        return found[0]

    def raw(self, host: str, content: bytes) -> bytes:
        """Sends bytes and returns all that comes until the node hangs up."""
        address, _, port = self.places[host].partition(":")
        with socket.create_connection((address, int(port)), 10) as connection:
            connection.sendall(content)
            return connection.makefile("rb").read()

    def _call(self, request: urllib.request.Request, timeout_s: float) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    made = Farm(tmp_path_factory.mktemp("farm"), "--speed", "60", "--faults", MIX, "--seed", "3")
    yield made
    assert made.daemon.end() == 0
    assert made.daemon.said.count("\n") == 1, made.daemon.said


def test_every_node_has_an_address_of_its_own(farm: Farm) -> None:
    assert len({address.partition(":")[0] for address in farm.places.values()}) == NODES
    assert {appliance for _, appliance, _ in farm.lines} == {"bu-c2f01", "bu-c2f02", "bu-c2f03"}
    assert set(farm.truth()) == set(farm.places)
    for host in (farm.healthy(), farm.healthy()):
        shown = farm.status(host)
        assert (shown.host, shown.mode.value, shown.tokens["online"]) == (host, "HLT", 32)


def test_a_node_goes_there_and_back_and_the_truth_says_so(farm: Farm) -> None:
    host = farm.healthy()
    assert farm.ask(host, "op-1", "cloud", who="Anna", reason="gap") == (
        202, {"id": "op-1", "verdict": "accepted", "reason": ""},
    )  # fmt: skip
    assert farm.outcome(host, "op-1") == "done"
    moves = [record for record in farm.journal(host) if isinstance(record, MoveRecord) and record.switch_id == "op-1"]
    assert [move.mode.value for move in moves][:1] == ["activatingCloud"]
    assert (farm.status(host).mode.value, farm.truth()[host]["vms_up"]) == ("cloud", True)
    seq = farm.status(host).journal_seq
    assert farm.ask(host, "op-2", "HLT")[0] == 202
    assert farm.outcome(host, "op-2") == "done"
    assert farm.journal(host, seq)[0].seq == seq + 1
    told = farm.truth()[host]
    assert (told["mode"], told["vms"], told["vms_up"], told["stuck"]) == ("HLT", "down", False, False)
    assert list(told["requests"]) == ["op-1", "op-2"]
    moments = []
    for (name, got), to in zip(told["requests"].items(), ("cloud", "HLT"), strict=True):
        moments += [got.pop("first_s"), got.pop("outcome_s")]
        rest = {"times": 1, "verdict": "accepted", "reason": "", "outcome": "done", "stuck_s": None}
        assert got == {"to": to, **rest}, name
    assert moments == sorted(moments)
    assert abs(time.time() - moments[-1]) < 3600


def test_a_repeated_id_is_a_no_op_and_a_stale_one_is_told_so(farm: Farm) -> None:
    host = farm.healthy()
    for _ in range(3):
        assert farm.ask(host, "op-1", "cloud")[0] == 202
    assert farm.outcome(host, "op-1") == "done"
    assert farm.ask(host, "op-2", "cloud")[0] == 200
    assert farm.ask(host, "op-3", "HLT")[0] == 202
    status, answer = farm.ask(host, "op-1", "cloud")
    assert (status, answer["verdict"]) == (409, "newer")
    times = {name: got["times"] for name, got in farm.truth()[host]["requests"].items()}
    assert times == {"op-1": 4, "op-2": 1, "op-3": 1}


def test_old_callers_find_their_urls(farm: Farm) -> None:
    host = farm.healthy()
    status, page = farm.get(host, "/cgi-bin/exclude_cgi.py?id=mine&who=Anna")
    assert (status, page) == (200, "<html><body>exclude requested</body></html>\n")
    assert farm.outcome(host, "mine") == "done"
    assert farm.get(host, "/cgi-bin/cloud_mode_active_cgi.py") == (200, "32\n")
    farm.get(host, "/cgi-bin/include_cgi.py")
    wait_for("HLT", lambda: farm.get(host, "/cgi-bin/cloud_mode_active_cgi.py") == (200, "0\n"))


def test_requests_that_make_no_sense_are_refused_as_the_daemon_does(farm: Farm) -> None:
    host = farm.healthy()
    head = b"POST /switch HTTP/1.0\r\nContent-Type: application/json\r\n"
    assert farm.get(host, "/nothing")[0] == 404
    assert farm.get(host, "/switch")[0] == 405
    assert farm.get(host, "/journal?after=x")[0] == 400
    assert farm.get(host, "/cgi-bin/exclude_cgi.py?id=%20")[0] == 400
    assert farm.raw(host, head + b"Content-Length: 2\r\n\r\n{}").startswith(b"HTTP/1.1 400 ")
    assert farm.raw(host, head + b"Content-Length: 99999\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert farm.raw(host, head + b"Content-Length: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert farm.raw(host, head + b"Transfer-Encoding: chunked\r\n\r\n").startswith(b"HTTP/1.1 411 ")
    assert farm.raw(host, b"POST /switch HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}").startswith(b"HTTP/1.1 400 ")
    assert farm.raw(host, b"what\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert farm.raw(host, b"x" * 20_000).startswith(b"HTTP/1.1 431 ")
    assert farm.truth()[host]["requests"] == {}


def test_a_connection_carries_several_requests_one_after_the_other(farm: Farm) -> None:
    host = farm.healthy()
    status = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = farm.raw(host, status + status + status.replace(b"Host: x", b"Connection: close"))
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b'"journal_seq"') == 3
    assert farm.raw(host, b"GET /status HTTP/1.0\r\n\r\n").count(b"HTTP/1.1 200 OK") == 1


# Faults


def test_nodes_that_refuse_say_why_at_once_or_in_the_journal(farm: Farm) -> None:
    for host in farm.with_fault(Fault.REFUSES):
        status, answer = farm.ask(host, "op-1", "cloud")
        assert (status, answer["verdict"]) == (412, "refused")
        assert "no VM stack" in answer["reason"]
    (late,) = farm.with_fault(Fault.REFUSES_LATE)
    assert farm.ask(late, "op-1", "cloud")[0] == 202
    assert farm.outcome(late, "op-1") == "refused"
    refused = (late, *farm.with_fault(Fault.REFUSES))
    wait_for("all back in HLT", lambda: {farm.truth()[host]["mode"] for host in refused} == {"HLT"})


def test_a_node_that_hangs_gets_stuck_and_names_what_it_waits_for(farm: Farm) -> None:
    (host,) = farm.with_fault(Fault.HANGS)
    assert farm.ask(host, "op-1", "cloud")[0] == 202
    wait_for("stuck", lambda: farm.status(host).stuck)
    assert "1 jobs, pid" in farm.status(host).blocker
    told = farm.truth()[host]
    assert (told["stuck"], told["mode"], told["requests"]["op-1"]["outcome"]) == (True, "activatingCloud", None)


def test_slow_nodes_arrive_all_the_same(farm: Farm) -> None:
    slow = farm.with_fault(Fault.SLOW)
    assert len(slow) == 3
    for host in slow:
        assert farm.ask(host, "op-1", "cloud")[0] == 202
    assert [farm.outcome(host, "op-1") for host in slow] == ["done"] * 3


def test_a_dead_node_refuses_connections_and_a_silent_one_never_answers(farm: Farm) -> None:
    (dead,), (silent,) = farm.with_fault(Fault.DEAD), farm.with_fault(Fault.SILENT)
    with pytest.raises(urllib.error.URLError) as refused:
        farm.ask(dead, "op-1", "cloud")
    assert isinstance(refused.value.reason, ConnectionRefusedError)
    with pytest.raises(TimeoutError):
        farm.get(silent, "/status", timeout_s=0.5)
    assert farm.truth()[dead]["requests"] == farm.truth()[silent]["requests"] == {}


def test_a_node_that_loses_answers_has_done_what_it_was_asked(farm: Farm) -> None:
    first, second = farm.with_fault(Fault.LOSES)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            farm.ask(first, "op-1", "cloud")
    with pytest.raises(ConnectionError):
        farm.get(second, "/cgi-bin/exclude_cgi.py?id=op-1")
    assert farm.outcome(first, "op-1") == farm.outcome(second, "op-1") == "done"
    assert farm.truth()[first]["requests"]["op-1"]["times"] == 2


def test_a_lying_node_accepts_and_has_no_vms(farm: Farm) -> None:
    (host,) = farm.with_fault(Fault.LIES)
    assert farm.ask(host, "op-1", "cloud")[0] == 202
    assert farm.outcome(host, "op-1") == "vms_failed"
    shown = farm.status(host)
    assert (shown.mode.value, shown.vms.value, farm.truth()[host]["vms_up"]) == ("cloud", "failed", False)


def test_a_node_that_dies_has_done_what_it_accepted_and_says_no_more(farm: Farm) -> None:
    (host,) = farm.with_fault(Fault.DIES)
    assert farm.ask(host, "op-1", "HLT")[0] == 200
    assert farm.ask(host, "op-2", "cloud")[0] == 202
    wait_for("the end of op-2", lambda: farm.truth()[host]["requests"]["op-2"]["outcome"] == "done")
    for path in ("/status", "/journal", "/cgi-bin/cloud_mode_active_cgi.py"):
        with pytest.raises(ConnectionError):
            farm.get(host, path)


def test_a_node_that_is_installed_anew_has_forgotten_and_takes_the_request_again(farm: Farm) -> None:
    (host,) = farm.with_fault(Fault.FORGETS)
    assert farm.ask(host, "op-1", "cloud")[0] == 202
    wait_for("HLT", lambda: farm.status(host).mode.value == "HLT")
    assert "op-1" not in {getattr(record, "id", "") for record in farm.journal(host)}
    assert farm.ask(host, "op-1", "cloud")[0] == 202
    assert farm.outcome(host, "op-1") == "done"
    assert farm.truth()[host]["requests"]["op-1"]["times"] == 2


def test_a_mistaken_address_gives_another_nodes_name(farm: Farm) -> None:
    (host,) = farm.with_fault(Fault.MISTAKEN)
    assert farm.status(host).host != host


def test_an_old_node_has_hltds_urls_and_nothing_else(farm: Farm) -> None:
    host = farm.with_fault(Fault.OLD)[0]
    for path in ("/status", "/journal", "/switch", "/truth"):
        assert farm.get(host, path)[0] == 404
    assert farm.get(host, "/cgi-bin/cloud_mode_active_cgi.py") == (200, "0\n")
    assert farm.get(host, "/cgi-bin/exclude_cgi.py?id=op-1")[0] == 200
    wait_for("cloud", lambda: farm.get(host, "/cgi-bin/cloud_mode_active_cgi.py") == (200, "32\n"))
    told = farm.truth()[host]
    assert (told["mode"], list(told["requests"])) == ("cloud", ["file-1"])


# The command


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--first", "10.0.0.1"], 2, "loopback addresses only"),
        (["--first", "127.255.255.250"], 2, "loopback addresses only"),
        (["--first", "nowhere"], 2, "no IPv4 address"),
        (["--faults", "deaf=1"], 2, "did you mean dead?"),
        (["--hosts", "/nowhere/hosts"], 5, "see --hosts"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    daemon = Daemon("farm", ["simulate", "farm", "--port", "0", *options], tmp_path / "farm.log")
    assert daemon.process.wait(PATIENCE_S) == code
    daemon.end()
    assert daemon.said.count("\n") == 1
    assert words in daemon.said


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.79.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        daemon = Daemon("farm", ["simulate", "farm", "--first", "127.79.0.1", "--port", port], tmp_path / "farm.log")
        assert daemon.process.wait(PATIENCE_S) == 5
    daemon.end()
    assert f"127.79.0.1:{port}: cannot listen (Address already in use); see --first and --port" in daemon.said
