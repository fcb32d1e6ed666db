"""The entrance of a real daemon: addresses, token, TLS, limits, and what never comes out."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Surroundings
from contract.modes import Mode
from simulator.daemons import Daemon
from tests.integration.node import Node, secret, wait_for
from tests.ports import free_port
from tests.servers.certificates import make_certificates

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f7"  # noqa: S105 - of a node that lives for one test
STATUS = "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def refused(node: Node) -> tuple[int, str]:
    """Returns exit code and last line of a daemon that does not start."""
    with pytest.raises(Surroundings):
        node.start()
    code = node.end()
    assert "Traceback" not in node.log
    return code, node.log.strip().splitlines()[-1]


def ask(node: Node, path: str, source: str = "127.0.0.1", to: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
    """Returns status and body of a GET that comes from the address `source`."""
    connection = http.client.HTTPConnection(to, node.port, timeout=20, source_address=(source, 0))
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


# Addresses


def test_an_ipv6_address_is_listened_at_and_told_to_the_bu(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"http": {"bind": "::1"}})
    node.start()
    assert f"ready: http://[::1]:{node.port}, " in node.log
    assert ask(node, "/status", "::1", "::1")[0] == 200
    wait_for("a box file", node.paths.box.exists)
    assert node.box().ip == "::1"


@pytest.mark.parametrize(("network", "ipv4", "ipv6"), [("127.0.0.0/8", 200, 403), ("::1/128", 403, 200)])
def test_an_ipv4_caller_is_one_at_a_socket_that_hears_both(
    new_node: Callable[..., Node], network: str, ipv4: int, ipv6: int
) -> None:
    """The kernel names him ::ffff:127.0.0.1 there."""
    node = new_node(overlay={"http": {"bind": "::", "port": 0, "allow": [network]}})
    node.start()
    found = re.search(r"ready: http://\[::\]:(\d+), ", node.log)
    assert found
    node.port = int(found[1])
    assert ask(node, "/status")[0] == ipv4
    assert ask(node, "/status", "::1", "::1")[0] == ipv6


def test_a_stranger_is_named_once_and_writes_nothing_into_the_log(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"http": {"allow": ["127.0.0.1/32"]}})
    node.start()
    for number in range(50):
        assert ask(node, f"/x%0A2026%20ERROR%20forged{number}", "127.0.0.2")[0] == 403
    for number in range(3, 60):
        assert ask(node, "/status", f"127.0.0.{number}")[0] == 403
    lines = [line for line in node.log.splitlines() if "may not ask here" in line]
    assert len(lines) == 10
    assert "/x%0A2026%20ERROR%20forged0: refused to 127.0.0.2: may not ask here; see http.allow" in lines[0]
    assert not re.search("^2026 ERROR", node.log, re.MULTILINE)
    assert ask(node, "/status")[0] == 200


# The bearer token


def test_a_token_file_that_others_can_read_stops_the_start(new_node: Callable[..., Node], tmp_path: Path) -> None:
    path = secret(tmp_path / "token", TOKEN)
    path.chmod(0o644)
    node = new_node(overlay={"http": {"token_file": str(path)}})
    code, line = refused(node)
    assert (code, f"{path}: open to others (mode 0644); chmod 600; see http.token_file" in line) == (3, True)
    path.chmod(0o600)
    path.write_text("short")
    code, line = refused(node)
    assert (code, "openssl rand -hex 32" in line) == (3, True)


def test_the_token_is_read_again_on_sighup_and_a_bad_one_changes_nothing(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    path = secret(tmp_path / "token", TOKEN)
    node = new_node(overlay={"http": {"token_file": str(path)}})
    node.start()
    assert ask(node, "/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    path.write_text(TOKEN[::-1])
    node.reload()
    assert ask(node, "/status", Authorization=f"Bearer {TOKEN}")[0] == 403
    assert ask(node, "/status", Authorization=f"Bearer {TOKEN[::-1]}")[0] == 200
    path.write_text("short")
    node.reload(good=False)
    assert ask(node, "/status", Authorization=f"Bearer {TOKEN[::-1]}")[0] == 200
    assert ask(node, "/status")[0] == 403


def test_no_secret_is_in_a_log_a_file_a_command_line_or_an_environment(
    new_node: Callable[..., Node], tmp_path: Path
) -> None:
    """Of the daemon, and of the jobs and merge scripts that it starts."""
    make_certificates(tmp_path / "tls")
    key = (tmp_path / "tls" / "server.key").read_text().splitlines()[1]
    path = secret(tmp_path / "token", TOKEN)
    tls = {"tls_port": 0, "tls_cert_file": f"{tmp_path}/tls/server.pem", "tls_key_file": f"{tmp_path}/tls/server.key"}
    node = new_node(overlay={"http": {"token_file": str(path), **tls}})
    node.start()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    wait_for("the first answer of the cloud tool", lambda: not node.state()["unproven"])
    node.bu_run(100, 3)
    node.cgi("start", "?run=100")
    wait_for("a job and a merge script", lambda: node.jobs() and node.merges())
    ask(node, "/status", Authorization="Bearer wrong")
    ask(node, f"/status?token={TOKEN}x"[:20], **bearer)
    assert node.post({"id": "op-1", "to": "cloud", "who": "Anna"}, bearer)[0] == 202
    node.reload()
    assert node.daemon is not None
    pids = [node.daemon.pid, *node.jobs(), *node.merges()]
    places = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "environ")]
    places += [each for each in tmp_path.rglob("*") if each.is_file() and each.parent.name != "tls" and each != path]
    assert len(places) > 10
    for place in places:
        try:
            content = place.read_bytes()
        except FileNotFoundError:
            continue  # a temporary name; under its own the file is among these as well
        assert TOKEN.encode() not in content, place
        assert key.encode() not in content, place


# TLS


@pytest.fixture
def tls_node(new_node: Callable[..., Node], tmp_path: Path) -> Node:
    make_certificates(tmp_path / "tls")
    files = {"tls_cert_file": f"{tmp_path}/tls/server.pem", "tls_key_file": f"{tmp_path}/tls/server.key"}
    token = secret(tmp_path / "token", TOKEN)
    node = new_node(overlay={"http": {**files, "tls_port": 0, "token_file": str(token)}})
    node.start()
    return node


def tls_port(node: Node) -> int:
    found = re.search(r"ready: http://127\.0\.0\.1:\d+ and https://127\.0\.0\.1:(\d+), ", node.log)
    assert found
    return int(found[1])


def ask_tls(node: Node, ca: Path, path: str = "/status", **context: Any) -> tuple[int, str]:
    trust = ssl.create_default_context(cafile=ca)
    for name, value in context.items():
        setattr(trust, name, value)
    connection = http.client.HTTPSConnection("127.0.0.1", tls_port(node), timeout=20, context=trust)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_the_api_speaks_tls_and_old_callers_go_on_in_plain_text(tls_node: Node, tmp_path: Path) -> None:
    ca = tmp_path / "tls" / "ca.pem"
    status, body = ask_tls(tls_node, ca)
    assert (status, json.loads(body)["mode"]) == (200, "HLT")
    assert ask_tls(tls_node, ca, "/cgi-bin/cloud_mode_active_cgi.py") == (200, "0\n")
    assert tls_node.cgi("cloud_mode_active") == "0\n"
    assert ask(tls_node, "/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(tls_node, "/status")[0] == 403
    with pytest.raises(ssl.SSLCertVerificationError):
        ask_tls(tls_node, make_certificates(tmp_path / "other"))


def test_what_is_not_tls_or_old_tls_is_refused_at_the_tls_port(tls_node: Node, tmp_path: Path) -> None:
    with socket.create_connection(("127.0.0.1", tls_port(tls_node)), 10) as plain:
        plain.sendall(STATUS.encode())
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in plain.recv(1 << 16)
    openssl = ["openssl", "s_client", "-connect", f"127.0.0.1:{tls_port(tls_node)}", "-cipher", "ALL@SECLEVEL=0"]
    for version, code in (("-tls1", 1), ("-tls1_1", 1), ("-tls1_2", 0)):
        found = subprocess.run([*openssl, version], input=b"", capture_output=True, check=False, timeout=30)
        assert found.returncode == code, (version, found.stderr)
    assert ask_tls(tls_node, tmp_path / "tls" / "ca.pem")[0] == 200
    assert "Traceback" not in tls_node.log


def test_a_new_certificate_holds_from_sighup_on_and_a_bad_one_leaves_the_old(tls_node: Node, tmp_path: Path) -> None:
    folder, other = tmp_path / "tls", tmp_path / "other"
    old = (folder / "server.pem").read_bytes()
    (folder / "server.pem").write_bytes(b"nothing")
    tls_node.reload(good=False)
    assert f"{folder}/server.pem: no certificate with its key (" in tls_node.log
    assert ask_tls(tls_node, folder / "ca.pem")[0] == 200
    new_ca = make_certificates(other)
    (folder / "server.pem").write_bytes((other / "server.pem").read_bytes())
    tls_node.reload(good=False)
    (folder / "server.key").write_bytes((other / "server.key").read_bytes())
    tls_node.reload()
    assert ask_tls(tls_node, new_ca)[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ask_tls(tls_node, folder / "ca.pem")
    (folder / "server.key").chmod(0o644)
    (folder / "server.pem").write_bytes(old)
    tls_node.reload(good=False)
    assert f"{folder}/server.key: open to others" in tls_node.log


def test_the_fleet_tool_asks_by_tls_and_trusts_no_other_authority(tls_node: Node, tmp_path: Path) -> None:
    farm = tmp_path / "farm.txt"
    farm.write_text(f"fu-1 bu-1 127.0.0.1:{tls_port(tls_node)}\n")

    def status(ca: Path) -> dict[str, Any]:
        command = [sys.executable, "-m", "hltmode", "fleet", "status", "fu-1", "--json", "--nodes", str(farm)]
        command += ["--store", f"{tmp_path}/store", "--ca-file", str(ca), "--token-file", f"{tmp_path}/token"]
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert "Traceback" not in found.stderr
        return {"code": found.returncode, "text": found.stdout + found.stderr}

    assert '"HLT"' in status(tmp_path / "tls" / "ca.pem")["text"]
    assert "not reached: no TLS (unable to get local issuer" in status(make_certificates(tmp_path / "other"))["text"]
    (tmp_path / "no-ca").write_text("nothing")
    refusal = status(tmp_path / "no-ca")
    assert (refusal["code"], "see --ca-file" in refusal["text"]) == (3, True)
    (tmp_path / "token").chmod(0o644)
    refusal = status(tmp_path / "tls" / "ca.pem")
    assert (refusal["code"], "open to others (mode 0644); chmod 600" in refusal["text"]) == (3, True)


def test_the_fleet_tools_server_asks_by_tls_and_its_token_is_never_in_the_clear(tls_node: Node, tmp_path: Path) -> None:
    farm = tmp_path / "farm.txt"
    farm.write_text(f"fu-1 bu-1 127.0.0.1:{tls_port(tls_node)}\n")
    files = ["--nodes", str(farm), "--store", f"{tmp_path}/store", "--token-file", f"{tmp_path}/token"]
    secrets = ["--ca-file", f"{tmp_path}/tls/ca.pem", "--clients-token-file", f"{tmp_path}/token"]
    port = free_port()
    serve = ["fleet", "serve", *files, *secrets, "--port", str(port), "--every", "0.5"]

    def call(method: str, path: str, body: str = "") -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        with contextlib.closing(connection):
            return json.loads(connection.getresponse().read())

    with Daemon("serve", serve, tmp_path / "serve.log") as server:
        server.wait_ready()
        wait_for("the node is seen", lambda: call("GET", "/farm")["nodes"][0]["mode"] == "HLT")
        begun = call("POST", "/operations", '{"to": "cloud", "hosts": "fu-1"}')
        wait_for("its end", lambda: "verdict" in call("GET", f"/operations/{begun['id']}")["operation"], 60.0)
        assert call("GET", f"/operations/{begun['id']}")["operation"]["verdict"] == "all good", server.said
    assert tls_node.mode is Mode.CLOUD


# Limits


def test_one_who_asks_too_often_is_told_so_and_nobody_else_pays(new_node: Callable[..., Node]) -> None:
    node = new_node(overlay={"http": {"requests_per_s": 0.002, "connections": 16}})
    node.start()
    codes = [ask(node, "/status", "127.0.0.2")[0] for _ in range(12)]
    assert codes == [200] * 10 + [429] * 2
    assert ask(node, "/status", "127.0.0.3")[0] == 200
    node.get("/cgi-bin/exclude_cgi.py")
    wait_for("a purse that is empty", lambda: node.get("/cgi-bin/include_cgi.py")[0] == 429)
    assert "127.0.0.2: asks too often; see http.requests_per_s" in node.log
    node.configure("0.002", "0")
    assert [ask(node, "/status", "127.0.0.2")[0] for _ in range(30)] == [200] * 30


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("POST /switch HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{", 413),
        ("POST /switch HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411),
        (f"GET /{'a' * 20000} HTTP/1.1\r\n\r\n", 431),
        (f"GET / HTTP/1.1\r\n{'a: b' * 5000}\r\n\r\n", 431),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET http://[ HTTP/1.1\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\n\r\n", 400),
        ("GET /status HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("CONNECT x:1 HTTP/1.0\r\n\r\n", 404),
        ("TRACE /status HTTP/1.0\r\n\r\n", 405),
        ("GET /../../etc/passwd HTTP/1.0\r\n\r\n", 404),
        ("GET /cgi-bin/..%2f..%2fetc/passwd HTTP/1.0\r\n\r\n", 404),
    ],
)
def test_what_is_too_large_or_strange_is_refused_with_one_answer(door_node: Node, request_: str, status: int) -> None:
    answer = door_node.raw(request_)
    assert answer.startswith((f"HTTP/1.1 {status} ", f"HTTP/1.0 {status} ")), answer
    assert len(re.findall("HTTP/1.[01] [0-9]+ ", answer)) == 1


@pytest.fixture(scope="module")
def door_node(tmp_path_factory: pytest.TempPathFactory) -> Any:
    node = Node(tmp_path_factory.mktemp("door"))
    node.start()
    yield node
    assert "Traceback" not in node.log
    assert node.mode is Mode.HLT
    node.clean()


def test_pipelined_requests_are_answered_in_their_order(door_node: Node) -> None:
    keep = "GET /journal?after={} HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = door_node.raw(keep.format("x1") + keep.format("x2") + STATUS)
    assert re.findall("HTTP/1.1 ([0-9]+)", answer) == ["400", "400", "200"]
    assert answer.index("x1") < answer.index("x2") < answer.index('"host"')


@pytest.mark.parametrize("path", ["/status", "/nothing", "/cgi-bin/runl_cgi.py"])
def test_one_who_ends_his_side_is_answered_all_the_same(door_node: Node, path: str) -> None:
    with socket.create_connection(("127.0.0.1", door_node.port), 10) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 3 + b"GET /half")
        caller.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: caller.recv(1 << 16), b""))
    assert answer.count(b"HTTP/1.1 ") == (3 if path == "/status" else 1)
