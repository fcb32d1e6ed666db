"""Collectors as real processes beside unmodified hltd, each with a folder of its own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.processes import Program, module
from benchmarks.stepped_clock import SteppedClock
from collector.log.ledger import Account
from collector.log.upkeep import standing
from contract.config import Role
from contract.sink import Sink
from simulator.node_files import lay_out
from tests.integration.node import wait_for
from tests.ports import free_port

AT_REST_S: Final = 20.0
READY_WITHIN_S: Final = 120.0


class Life(NamedTuple):
    """From start to end of one process, real Unix seconds."""

    began_s: float
    ended_s: float


class Agent:
    """A collector of `host` below `root`, where the BU's ramdisk is too.

    `start` may follow `kill`; `lives` are those that have ended.
    """

    def __init__(
        self,
        root: Path,
        host: str,
        sinks: Sequence[Sink],
        *,
        interval_s: float = 5.0,
        role: Role = Role.NODE,
        clock: SteppedClock | None = None,
        cores: int = 8,
    ) -> None:
        self.host = host
        self.port = free_port()
        self.lives: list[Life] = []
        self._interval_s = interval_s
        self._clock = clock
        overlay = {"collector": {"interval_s": interval_s, "role": role.value}}
        self._files = lay_out(root, host, metrics_port=self.port, cores=cores, overlay=overlay)
        with self._files.config.open("a") as file:
            file.writelines(_table(sink) for sink in sinks)
        self.paths = self._files.paths
        self.log = self.paths.log
        self.boxes = self.paths.bu.boxes
        self._output = root / f"{host}.output"
        self._program: Program | None = None
        self._began_s = 0.0

    @property
    def pid(self) -> int:
        """The process."""
        assert self._program is not None
        return self._program.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._program is not None and self._program.running

    @property
    def output(self) -> str:
        """What it said in all its lives."""
        return self._output.read_text(errors="replace")

    def start(self) -> None:
        """Starts it and does not wait."""
        clock = ("benchmarks.stepped_clock", *self._clock) if self._clock else ("hltmode",)
        command = module(*map(str, clock), "collector", "run", "--config", self._files.config)
        self._began_s = time.time()
        self._program = Program(command, self._output)

    def wait_ready(self) -> None:
        """Waits until the first of its lives samples."""
        wait_for(f"{self.host} is ready", lambda: "ready: " in self.output, READY_WITHIN_S)

    def kill(self) -> None:
        """Kills it with -9."""
        self._end(violently=True)

    def end(self) -> None:
        """Ends it in good order, if it lives."""
        self._end(violently=False)

    def rest(self) -> None:
        """Has it sample seldom from now on."""
        text = self._files.config.read_text()
        seldom = text.replace(f"interval_s = {self._interval_s}", f"interval_s = {AT_REST_S}")
        assert seldom != text
        self._files.config.write_text(seldom)
        assert self._program is not None
        self._program.hangup()

    def finish(self, patience_s: float) -> None:
        """Has it deliver all that it has, and ends it."""
        self.rest()
        wait_for(f"{self.host} has delivered", lambda: not any(a.backlog for a in self.accounts().values()), patience_s)
        self.end()

    def accounts(self) -> dict[str, Account]:
        """Returns how each sink stands, as its log says."""
        found = standing(self.log).sinks
        assert all(each.adds_up for each in found.values()), found
        return {name: each.account for name, each in found.items()}

    def scrape(self) -> str:
        """Returns its metrics. Raises OSError."""
        return scrape(self.port)

    def _end(self, *, violently: bool) -> None:
        if self._program is None:
            return
        if violently:
            self._program.kill()
        else:
            self._program.end()
        self.lives.append(Life(self._began_s, time.time()))
        self._program = None


def scrape(port: int) -> str:
    """Returns the metrics at a loopback port. Raises OSError."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def _table(sink: Sink) -> str:
    lines = [f"{name} = {json.dumps(getattr(sink, name))}" for name in sink.__struct_fields__]
    return "\n[[sink]]\n" + "\n".join(lines) + "\n"
