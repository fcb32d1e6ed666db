"""What a process costs, and programs that are started to be measured: read from the kernel, ended by pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.servers.server import IndexServer, living

CLOCK_OF_PROCESS: Final = 2  # the kernel's number for all that a process has run, ended threads too
ENDED_WITHIN_S: Final = 20.0


def cpu_s(pid: int) -> float:
    """Returns the CPU time of `pid` so far, of all its threads, living and ended."""
    return time.clock_gettime(~pid << 3 | CLOCK_OF_PROCESS)


def resident_mib(pid: int) -> float:
    """Returns the memory that `pid` has in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def server_cpu_s(server: IndexServer) -> float:
    """Returns the CPU time of a server so far, its children's too."""
    return sum(cpu_s(process.pid) for process in living(server.pid))


def server_mib(server: IndexServer) -> float:
    """Returns the memory of a server in RAM, its children's too."""
    return sum(resident_mib(process.pid) for process in living(server.pid))


class Program:
    """A program that ends with this one; its output goes to `log`. As a context it is ended.

    Start it from a thread that lives as long as it does.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        setpriv = shutil.which("setpriv")
        assert setpriv, "setpriv is not to be found: install the package util-linux"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [setpriv, "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Kills it at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def hangup(self) -> None:
        """Has it read its configuration again."""
        os.kill(self.pid, signal.SIGHUP)

    def end(self) -> None:
        """Sends SIGTERM; a process that stays is killed."""
        if self.running:
            self.process.terminate()
        try:
            self.process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_end(self, timeout_s: float) -> None:
        """Waits until it has ended in good order; says its last lines when it has not."""
        code = self.process.wait(timeout_s)
        assert code == 0, f"exit {code}: {self.last_lines()}"

    def last_lines(self) -> str:
        """Returns the end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def module(name: str, *arguments: object) -> list[str]:
    """Returns the command that runs a module of this project."""
    return [sys.executable, "-m", name, *map(str, arguments)]
