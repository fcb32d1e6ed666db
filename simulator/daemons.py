"""Starts daemons of this project as processes of their own and ends them by pid."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from contract.errors import Surroundings, TimedOut
from switcher import processes

READY_WITHIN_S: Final = 60.0
ENDED_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.01


class Daemon:
    """One process of `hltmode <arguments>`, whose output goes to `log`. As a context it ends the process."""

    def __init__(
        self, name: str, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self._start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "hltmode", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=os.environ | (environment or {}),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    @property
    def said(self) -> str:
        """What this process has put out so far."""
        with self.log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> None:
        """Waits for the line with the word `ready`. Raises Surroundings when the process ends before, or TimedOut."""
        self.wait_said("ready: ", timeout_s)

    def wait_said(self, words: str, timeout_s: float = READY_WITHIN_S) -> None:
        """Waits until the process has put out `words`. Raises Surroundings or TimedOut."""
        end_s = time.monotonic() + timeout_s
        while words not in self.said:
            if self.process.poll() is not None:
                if words in self.said:
                    return
                raise Surroundings(f"{self.name} ended with exit {self.process.returncode}: {self._last_line()}")
            if time.monotonic() > end_s:
                raise TimedOut(f"{self.name} did not say {words!r} within {timeout_s:g} s; see {self.log}")
            time.sleep(LOOK_EVERY_S)

    def tell(self, line: str) -> None:
        """Writes one line to the process."""
        stdin: IO[bytes] | None = self.process.stdin
        if stdin is not None:
            stdin.write(f"{line}\n".encode())
            stdin.flush()

    def end(self) -> int:
        """Sends SIGTERM and returns the exit code; a process that stays is killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode
        finally:
            if self.process.stdin is not None:
                self.process.stdin.close()

    def kill(self) -> None:
        """Kills the process at once, as a crash would."""
        self.process.kill()
        self.process.wait()

    def _last_line(self) -> str:
        lines = self.said.strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def kill_left_behind(state_dir: Path) -> list[int]:
    """Kills jobs, merge scripts and cloud tool calls that a switcher of `state_dir` left; returns their pids."""
    left = [found.pid for found in processes.marked(state_dir)]
    for pid in left:
        processes.kill_group(pid)
    return left


def working(state_dir: Path, role: str) -> Iterator[int]:
    """Yields the pids of the living processes of a node that have `role`: job, merge or igniter."""
    for found in processes.marked(state_dir):
        if found.mark.get(processes.ROLE) == role:
            yield found.pid
