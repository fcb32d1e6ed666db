"""A command that is run to its end, and what it has cost: the kernel's own account, its children's with it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Wall clock and CPU in seconds, the largest memory of one process in MiB, and the exit code."""

    took_s: float
    cpu_s: float
    memory_mib: float
    code: int

    @property
    def cores(self) -> float:
        """How much of a core it kept busy."""
        return self.cpu_s / self.took_s


def cost_of(command: Sequence[str], log: Path) -> Cost:
    """Runs `command`, whose output goes to `log`, and returns what it has cost."""
    began_s = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took_s = time.monotonic() - began_s
    return Cost(took_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)
