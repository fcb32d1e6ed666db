"""One appliance as real processes below one folder: a BU and its filter units, each with switcher and collector."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import msgspec

from contract.errors import Surroundings, TimedOut
from contract.journal import AnyRecord, read_journal
from contract.paths import BuPaths
from simulator.daemons import Daemon, kill_left_behind
from simulator.node_files import NodeFiles, lay_out
from switcher.view import Status

PORT: Final = 9000
METRICS_PORT: Final = 9109
ANSWER_WITHIN_S: Final = 2.0
SEEN_WITHIN_S: Final = 20.0
LOOK_EVERY_S: Final = 0.05


class FilterUnit(NamedTuple):
    """One filter unit of the farm and the address at which it listens."""

    files: NodeFiles
    address: str

    @property
    def host(self) -> str:
        """Its name."""
        return self.files.host

    def cgi(self, name: str, query: str = "") -> None:
        """GETs a CGI URL, as an old caller does. Raises Surroundings when it is not answered well."""
        self._get(f"/cgi-bin/{name}_cgi.py{query}")

    def status(self) -> Status | None:
        """Returns how the node stands, None when it does not answer."""
        try:
            return msgspec.json.decode(self._get("/status"), type=Status)
        except Surroundings:
            return None

    def records(self) -> list[AnyRecord]:
        """Returns the node's journal."""
        return list(read_journal(self.files.paths.journal))

    def _get(self, path: str) -> bytes:
        url = f"http://{self.address}:{PORT}{path}"
        try:
            with urllib.request.urlopen(url, timeout=ANSWER_WITHIN_S) as answer:
                body: bytes = answer.read()
                return body
        except (urllib.error.URLError, OSError) as error:
            raise Surroundings(f"{url}: {error}") from error


class Farm:
    """A BU and `size` filter units below `root`. As a context it starts them, and ends all of them by pid."""

    def __init__(self, root: Path, size: int, *, cores: int, lumisection_s: float) -> None:
        self.root = root
        self.bu = BuPaths(root / "ramdisk")
        self.units = tuple(
            FilterUnit(lay_out(root, f"fu-sim-{number:02d}", address=address, cores=cores), address)
            for number, address in enumerate(free_addresses(size), 1)
        )
        self._lumisection_s = lumisection_s
        self._daemons: list[Daemon] = []
        self._bu: Daemon | None = None

    def __enter__(self) -> Farm:
        """Starts every process and waits until all are ready. Raises Surroundings or TimedOut."""
        try:
            for unit in self.units:
                for kind in ("switcher", "collector"):
                    arguments = [kind, "run", "--config", str(unit.files.config)]
                    log = self.root / unit.host / f"{kind}.log"
                    self._daemons.append(Daemon(f"{kind} of {unit.host}", arguments, log))
            self._bu = Daemon("BU", self._bu_arguments(), self.root / "bu.log")
            for daemon in [*self._daemons, self._bu]:
                daemon.wait_ready()
            self._wait_seen()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in [*self._daemons, *([self._bu] if self._bu else [])]:
            daemon.end()
        for unit in self.units:
            kill_left_behind(unit.files.paths.state_dir)

    def _wait_seen(self) -> None:
        """Waits until the BU counts every unit: it announces runs to those whose box files it has seen."""
        end_s = time.monotonic() + SEEN_WITHIN_S
        wanted = sum(unit.files.cores for unit in self.units)
        while self.summary().get("active_resources") != wanted:
            if time.monotonic() > end_s:
                raise TimedOut(f"{self.bu.summary}: the BU does not count {wanted} cores; see {self.root}/bu.log")
            time.sleep(LOOK_EVERY_S)

    def _bu_arguments(self) -> list[str]:
        arguments = ["simulate", "bu", "--ramdisk", str(self.bu.ramdisk), "--lumisection-s", str(self._lumisection_s)]
        return [*arguments, "--period-s", "1", "--port", str(PORT)]

    def start_run(self, number: int) -> None:
        """Has the BU begin a run."""
        self._tell_bu(f"start {number}")

    def stop_run(self, number: int) -> None:
        """Has the BU end a run."""
        self._tell_bu(f"stop {number}")

    def _tell_bu(self, line: str) -> None:
        if self._bu is not None:
            self._bu.tell(line)

    def summary(self) -> dict[str, object]:
        """Returns the BU's resource summary, empty before the first."""
        try:
            summary: dict[str, object] = json.loads(self.bu.summary.read_bytes())
        except (OSError, ValueError):
            return {}
        return summary


def free_addresses(count: int) -> Iterator[str]:
    """Yields `count` loopback addresses 127.0.x.1 ... on which both ports of a node are free. Raises Surroundings."""
    for third in range(1, 255):
        addresses = [f"127.0.{third}.{last}" for last in range(1, count + 1)]
        if all(_free(address, port) for address in addresses for port in (PORT, METRICS_PORT)):
            return iter(addresses)
    raise Surroundings(f"127.0.1.1 to 127.0.254.{count}: port {PORT} or {METRICS_PORT} is taken everywhere")


def _free(address: str, port: int) -> bool:
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def remove(root: Path) -> None:
    """Removes everything that a farm below `root` made."""
    shutil.rmtree(root, ignore_errors=True)
