"""`--from` of the fleet tool: a real Prometheus, real index servers, a BU's folder, and servers that are none."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from collector.documents import Sighting, box_document
from collector.facts import ModeNow
from collector.mode_series import ModeRow, mode_series
from contract.config import Node
from contract.index_names import current_of
from contract.modes import Mode
from contract.times import iso
from hltmode.main import main
from simulator.many_nodes import ManyNodes
from tests.integration.node import secret, wait_for
from tests.ports import free_port
from tests.servers.listener import Listener
from tests.servers.prometheus import PrometheusServer
from tests.servers.server import IndexServer
from tests.unit.test_collector_facts import make_box

FARM = {
    "fu-1": ("bu-1", Mode.HLT), "fu-2": ("bu-1", Mode.CLOUD), "fu-3": ("bu-2", Mode.HLT), "fu-4": ("bu-2", None),
}  # fmt: skip


def nodes(*words: str) -> Result:
    """Runs `hltmode fleet nodes` as the console does, so that an error is a line and an exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hltmode", "fleet", "nodes", *words])
        return CliRunner().invoke(click.Command("whole", callback=main), [])


def chosen(*words: str) -> str:
    done = nodes(*words)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


class OneLook(Collector):
    """The mode series as collectors export them."""

    def collect(self) -> Iterator[object]:  # type: ignore[override]  # the library's own type is not exported
        rows = [ModeRow((host, appliance), mode, time.time()) for host, (appliance, mode) in FARM.items()]
        yield from mode_series(["host", "appliance"], rows)


@pytest.mark.servers
def test_all_nodes_of_an_appliance_now_in_hlt_by_a_real_prometheus(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(OneLook())
    with Listener(generate_latest(registry).decode()) as page:
        config = json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [
                    {"job_name": "hltmode", "honor_labels": True,
                     "static_configs": [{"targets": [f"127.0.0.1:{page.port}"]}]},
                ],
            }
        )  # fmt: skip
        with PrometheusServer(config, tmp_path / "prometheus") as server:
            source = f"prometheus:{server.url}"
            empty = nodes("--from", source) if not server.query("hltd_mode") else None
            assert empty is None or (empty.exit_code == 5 and "has no series hltd_mode" in empty.stderr)
            wait_for("the first scrape", lambda: server.query("hltd_mode"))
            assert chosen("--from", source, "--appliance", "bu-1", "--mode", "HLT") == "fu-1"
            assert chosen("--from", source, "--mode", "hlt") == "fu-[1,3]"
            done = nodes("--from", source)
            assert done.stdout.strip() == "fu-[1-4]"
            assert "the mode of 1 nodes is not known" in done.stderr
            assert nodes("--from", f"{source}/nowhere").exit_code == 5


@pytest.mark.servers
@pytest.mark.parametrize(
    "each_server", ["opensearch3", "opensearch2", "elasticsearch8", "elasticsearch9"], indirect=True, scope="module"
)
def test_all_nodes_of_an_appliance_now_in_hlt_by_a_real_index(
    each_server: IndexServer, tmp_path: Path, prefix: str
) -> None:
    subsystem = prefix.strip("-").replace("-", "_")
    name = current_of(subsystem)
    config = tmp_path / "node.toml"
    # of two hosts the first is dead
    config.write_text(
        f'[node]\nsubsystem = "{subsystem}"\n[[sink]]\nname = "central"\nkind = "{each_server.product.value}"\n'
        f'hosts = ["http://127.0.0.1:{free_port()}", "{each_server.url}"]\n'
    )
    ask = ["--from", "index:central", "--config", str(config)]
    missing = nodes(*ask)
    assert missing.exit_code == 5
    assert f"has no index {name}" in missing.stderr
    keyword = {"type": "keyword"}
    try:
        each_server.ask(f"/{name}", {"mappings": {"properties": {"host": keyword}}}, "PUT")
        assert "holds no node" in nodes(*ask).stderr
        for host, (appliance, mode) in FARM.items():
            seen_s = time.time() - (600.0 if mode is None else 0.0)
            now = ModeNow(mode=mode or Mode.HLT, since_s=seen_s)
            box = make_box("off", fm_date=iso(seen_s).rstrip("Z"))
            made = box_document(Sighting(box=box), now, Node(host=host, appliance=appliance), seen_s)
            document = msgspec.to_builtins(made.fields)
            each_server.ask(f"/{name}/_doc/{host}?refresh=true", document, "PUT")
        assert chosen(*ask, "--appliance", "bu-1", "--mode", "HLT") == "fu-1"
        done = nodes("--from", "index", "--config", str(config))
        assert done.stdout.strip() == "fu-[1-4]"
        assert "the mode of 1 nodes is not known, nothing newer than 60 s tells it: fu-4" in done.stderr
    finally:
        each_server.ask(f"/{name}?ignore_unavailable=true", method="DELETE")


