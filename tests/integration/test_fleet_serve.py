"""The fleet tool over HTTP: the real server before a simulated farm, asked as run control would ask it."""

from __future__ import annotations

import os
import random
import re
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openapi_schema_validator import OAS31Validator, validate
from openapi_spec_validator import OpenAPIV31SpecValidator

from contract.errors import HltmodeError
from fleet.serving.routes import ROUTES
from hltmode.main import cli
from tests.integration.served_farm import BEARER, ServedFarm, wait_long

# One farm and one server serve all tests of this file; each has nodes of its own.
pytestmark = pytest.mark.xdist_group("fleet_serve")

NODES = 60
FAULTS = "dead=1,refuses=1,old=1"


HALF_ORDER = b"POST /operations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{"


def half_sent(farm: ServedFarm, sent: bytes) -> socket.socket:
    """Returns a connection whose request never comes to its end."""
    client = socket.create_connection(("127.0.0.1", farm.port), timeout=60)
    client.sendall(sent)
    return client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFarm]:
    farm = ServedFarm(tmp_path_factory.mktemp("served"), nodes=NODES, first="127.80.0.1", faults=FAULTS)
    try:
        farm.start()
        with closing(half_sent(farm, b"GET /farm HTTP/1.1")) as head, closing(half_sent(farm, HALF_ORDER)) as body:
            farm.slow = (head, body)
            yield farm
        farm.end()
    finally:
        farm.clean()


@pytest.fixture(scope="module")
def healthy(served: ServedFarm) -> Iterator[str]:
    """Returns nodes without a fault that no test has asked yet, one after the other."""
    return iter(sorted(host for host, told in served.truth().items() if told["fault"] == "none"))


def some(healthy: Iterator[str], n: int) -> list[str]:
    return [next(healthy) for _ in range(n)]


def test_the_farm_is_shown_with_every_node(served: ServedFarm) -> None:
    farm = served.get("/farm")
    assert [node["host"] for node in farm["nodes"]] == served.hosts
    assert {node["appliance"] for node in farm["nodes"]} == {"bu-c2f01", "bu-c2f02", "bu-c2f03"}
    assert {mode["name"] for mode in farm["modes"]} == {"HLT", "activatingCloud", "cloud", "deactivatingCloud"}
    assert sum(farm["counts"].values()) == NODES
    by_fault = {told["fault"]: served.node(host) for host, told in served.truth().items() if told["fault"] != "none"}
    assert by_fault["dead"]["mode"] is None
    assert "not reached" in by_fault["dead"]["silent"]
    assert by_fault["old"]["old"] is True


def test_the_description_is_valid_and_true(served: ServedFarm) -> None:
    described = served.get("/openapi.json")
    OpenAPIV31SpecValidator(described).validate()
    assert described["openapi"].startswith("3.1.")
    assert {(path, method.upper()) for path, way in described["paths"].items() for method in way} == {
        (route.path, route.method) for route in ROUTES
    }
    host = served.hosts[0]
    status, plan = served.post("/plans", {"to": "cloud", "hosts": host})
    assert status == 200, plan
    for path, answer in {
        "/farm": served.get("/farm"),
        "/hosts": served.get(f"/hosts?set={host}"),
        "/operations": served.get("/operations"),
        "/holds": served.get("/holds"),
        "/plans": plan,
    }.items():
        way = described["paths"][path]["post" if path == "/plans" else "get"]
        schema = way["responses"]["200"]["content"]["application/json"]["schema"]
        validate(answer, {**schema, "components": described["components"]}, cls=OAS31Validator)


