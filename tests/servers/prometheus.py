"""A real Prometheus and a real Alertmanager on loopback, each in a folder of its own, started here and ended by pid.

with PrometheusServer(config_text, folder) as server:
    server.query("up")
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from contract.errors import Surroundings, TimedOut
from tests.ports import free_port
from tests.servers.programs import AMTOOL, PROMETHEUS, PROMTOOL, program
from tests.servers.settings import LOOPBACK
from tests.servers.unpacked import alertmanager

UP_WITHIN_S: Final = 60.0
ENDED_WITHIN_S: Final = 15.0
LOOK_EVERY_S: Final = 0.05
LOG_TAIL_LINES: Final = 25


class QueryError(ValueError):
    """Prometheus refused or failed a query; the message is its own."""


class Server:
    """One process that serves on a loopback port. As a context it is up, and gone at the end; its folder stays."""

    def __init__(self, name: str, arguments: Callable[[int], Sequence[str]], folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What the process has put out so far, over all starts."""
        path = self.folder / "output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Starts the process and waits until it serves. Raises Surroundings or TimedOut, with the end of its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [program(self.name), *self._arguments(self.port)]
        if guard := shutil.which("setpriv"):
            command = [guard, "--pdeathsig", "TERM", *command]  # none is left behind by a test that was killed
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self._wait_up()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Has the process end, and kills it if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def ask(self, path: str, arguments: Mapping[str, str] | None = None, body: object = None) -> Any:
        """Returns the JSON answer to a GET with `arguments`, or to a POST of `body`. Raises OSError or QueryError."""
        query = f"?{urllib.parse.urlencode(arguments)}" if arguments else ""
        request = urllib.request.Request(
            f"{self.url}{path}{query}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise QueryError(f"{path}{query}: {error.code} {error.read().decode(errors='replace')}") from error
        return json.loads(content) if content else None

    def _wait_up(self) -> None:
        assert self._process is not None
        end_s = time.monotonic() + UP_WITHIN_S
        while True:
            if self._process.poll() is not None:
                raise Surroundings(f"{self.name} ended before it was up:\n{self._log_tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                    return
            except OSError:  # not listening yet, or not ready
                pass
            if time.monotonic() > end_s:
                raise TimedOut(f"{self.name} was not up within {UP_WITHIN_S:g} s:\n{self._log_tail()}")
            time.sleep(LOOK_EVERY_S)

    def _log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-LOG_TAIL_LINES:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class PrometheusServer(Server):
    """Prometheus with `config_text` as its configuration; paths in it are relative to `folder`."""

    def __init__(self, config_text: str, folder: Path) -> None:
        super().__init__(PROMETHEUS, self._flags, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "prometheus.yml"
        self.config.write_text(config_text)

    def _flags(self, port: int) -> list[str]:
        return [
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--web.enable-admin-api",
            "--log.level=warn",
        ]

    def query(self, expr: str, time: float | None = None) -> list[dict[str, Any]]:
        """Returns the samples of an instant query: `metric` (labels) and `value` ([time, text]). Raises QueryError."""
        return self._result("/api/v1/query", {"query": expr} | ({} if time is None else {"time": str(time)}))

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Returns the series of a range query (Unix seconds): `metric` and `values`. Raises QueryError."""
        return self._result(
            "/api/v1/query_range", {"query": expr, "start": str(start), "end": str(end), "step": str(step)}
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Returns the alerts that are pending or firing, as Prometheus lists them."""
        found: list[dict[str, Any]] = self.ask("/api/v1/alerts")["data"]["alerts"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Returns the groups of rules with their health and the time that their last evaluation took."""
        found: list[dict[str, Any]] = self.ask("/api/v1/rules")["data"]["groups"]
        return found

    def _result(self, path: str, arguments: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = self.ask(path, arguments)
        data = answer["data"]
        # a scalar comes as a bare pair of time and text
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else data["result"]


class AlertmanagerServer(Server):
    """Alertmanager, alone in its cluster, with `config_text` as its configuration."""

    def __init__(self, config_text: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(alertmanager(folder), self._flags, folder)
        self.config = folder / "alertmanager.yml"
        self.config.write_text(config_text)

    def _flags(self, port: int) -> list[str]:
        return [
            f"--config.file={self.config}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Returns the alerts that it knows, with `labels` and `status` (state, inhibitedBy, silencedBy)."""
        found: list[dict[str, Any]] = self.ask("/api/v2/alerts")
        return found

    def tell(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Gives it alerts as Prometheus would: `labels`, `annotations`, and `endsAt` for one that is over."""
        self.ask("/api/v2/alerts", body=list(alerts))


def promtool(*arguments: str, folder: Path, within_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs promtool in `folder` and returns what came of it."""
    return _tool(PROMTOOL, arguments, folder, within_s)


def amtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs amtool in `folder` and returns what came of it."""
    return _tool(AMTOOL, arguments, folder)


def _tool(
    name: str, arguments: Sequence[str], folder: Path, within_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(name), *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=within_s,
    )
