"""Starts real switchers quickly: a process that has imported everything forks one for each start.

What is forked runs `hltmode switcher run` as the command line does; only Python's start and the imports, which are most
of a start's cost, are paid once. Tests that start hundreds of daemons live from it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import switcher.command  # noqa: F401 - `hltmode` imports it when it is called, here once for all that are forked
from hltmode.main import main as hltmode
from simulator.daemons import READY_WITHIN_S
from tests.integration import killed_switcher, power_cut

REPOSITORY: Final = Path(__file__).parents[2]


class Forked:
    """One switcher from the nursery."""

    def __init__(self, pid: int, log: Path, begins: int) -> None:
        self.pid = pid
        self.log = log
        self._begins = begins
        try:
            self._end: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._end = None

    @property
    def said(self) -> str:
        """What this process has put out so far."""
        with self.log.open("rb") as file:
            file.seek(self._begins)
            return file.read().decode(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self._end is not None and select.select([self._end], [], [], 0)[0]:
            os.close(self._end)
            self._end = None
        return self._end is not None

    def wait_ready(self) -> bool:
        """Waits until it serves; returns False when it has died before."""
        end_s = time.monotonic() + READY_WITHIN_S
        while "ready: " not in self.said:
            if not self.alive:
                return False
            assert time.monotonic() < end_s, self.said
            time.sleep(0.005)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal and, if that is to be its end, waits for it."""
        if self._end is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._end, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            ended = select.select([self._end], [], [], 20)[0]
            assert ended, f"pid {self.pid} does not end on {number.name}"


class Nursery:
    """The forking process; as a context it is ended, and so is what it has forked."""

    def __init__(self, inside: Sequence[str] = ()) -> None:
        """`inside` is a command that runs another one, in a namespace of its own for instance."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-m", "tests.integration.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, config: Path, log: Path, **wrapping: Any) -> Forked:
        """Forks one switcher. `wrapping` is for `_wrap`."""
        log.touch()
        begins = log.stat().st_size
        asked = {"config": str(config), "log": str(log), "wrapping": wrapping}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(asked, default=str) + "\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
        return Forked(pid, log, begins)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _become(asked: dict[str, Any]) -> None:
    """Turns the process into a switcher for good."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    wrapping = asked["wrapping"]
    if "passed" in wrapping:
        killed_switcher.wrap(killed_switcher.Points(wrapping.get("deadly", ""), Path(wrapping["passed"])))
    if "recorded" in wrapping:
        power_cut.record(Path(wrapping["recorded"]["folder"]), Path(wrapping["recorded"]["log"]))
    for name, value in wrapping.get("constants", {}).items():
        module, _, constant = name.partition(":")
        setattr(importlib.import_module(module), constant, value)
    sys.argv = ["hltmode", "switcher", "run", "--config", asked["config"]]
    hltmode()


def _serve() -> None:
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here asks how they ended
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _become(json.loads(line))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