def test_an_operation_goes_on_without_its_client_and_everything_is_told(
    served: ServedFarm, healthy: Iterator[str]
) -> None:
    hosts = some(healthy, 4)
    before = served.get("/farm")["event"]
    status, plan = served.post("/plans", {"to": "cloud", "hosts": hosts, "ramp": "1,100%", "who": "Anna"})
    assert status == 200, plan
    assert [stage["nodes"] for stage in plan["stages"]] == [1, 3]
    assert plan["stages"][-1]["hlt_after"] == plan["hlt_before"] - 4
    assert all(not served.truth()[host]["requests"] for host in hosts)  # a plan asks nobody
    # the client hangs up before it has read the answer
    path = f"/plans/{plan['id']}/begin"
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        body = b'{"reason": "gap"}'
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {BEARER}\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    wait_long("the operation", lambda: served.call("GET", f"/operations/{plan['id']}")[0] == 200)
    over = served.wait_over(plan["id"])
    assert (over["verdict"], over["counts"], over["reason"]) == ("all good", {"done": 4}, "gap")
    assert {served.truth()[host]["mode"] for host in hosts} == {"cloud"}
    # begun twice is begun once
    assert served.post(path, {})[0] == 201
    assert {len(served.truth()[host]["requests"]) for host in hosts} == {1}

    modes: dict[str, list[str]] = {host: [] for host in hosts}
    kinds, numbers = set(), []
    with served.events(after=before) as events:
        for name, kind, data in events:
            kinds.add(kind)
            numbers.append(int(name.rpartition("-")[2]))
            for node in data if kind == "nodes" else []:
                if node["host"] in modes:
                    modes[node["host"]].append(node["mode"])
            if kind == "operations" and any(each["id"] == plan["id"] and "verdict" in each for each in data):
                break
    assert kinds == {"nodes", "operations", "switchovers"}
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert {seen[-1] for seen in modes.values()} == {"cloud"}

    # the command line knows it, and undo brings back what it moved
    assert plan["id"] in served.fleet("history").stdout
    status, undone = served.post("/operations", {"undo": plan["id"], "who": "Anna"})
    assert (status, undone["to"], undone["nodes"], undone["of"]) == (201, "HLT", 4, plan["id"])
    assert served.wait_over(undone["id"])["verdict"] == "all good"
    wait_long("HLT is shown", lambda: {served.node(host)["mode"] for host in hosts} == {"HLT"})
    assert {each["host"] for each in served.get("/farm")["switchovers"]} >= set(hosts)


def test_the_same_id_again_is_the_same_operation(served: ServedFarm, healthy: Iterator[str]) -> None:
    order = {"to": "cloud", "hosts": some(healthy, 1), "id": "gap-7"}
    assert served.post("/operations", order)[0] == 201
    status, again = served.post("/operations", order)
    assert (status, again["id"]) == (200, "gap-7")
    status, refused = served.post("/operations", {**order, "to": "HLT"})
    assert (status, "gap-7" in refused["error"]) == (409, True)
    assert served.wait_over("gap-7")["verdict"] == "all good"


def test_an_id_with_another_order_is_refused(served: ServedFarm, healthy: Iterator[str]) -> None:
    one, two, held = some(healthy, 3)
    assert served.post("/holds", {"hosts": held, "reason": "new disk"})[0] == 200
    order = {"to": "cloud", "hosts": [one, held], "id": "gap-8"}
    assert served.post("/operations", order)[0] == 201
    assert served.post("/operations", order)[0] == 200  # who is left out was named too
    assert served.wait_over("gap-8")["verdict"] == "all good"
    undo = {"undo": "last", "id": "gap-8-back"}
    assert served.post("/operations", undo)[0] == 201
    for again in (undo, {**undo, "undo": "gap-8"}):
        assert served.post("/operations", again)[0] == 200
    assert served.wait_over("gap-8-back")["verdict"] == "all good"
    for other in (
        {**order, "hosts": one}, {**order, "hosts": [one, two]}, {**order, "hosts": [two, held]},
        {**undo, "undo": "gap-8-back"}, {"retry": "gap-8", "id": "gap-8-back"}, {**undo, "id": "gap-8"},
        {**order, "to": "HLT", "id": "gap-8-back"},
    ):  # fmt: skip
        status, refused = served.post("/operations", other)
        assert (status, "belongs to another order" in refused["error"]) == (409, True), (other, refused)
    assert not served.truth()[two]["requests"]
    assert served.post("/holds/release", {"hosts": held})[0] == 200


