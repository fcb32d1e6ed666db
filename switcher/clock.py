"""The clocks of this machine."""

from __future__ import annotations

import time
from pathlib import Path

from switcher.timeline import Now


def now() -> Now:
    """Returns the moment: wall clock for dates, boot clock for durations."""
    return Now(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def boot_id() -> str:
    """Returns the kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
