"""Whether a process that was written down earlier still lives. Standard library only; the scripts use it.

A pid alone may be used again by another process; with its start time it means one process for ever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

STATE: Final = 0
START_TIME: Final = 19


def started(pid: int) -> int | None:
    """Returns when `pid` started, in clock ticks since boot; None when it is gone or only waits to be reaped."""
    try:
        content = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may hold anything, so the fields are counted behind the last one.
    fields = content.rpartition(")")[2].split()
    return None if fields[STATE] in "ZX" else int(fields[START_TIME])


def alive(pid: int, start_time: int) -> bool:
    """Returns whether the process `pid` that started at `start_time` still lives."""
    return started(pid) == start_time