def test_nodes_that_refuse_or_are_dead_end_so_and_can_be_retried(served: ServedFarm) -> None:
    bad = [host for host, told in served.truth().items() if told["fault"] in ("dead", "refuses")]
    order = {"to": "cloud", "hosts": bad, "limit_s": 3, "stop_share": 1}
    status, begun = served.post("/operations", order)
    assert status == 201, begun
    over = served.wait_over(begun["id"])
    assert (over["verdict"], over["counts"]) == ("partial", {"refused": 1, "unreachable": 1})
    nodes = {node["host"]: node for node in served.get(f"/operations/{begun['id']}")["nodes"]}
    assert set(nodes) == set(bad)
    assert any("no VM stack" in node["words"] for node in nodes.values())
    status, again = served.post("/operations", {"retry": begun["id"], "limit_s": 1})
    assert (status, again["nodes"]) == (201, 2)
    served.wait_over(again["id"])


def test_two_operators_at_once_and_a_call_off(served: ServedFarm, healthy: Iterator[str]) -> None:
    hosts = some(healthy, 3)
    order = {"to": "cloud", "hosts": hosts, "ramp": "1,100%", "pause_s": 600, "who": "Anna", "limit_s": 900}
    status, begun = served.post("/operations", order)
    assert status == 201, begun
    status, refused = served.post("/operations", {"to": "HLT", "hosts": hosts[1:], "who": "Ben"})
    assert status == 409
    assert "Anna has 2 of these nodes" in refused["error"]
    assert refused["holders"] == [{"operation": begun["id"], "who": "Anna", "nodes": 2}]
    assert served.fleet("include", hosts[0]).returncode == 4  # nor may the command line
    assert served.node(hosts[2])["operation"] == begun["id"]
    wait_long("the first stage", lambda: served.operation(begun["id"])["doing"] == "pausing")
    watching = subprocess.Popen(served.command("watch", begun["id"]), stdout=subprocess.PIPE, text=True)
    try:
        status, called = served.post(f"/operations/{begun['id']}/cancel")
        assert (status, called["called_off"]) == (200, True)
        over = served.wait_over(begun["id"])
        assert (over["verdict"], over["counts"]) == ("called off", {"done": 1, "left out": 2})
        assert "called off" in watching.communicate(timeout=30)[0]
        assert watching.returncode == 13
    finally:
        watching.kill()
        watching.wait()


def test_what_the_command_line_runs_is_shown(served: ServedFarm, healthy: Iterator[str]) -> None:
    hosts = some(healthy, 2)
    options = ["--ramp", "1,100%", "--pause", "600", "--limit", "900", "--who", "Carl"]
    with subprocess.Popen(served.command("exclude", ",".join(hosts), *options), stdout=subprocess.PIPE) as process:
        try:

            def mine() -> list[dict[str, Any]]:
                return [each for each in served.get("/farm")["operations"] if each["who"] == "Carl"]

            wait_long("Carl's operation pauses", lambda: mine() and mine()[0]["doing"] == "pausing")
            (shown,) = mine()
            assert (shown["run_by"], shown["counts"]) == ("other", {"waiting": 1, "done": 1})
            wait_long("the first node in cloud", lambda: served.node(hosts[0])["mode"] == "cloud")
        finally:
            process.terminate()
    wait_long("it is let go", lambda: mine()[0]["run_by"] == "nobody")
    # carried on here it is the server's, and can be called off
    status, carried = served.post(f"/operations/{shown['id']}/carry-on")
    assert (status, carried["run_by"]) == (200, "server")
    assert served.post(f"/operations/{shown['id']}/cancel")[0] == 200
    assert served.wait_over(shown["id"])["counts"] == {"done": 1, "left out": 1}


def test_held_nodes_are_shown_and_left_out(served: ServedFarm, healthy: Iterator[str]) -> None:
    host, other = some(healthy, 2)
    assert served.post("/holds", {"hosts": host, "reason": "new disk", "who": "Anna"}) == (200, {"nodes": 1})
    assert served.node(host)["held"] == "Anna: new disk"
    assert [hold["host"] for hold in served.get("/holds")] == [host]
    status, plan = served.post("/plans", {"to": "cloud", "hosts": [host, other]})
    assert status == 200
    assert plan["left_out"] == [{"why": "on hold: Anna: new disk", "nodes": 1, "hosts": host}]
    status, refused = served.post("/plans", {"to": "cloud", "hosts": host})
    assert (status, "on hold" in refused["error"]) == (422, True)
    assert served.post("/holds/release", {"hosts": host}) == (200, {"nodes": 1})
    assert "held" not in served.node(host)


