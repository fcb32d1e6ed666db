"""What a process holds at rest, journey after journey, and whether that grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from benchmarks.processes import resident_mib

LOOKS: Final = 3
LOOK_EVERY_S: Final = 0.01


class Footprint(NamedTuple):
    """What a process holds: resident memory, open files, threads, and children that it has not waited for."""

    memory_mib: float
    files: int
    threads: int
    children: int


class Growth(NamedTuple):
    """A straight line through a series by least squares: per 1000 steps, and over the whole series."""

    per_thousand: float
    over_all: float


def footprint(pid: int) -> Footprint:
    """Returns what `pid` holds: the least of a few looks, for a connection may just be closing."""
    looks = [_look(pid)]
    for _ in range(LOOKS - 1):
        time.sleep(LOOK_EVERY_S)
        looks.append(_look(pid))
    memory, *counts = (min(column) for column in zip(*looks, strict=True))
    files, threads, children = (int(count) for count in counts)
    return Footprint(memory, files, threads, children)


def growth(series: Sequence[float]) -> Growth:
    """Returns how `series` grows; one of fewer than two values doesn't."""
    n = len(series)
    if n < 2:
        return Growth(0.0, 0.0)
    middle, mean = (n - 1) / 2, sum(series) / n
    slope = sum((x - middle) * (y - mean) for x, y in enumerate(series)) / sum((x - middle) ** 2 for x in range(n))
    return Growth(slope * 1000, slope * (n - 1))


def _look(pid: int) -> Footprint:
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    process = psutil.Process(pid)
    return Footprint(resident_mib(pid), files, process.num_threads(), len(process.children()))
