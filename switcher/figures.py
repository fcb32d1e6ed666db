"""The machine's own figures for the box file, from psutil and the file systems."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

MIB: Final = 1 << 20
MB: Final = 1_000_000


class Figures(NamedTuple):
    """One reading: MiB for the data folder, fractions from 0 to 1, MHz, MB/s."""

    used_data_mib: int = 0
    total_data_mib: int = 0
    cpu_frac: float = 0.0
    mem_frac: float = 0.0
    mhz: int = 0
    net_in_mb_s: int = 0


class Meter:
    """Reads the figures; rates are means since the reading before."""

    def __init__(self, data: Path) -> None:
        self.cpu_name = _cpu_name()
        self.hyperthreads = os.cpu_count() or 1
        self.phys_cores = psutil.cpu_count(logical=False) or self.hyperthreads
        self._data = data
        self._received = _received_bytes()
        self._read_s = 0.0
        self._last = Figures()
        psutil.cpu_percent()

    def read(self, now_s: float) -> Figures:
        """Returns the figures at `now_s` (any steady clock); where they can't be read, those from before."""
        with suppress(OSError):  # as when no more files may be opened; a box file without news is better than none
            self._last = self._read(now_s)
        return self._last

    def _read(self, now_s: float) -> Figures:
        received = _received_bytes()
        span_s = now_s - self._read_s if self._read_s else 0.0
        rate = max(0, received - self._received) / span_s / MB if span_s > 0 else 0.0
        self._received, self._read_s = received, now_s
        try:
            disk = shutil.disk_usage(self._data)
            used, total = disk.used // MIB, disk.total // MIB
        except OSError:
            used = total = 0
        return Figures(
            used_data_mib=used,
            total_data_mib=total,
            cpu_frac=psutil.cpu_percent() / 100,
            mem_frac=psutil.virtual_memory().percent / 100,
            mhz=_mhz(),
            net_in_mb_s=round(rate),
        )


def _received_bytes() -> int:
    counters = psutil.net_io_counters(pernic=True)
    return sum(counter.bytes_recv for name, counter in counters.items() if name != "lo")


def _mhz() -> int:
    speeds = [speed.current for speed in psutil.cpu_freq(percpu=True)]
    return round(sum(speeds) / len(speeds)) if speeds else 0


def _cpu_name() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, "")