def test_a_node_that_is_held_before_its_turn_is_not_asked(served: ServedFarm, healthy: Iterator[str]) -> None:
    first, late, canary, waiting = some(healthy, 4)
    status, plan = served.post("/plans", {"to": "cloud", "hosts": [first, late]})
    assert (status, plan["nodes"]) == (200, 2)
    assert served.post("/holds", {"hosts": late, "reason": "new disk", "who": "Anna"})[0] == 200
    assert served.post(f"/plans/{plan['id']}/begin", {})[0] == 201
    order = {"to": "cloud", "hosts": [canary, waiting], "ramp": "1,100%", "pause_s": 600, "limit_s": 900}
    status, begun = served.post("/operations", order)
    assert status == 201, begun
    wait_long("the first stage", lambda: served.operation(begun["id"])["doing"] == "pausing")
    assert served.post("/holds", {"hosts": waiting, "reason": "new disk", "who": "Anna"})[0] == 200
    for name, held in ((plan["id"], late), (begun["id"], waiting)):
        over = served.wait_over(name)
        assert (over["verdict"], over["counts"]) == ("partial", {"done": 1, "left out": 1})
        words = [node["words"] for node in served.get(f"/operations/{name}")["nodes"] if node["host"] == held]
        assert words == ["on hold: Anna: new disk"]
        assert not served.truth()[held]["requests"]
    assert served.post("/holds/release", {"hosts": [late, waiting]}) == (200, {"nodes": 2})


def test_a_reader_that_comes_back_misses_nothing_or_is_told_to_reload(served: ServedFarm) -> None:
    host = served.hosts[-1]

    def change(reason: str) -> None:
        served.post("/holds", {"hosts": host, "reason": reason})
        served.post("/holds/release", {"hosts": host})

    def read_until(events: Iterator[tuple[str, str, Any]], reason: str) -> tuple[str, list[str]]:
        """Reads until the node is held for `reason`; returns that event's id and for what the node was held."""
        seen: list[str] = []
        for name, kind, data in events:
            if kind == "nodes":
                seen += [node.get("held", "").partition(": ")[2] for node in data if node["host"] == host]
            if reason in seen:
                return name, seen
        raise AssertionError(seen)

    before = served.get("/farm")["event"]
    change("first")
    with served.events(after=before) as events:
        name, _ = read_until(events, "first")
    change("while it was away")
    with served.events(after=before, last_id=name) as events:
        _, seen = read_until(events, "while it was away")
    assert seen == ["", "while it was away"]
    for unknown in ("elsewhere-5", "0", f"{before.partition('-')[0]}-999999999", "x" * 3000):
        with served.events(after=unknown) as events:
            assert next(events)[1] == "reload"


def test_a_request_that_does_not_come_to_its_end_is_not_waited_for(served: ServedFarm) -> None:
    for client in served.slow:  # begun before the first test
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), answer
        assert b"whole request within 10 s" in answer


def test_who_only_holds_connections_is_let_go_and_holds_up_nobody(served: ServedFarm) -> None:
    host, idle = served.hosts[-1], 300

    def gone(client: socket.socket) -> bool:
        client.settimeout(0.0)
        try:
            return client.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    with ExitStack() as held, served.events(after=served.get("/farm")["event"]) as events:
        clients = [held.enter_context(half_sent(served, b"GET /farm HTTP/1.1\r\n")) for _ in range(idle)]
        assert "<title>" in served.get("/")
        assert served.post("/holds", {"hosts": host, "reason": "many callers"}) == (200, {"nodes": 1})
        wait_long("half of all connections are left to one address", lambda: sum(map(gone, clients)) >= idle - 128)
        assert next(kind for _, kind, data in events if kind == "nodes" and "many callers" in str(data)) == "nodes"
        assert served.post("/holds/release", {"hosts": host}) == (200, {"nodes": 1})


