"""The virtual machines of one simulated node: real processes, written down in a state folder. Standard library only."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from simulator import living

# Long enough for any demonstration; an end all the same for one that is left behind.
LIFE_S: Final = 21_600
TERM_PATIENCE_S: Final = 5.0
POLL_S: Final = 0.01


class Vms:
    """The VMs whose pids and start times are in `folder`/vms.json. Calls of several tools wait for each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list = folder / "vms.json"

    def running(self) -> dict[int, int]:
        """Returns the start times of those that live, by pid."""
        try:
            listed = json.loads(self._list.read_text())
        except FileNotFoundError:
            return {}
        return {vm["pid"]: vm["started"] for vm in listed if living.alive(vm["pid"], vm["started"])}

    def start(self, wanted: int) -> int:
        """Starts as many as are missing and returns how many that were. Raises OSError."""
        with self._locked():
            running = self.running()
            missing = max(0, wanted - len(running))
            for _ in range(missing):
                pid = _spawn()
                running[pid] = living.started(pid) or 0
                self._keep(running)
        return missing

    def stop(self) -> int:
        """Ends all, returns how many there were once the last is gone."""
        with self._locked():
            running = self.running()
            _signal(running, signal.SIGTERM)
            deadline_s = time.monotonic() + TERM_PATIENCE_S
            while left := {pid: started for pid, started in running.items() if living.alive(pid, started)}:
                if time.monotonic() > deadline_s:
                    _signal(left, signal.SIGKILL)
                time.sleep(POLL_S)
            self._keep({})
        return len(running)

    def _keep(self, running: dict[int, int]) -> None:
        temporary = self._list.with_suffix(".tmp")
        temporary.write_text(json.dumps([{"pid": pid, "started": started} for pid, started in running.items()]))
        temporary.rename(self._list)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _spawn() -> int:
    """Starts one VM, in a session of its own and with no part in its starter's output; returns its pid."""
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    return os.posix_spawnp("sleep", ["sleep", str(LIFE_S)], os.environ, file_actions=quiet, setsid=True)


def _signal(running: dict[int, int], number: signal.Signals) -> None:
    for pid, started in running.items():
        if living.alive(pid, started):
            os.kill(pid, number)
