"""A simulated farm as one process, the fleet tool's server before it as another, and the ways of callers to both."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulator.daemons import Daemon
from tests.integration.node import wait_for
from tests.ports import free_port

BEARER = "a-token-for-tests"
SPEED = "60"
PATIENCE_S = 90.0


class ServedFarm:
    """`nodes` simulated nodes from the address `first` on. `start` may be called again after `kill` or `end`."""

    def __init__(self, folder: Path, *, nodes: int, first: str, faults: str = "", speed: str = SPEED) -> None:
        self.folder = folder
        self.hosts_file = folder / "hosts.txt"
        self.token_file = folder / "token"
        self.token_file.touch(0o600)
        self.token_file.write_text(f"{BEARER}\n")
        command = ["simulate", "farm", "--nodes", str(nodes), "--first", first, "--port", "0", "--speed", speed]
        more = ["--control", "0", "--hosts", str(self.hosts_file), "--faults", faults, "--seed", "3"]
        self.farm = Daemon("farm", [*command, *more], folder / "farm.log")
        self.farm.wait_ready()
        self._control = self.farm.said.split()[-1]
        self.hosts = [line.split()[0] for line in self.hosts_file.read_text().splitlines()]
        self.port = free_port()
        self.server: Daemon | None = None
        self.slow: tuple[socket.socket, ...] = ()  # connections whose requests never end

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: str, acting: bool = True) -> Daemon:
        files = ["--store", str(self.folder / "fleet.sqlite"), "--nodes", str(self.hosts_file)]
        may_act = ["--clients-token-file", str(self.token_file)] if acting else []
        command = ["fleet", "serve", *files, *may_act, "--port", str(self.port), "--every", "0.5", *options]
        self.server = Daemon("server", command, self.folder / "server.log")
        self.server.wait_ready()
        wait_long("every node that answers is seen", lambda: self.counts()["no answer"] == self.silent())
        return self.server

    def end(self) -> None:
        if self.server is not None:
            assert self.server.end() == 0, self.server.said
            assert "Traceback" not in self.server.said, self.server.said

    def kill(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.end()

    def clean(self) -> None:
        if self.server is not None:
            self.server.end()
        self.farm.end()

    # What callers do

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        bearer: str = BEARER,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Returns status, JSON and headers of an answer. `body` is sent as JSON; bytes are sent as they are."""
        sent = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, content, {**sent, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            told = dict(answer.getheaders())
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(("{", "[")) else text, told

    def get(self, path: str) -> Any:
        status, answer, _ = self.call("GET", path, bearer="")
        assert status == 200, answer
        return answer

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        status, answer, _ = self.call("POST", path, body)
        return status, answer

    @contextmanager
    def events(self, after: str = "", *, last_id: str = "") -> Iterator[Iterator[tuple[str, str, Any]]]:
        """Yields the events, each as id, kind and data, as they come."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = urllib.request.Request(f"{self.url}/events?after={after}", headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            yield read_events(answer)

    def fleet(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the command line over the same store."""
        return subprocess.run(self.command(*words), check=False, capture_output=True, text=True, timeout=90)

    def command(self, *words: str) -> list[str]:
        files = ["--store", str(self.folder / "fleet.sqlite"), "--nodes", str(self.hosts_file)]
        return [sys.executable, "-m", "hltmode", "fleet", words[0], *words[1:], *files]

    # What onlookers see

    def truth(self) -> dict[str, Any]:
        """Returns what really happened to each node."""
        with urllib.request.urlopen(self._control, timeout=10) as answer:
            truth: dict[str, Any] = json.load(answer)
        return truth

    def silent(self) -> int:
        return sum(told["fault"] in ("dead", "silent") for told in self.truth().values())

    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = self.get("/farm")["counts"]
        return counts

    def node(self, host: str) -> dict[str, Any]:
        found: dict[str, Any] = next(node for node in self.get("/farm")["nodes"] if node["host"] == host)
        return found

    def operation(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/operations/{name}")["operation"]
        return found

    def wait_over(self, name: str) -> dict[str, Any]:
        """Waits until an operation is over and returns it."""
        wait_long(f"the end of {name}", lambda: "verdict" in self.operation(name))
        return self.operation(name)


def wait_long(what: str, met: Callable[[], object]) -> None:
    """Waits until `met` is true, as long as a machine may take that has much else to do."""
    wait_for(what, met, PATIENCE_S)


def read_events(lines: Iterator[bytes]) -> Iterator[tuple[str, str, Any]]:
    """Yields each event of a stream as id, kind and data."""
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}