# What makes no sense


ORDER: dict[str, Any] = {"to": "cloud", "hosts": "fu-c2f01-01-01"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "body: "),
        (b"\xff\xfe", 400, "body: "),
        (b'{"to": ' + b"[" * 100_000, 400, "body: "),
        ({}, 400, "one of to"),
        ({**ORDER, "to": "moon"}, 400, "Invalid enum value 'moon'"),
        ({**ORDER, "sudo": 1}, 400, "unknown field `sudo`"),
        ({**ORDER, "hosts": ""}, 400, "no node is named"),
        ({**ORDER, "hosts": []}, 400, "no node is named"),
        ({**ORDER, "hosts": "fu-1!fu-1"}, 400, "fu-1!fu-1: nobody is left"),
        ({**ORDER, "hosts": "fu-nobody"}, 400, "fu-nobody: not in the file of nodes"),
        ({**ORDER, "hosts": "fu-[1-"}, 400, "not a set of nodes"),
        ({**ORDER, "hosts": "@all"}, 400, "groups and wildcards are not taken here"),
        ({**ORDER, "hosts": "*"}, 400, "groups and wildcards are not taken here"),
        ({**ORDER, "hosts": "-"}, 400, "names and ranges"),
        ({**ORDER, "hosts": "fu-[1-100000]"}, 400, "more than 10000 nodes"),
        ({**ORDER, "hosts": "fu-[1-1000]-[1-1000]"}, 400, "more than 10000 nodes"),
        ({**ORDER, "hosts": ",".join(f"{letter}[1-20000]" for letter in "abcdefgh")}, 400, "more than 10000 nodes"),
        ({**ORDER, "hosts": "fu-[1-99999999999999999999]"}, 400, "more than 10000 nodes"),
        ({**ORDER, "hosts": [f"fu-{n}" for n in range(25_000)]}, 400, "length <= 10000"),
        ({**ORDER, "hosts": [f"fu-{n:06}" for n in range(100_000)]}, 413, "at most 1048576 bytes"),
        ({**ORDER, "appliances": ["bu-none"]}, 400, "bu-none: no such appliance"),
        ({"to": "cloud", "hosts": "fu-c2f01-01-[01-03]", "ramp": "3,1"}, 400, "--ramp 1: less"),
        ({**ORDER, "count": 1, "percent": 5}, 400, "not both"),
        ({**ORDER, "percent": 101}, 400, "<= 100"),
        ({**ORDER, "to": "HLT", "keep": 1}, 400, "go with the way to the cloud only"),
        ({**ORDER, "id": "no good"}, 400, "matching regex"),
        ({**ORDER, "undo": "last"}, 400, "one of to"),
        ({**ORDER, "id": "last"}, 400, "id: last is the newest operation"),
        ({"undo": "op-none"}, 404, "op-none: no such operation"),
        ({"retry": "op-none"}, 404, "op-none: no such operation"),
        ({"undo": "op-none", "hosts": "fu-1"}, 400, "hosts and appliances go with to"),
    ],
)  # fmt: skip
def test_an_order_that_makes_no_sense_is_one_line(served: ServedFarm, body: Any, status: int, words: str) -> None:
    for path in ("/plans", "/operations"):
        got, answer, headers = served.call("POST", path, body)
        assert (got, headers["Content-Type"]) == (status, "application/json"), answer
        assert words in answer["error"], answer
        assert "\n" not in answer["error"]
        assert "Traceback" not in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/page/..%2fserving%2froutes.py", 404),
        ("GET", "/page/none.js", 404),
        ("DELETE", "/farm", 405),
        ("POST", "/events", 405),
        ("GET", "/operations/op-none", 404),
        ("GET", "/operations?limit=x", 400),
        ("GET", "/hosts?set=%00", 400),
        ("POST", "/operations/op-none/cancel", 404),
        ("POST", "/operations/op-none/carry-on", 404),
        ("POST", "/plans/op-none/begin", 415),
    ],
)
def test_a_path_that_is_none_is_json_too(served: ServedFarm, method: str, path: str, status: int) -> None:
    got, answer, headers = served.call(method, path)
    assert (got, headers["Content-Type"]) == (status, "application/json"), answer
    assert set(answer) == {"error"}
    assert str(served.folder) not in answer["error"]