@pytest.mark.servers
def test_an_index_with_users_and_certificates_is_asked_as_the_sink_says(
    elasticsearch_secure: IndexServer, tmp_path: Path
) -> None:
    server = elasticsearch_secure
    user = next(iter(server.users.values()))
    (tmp_path / "user").write_text(f"{user.name}\n")
    secret(tmp_path / "password", f"{user.password}\n")
    config = tmp_path / "node.toml"
    lines = [
        "[[sink]]", 'kind = "elasticsearch"', f'hosts = ["{server.url}"]', f'username_file = "{tmp_path}/user"',
        f'password_file = "{tmp_path}/password"',
    ]  # fmt: skip
    config.write_text("\n".join([*lines, f'ca_file = "{server.ca_file}"']))
    ask = ["--from", "index", "--config", str(config)]
    assert "has no index" in nodes(*ask).stderr or "lets this user not read" in nodes(*ask).stderr
    (tmp_path / "password").write_text("wrong\n")
    refused = nodes(*ask)
    assert (refused.exit_code, "HTTP 401" in refused.stderr) == (5, True)
    assert "wrong" not in refused.stderr
    config.write_text("\n".join(lines))
    assert "certificate not trusted" in nodes(*ask).stderr
    (tmp_path / "password").unlink()
    unreadable = nodes(*ask)
    assert (unreadable.exit_code, f"{tmp_path}/password: cannot be read" in unreadable.stderr) == (3, True)


def test_the_box_folders_of_simulated_appliances_are_a_source(tmp_path: Path) -> None:
    now_s = time.time()
    many = ManyNodes(tmp_path, 2, 4, now_s)
    many.step(now_s)
    boxes = f"boxes:{tmp_path}/*/appliance/boxes"
    assert chosen("--from", boxes) == "fu-c2f[01-02]-01-[01-04]"
    assert chosen("--from", boxes, "--mode", "HLT", "fu-c2f01-01-[01-02]", "--expand") == (
        "fu-c2f01-01-01\nfu-c2f01-01-02"
    )
    strange = nodes("--from", boxes, "fu-9")
    assert (strange.exit_code, "fu-9: not known to boxes:" in strange.stderr) == (2, True)
    nobody = nodes("--from", boxes, "--mode", "cloud")
    assert nobody.exit_code == 2
    assert "none of the 8 nodes of boxes:" in nobody.stderr


def test_the_file_of_nodes_is_a_source_of_appliances(tmp_path: Path) -> None:
    file = tmp_path / "farm.txt"
    file.write_text("fu-1 bu-1\nfu-2 bu-2\nfu-3 bu-2\n")
    assert chosen("--nodes", str(file), "--appliance", "bu-2") == "fu-[2-3]"


@contextmanager
def serving(answer: bytes | None) -> Iterator[str]:
    """Yields the URL of a server that says `answer` to everybody, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if answer is None:
                        ended.wait(20)
                        return
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x00\xffrubbish\r\n\r\n", "speaks no HTTP"),
        (http(b"<html>Welcome</html>"), "<html>Welcome</html>"),
        (http(b"{}"), "{}"),
        (http(b"", "302 Found"), "HTTP 302"),
        (http(b"no", "503 Service Unavailable"), "HTTP 503"),
        (http(b"x" * 10)[:-5], "broke"),
        (None, "no answer within 0.5 s"),
    ],
)
@pytest.mark.parametrize("kind", ["prometheus", "index"])
def test_a_server_that_answers_rubbish_or_hangs_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, answer: bytes | None, said: str
) -> None:
    monkeypatch.setattr("fleet.sources.prometheus.WITHIN_S", 0.5)
    with serving(answer) as url:
        config = tmp_path / "node.toml"
        config.write_text(f'[[sink]]\nkind = "opensearch"\nhosts = ["{url}"]\ntimeout_s = 0.5\n')
        source = f"prometheus:{url}" if kind == "prometheus" else "index"
        done = nodes("--from", source, "--config", str(config))
    assert done.exit_code == 5
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert url in done.stderr


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("boxes", 2, "write it as boxes:FOLDER"),
        ("boxes:/nowhere", 5, "boxes:/nowhere: cannot be read"),
        ("prometheus:here", 2, "write it as"),
        ("prometheus:http://user:secret@host", 2, "write it as"),
        ("index", 3, "no such [[sink]] in --config; there: none"),
        ("nodes", 2, "--nodes"),
        ("nowhere", 2, "write it as"),
    ],
)
def test_a_source_that_makes_no_sense_is_told(source: str, code: int, said: str) -> None:
    done = nodes("--from", source)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_nobody_at_home_is_told() -> None:
    done = nodes("--from", f"prometheus:http://127.0.0.1:{free_port()}")
    assert done.exit_code == 5
    assert "not reached" in done.stderr


def test_names_come_from_stdin_and_files_as_well(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_text("fu-[1-3] # the first\nfu-2,fu-9\n")
    assert chosen("fu-3", "--hostfile", str(file)) == "fu-[1-3,9]"
    command = ["-m", "hltmode", "fleet", "nodes", "-"]
    done = subprocess.run(
        [sys.executable, *command], input="fu-1\nfu-[2-3]!fu-2\n", capture_output=True, text=True, check=True
    )
    assert done.stdout == "fu-[1,3]\n"