def test_sets_that_are_much_work_are_read_beside_the_others(served: ServedFarm) -> None:
    dice = random.Random(6)
    scattered = [f"a[{dice.randint(1, 999)}]-{dice.randint(1, 999)}-[{dice.randint(1, 999)}]" for _ in range(9000)]
    with ThreadPoolExecutor() as callers:
        many = [callers.submit(served.call, "POST", "/holds", {"hosts": scattered, "reason": "x"}) for _ in range(3)]
        one = callers.submit(served.call, "GET", f"/hosts?set={','.join(scattered[:300])}", bearer="")
        assert len(served.get("/farm")["nodes"]) == NODES
        answers = [each.result() for each in (*many, one)]
    assert {status for status, _, _ in answers} <= {400, 503}
    assert "not in the file of nodes" in answers[-1][1]["error"]


def test_a_guesser_of_tokens_fills_no_log(served: ServedFarm) -> None:
    for _ in range(30):
        assert served.call("GET", "/access", bearer="wrong")[0] == 401
    assert served.server is not None
    assert served.server.said.count("GET /access: refused to 127.0.0.1: no valid token") <= 3


def test_a_plan_that_is_not_there_is_gone(served: ServedFarm) -> None:
    status, answer = served.post("/plans/op-none/begin", {})
    assert (status, "POST /plans" in answer["error"]) == (410, True)


# Who may


@pytest.mark.parametrize("token", ["", "wrong", f"{BEARER}x", "é"])
def test_without_the_token_nothing_can_be_done(served: ServedFarm, token: str) -> None:
    before = served.get("/operations")
    for route in ROUTES:
        if route.acts:
            path = route.path.replace("{id}", "last")
            headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")} if token else {}
            status, answer, told = served.call(route.method, path, ORDER, headers=headers, bearer="")
            assert (status, told["WWW-Authenticate"]) == (401, 'Bearer realm="hltmode"'), (path, answer)
    assert served.get("/operations") == before


def test_every_way_that_changes_something_takes_the_token() -> None:
    assert {route.path for route in ROUTES if route.method == "POST"} <= {route.path for route in ROUTES if route.acts}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:80"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost:99"}, 415),
        ({"Host": "[::1]:99"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:9800"}, 415),
    ],
)
def test_pages_of_other_sites_and_other_names_get_nothing(
    served: ServedFarm, headers: dict[str, str], status: int
) -> None:
    assert served.call("POST", "/plans", headers=headers)[0] == status


@pytest.mark.parametrize("path", ["/", "/farm", "/page/page.js", "/nothing", "/events?after=0"])
def test_every_answer_has_the_headers_that_protect_browsers(served: ServedFarm, path: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.settimeout(10)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(4096)
    head = answer.decode().lower()
    assert "content-security-policy: default-src 'none'; script-src 'self';" in head
    assert "frame-ancestors 'none'" in head
    for line in ("x-content-type-options: nosniff", "x-frame-options: deny", "referrer-policy: no-referrer"):
        assert line in head
    assert "access-control-allow-origin" not in head


def test_a_new_token_counts_at_once(served: ServedFarm) -> None:
    assert served.call("GET", "/access")[0] == 200
    served.token_file.write_text("another-token-for-tests\n")
    try:
        assert served.call("GET", "/access")[0] == 401
        assert served.call("GET", "/access", bearer="another-token-for-tests")[0] == 200
    finally:
        served.token_file.write_text(f"{BEARER}\n")
    assert served.call("GET", "/access")[1] == {"may_act": True}


# A server that is killed, and others


def test_a_killed_server_carries_on_and_readers_are_told_to_reload(tmp_path: Path) -> None:
    farm = ServedFarm(tmp_path, nodes=4, first="127.81.0.1")
    try:
        farm.start()
        event = farm.get("/farm")["event"]
        order = {"to": "cloud", "hosts": farm.hosts, "ramp": "2,100%", "pause_s": 1, "reason": "gap"}
        status, begun = farm.post("/operations", order)
        assert status == 201, begun
        wait_long("somebody is asked", lambda: any(told["requests"] for told in farm.truth().values()))
        farm.kill()
        farm.start()
        with farm.events(after=event) as events:
            assert next(events)[1] == "reload"
        assert farm.wait_over(begun["id"])["verdict"] == "all good"
        truth = farm.truth()
        assert {told["mode"] for told in truth.values()} == {"cloud"}
        assert {tuple(told["requests"]) for told in truth.values()} == {(begun["id"],)}
        farm.end()
    finally:
        farm.clean()


def test_a_server_without_a_token_file_only_shows_and_streams_are_limited(tmp_path: Path) -> None:
    farm = ServedFarm(tmp_path, nodes=2, first="127.82.0.1")
    try:
        farm.start("--streams", "2", acting=False)
        assert farm.get("/farm")["may_act"] is False
        status, answer, _ = farm.call("POST", "/operations", ORDER)
        assert (status, "--clients-token-file" in answer["error"]) == (403, True)
        with farm.events():
            status, answer, headers = farm.call("GET", "/events")
            assert (status, headers["Retry-After"]) == (503, "10")
            assert "1 readers of events from 127.0.0.1 are here" in answer["error"]
            assert _streams(farm, "127.0.0.2")  # the other half is for others
        wait_long("the place is free", lambda: _streams(farm))
        farm.end()  # with SIGTERM, although a reader is there
    finally:
        farm.clean()


def test_a_store_that_cannot_be_read_ends_the_server_with_one_line(tmp_path: Path) -> None:
    farm = ServedFarm(tmp_path, nodes=2, first="127.85.0.1")
    try:
        server = farm.start()
        with closing(sqlite3.connect(tmp_path / "fleet.sqlite")) as store:
            store.execute("DROP TABLE holds")
        assert server.process.wait(60) == 5
        assert "cannot be read (no such table: holds)" in server.said.splitlines()[-1]
        assert "Traceback" not in server.said
    finally:
        farm.clean()


def _streams(farm: ServedFarm, caller: str = "127.0.0.1") -> bool:
    with socket.create_connection(("127.0.0.1", farm.port), source_address=(caller, 0)) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(20).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "--nodes is wanted"),
        (["--nodes", "{hosts}", "--certificate", "x"], 2, "go together"),
        (["--nodes", "{hosts}", "--clients-token-file", "/nowhere/token"], 3, "see --clients-token-file"),
        (["--nodes", "{hosts}", "--port", "{taken}"], 5, "cannot listen"),
        (["--nodes", "{hosts}", "--certificate", "{hosts}", "--key", "{hosts}"], 5, "no certificate and key"),
    ],
)
def test_a_start_that_makes_no_sense_is_one_line(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("fu-1 bu-1 127.0.0.1:1\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        given = [each.format(hosts=hosts, taken=port) for each in options]
        store = ["--store", str(tmp_path / "s.sqlite"), "--port", "0"]
        done = CliRunner().invoke(cli, ["fleet", "serve", *store, *given])
    error = done.exception
    assert (error.exit_code if isinstance(error, HltmodeError) else done.exit_code) == code, done.output
    assert words in (str(error) if isinstance(error, HltmodeError) else done.output)


def test_the_examples_of_the_manual_run(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "run-control.md").read_text()
    examples = re.findall(r"^```sh\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    assert len(examples) > 5
    farm = ServedFarm(tmp_path, nodes=20, first="127.84.0.1")
    try:
        farm.start()
        (tmp_path / "header").write_text(f"Authorization: Bearer {BEARER}\n")
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", "\n".join(examples)],
            cwd=tmp_path, env=os.environ | {"FARM": farm.url}, check=False, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert farm.operation("gap-7")["verdict"] == "all good"
        assert farm.operation("gap-7-back")["called_off"] is True
        assert "event: reload" in done.stdout
        farm.end()
    finally:
        farm.clean()
