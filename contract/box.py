"""The box file: what a filter unit tells its BU, and through the collector the whole world.

Version 5 of hltd's fields under hltd's names (source: the hltd contract, section Box file), then ours. A BU ignores
the fields that it doesn't know, and a reader of ours takes a box of unmodified hltd, in which ours are absent.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from contract.beneath import read_file
from contract.errors import Unreadable
from contract.modes import MODE_OF_CLOUD_STATE, Mode, Vms
from contract.times import unix
from contract.undecodable import UNDECODABLE

VERSION: Final = 5
LARGEST_BYTES: Final = 1 << 20

# A BU passes over a box that is older (hltd-contract: Box file).
OLD_AFTER_S: Final = 10.0


class RunStats(msgspec.Struct, frozen=True, kw_only=True):
    """How one run stands on this node; resources are core tokens."""

    run: int
    totalRes: int
    qRes: int
    ongoing: bool
    errors: int
    errorsRes: int


class Box(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A filter unit's box file. Token counts, MiB for data folders, MB/s for rates, fractions from 0 to 1."""

    fm_date: str
    idles: int
    used: int
    broken: int
    used_activeRun: int
    broken_activeRun: int
    cloud: int
    quarantined: int
    usedDataDir: int
    totalDataDir: int
    fuDataAlarm: bool
    activeRuns: list[int]
    activeRunNumQueuedLS: int
    activeRunCMSSWMaxLS: int
    activeRunStats: list[RunStats]
    cloudState: str
    detectedStaleHandle: bool
    version: int
    ip: str = ""
    activeRunMaxLSOut: int = -1
    outputBandwidthMB: float = 0.0
    activeRunOutputMB: float = 0.0
    activeRunLSBWMB: float = 0.0
    sysCPUFrac: float = 0.0
    cpu_MHz_avg_real: int | float = 0
    dataNetIn: int | float = 0
    cpuName: str = ""
    cpu_phys_cores: int = 0
    cpu_hyperthreads: int = 0
    mem_frac: float = 0.0
    isGlobalRun: bool = False
    daqSystem: str = "N/A"
    daqInstance: str = "N/A"
    fuGroup: str = "N/A"

    mode: Mode | None = None
    mode_since: str | None = None
    switch_id: str | None = None
    vms: Vms | None = None
    blocker: str | None = None
    stuck: bool | None = None


class BuBox(msgspec.Struct, frozen=True, kw_only=True):
    """A BU's own box file, which lies in the same folder."""

    fm_date: str
    usedRamdisk: int
    totalRamdisk: int
    usedOutput: int
    totalOutput: int
    activeRuns: list[int]
    version: int
    boot_id: str = ""
    cpuName: str = ""
    isGlobalRun: bool = False
    daqSystem: str = "N/A"
    daqInstance: str = "N/A"
    fuGroup: str = "N/A"


def box_mode(box: Box | None) -> Mode | None:
    """Returns the mode that a box file tells: ours says it, of unmodified hltd's it follows from `cloudState`."""
    if box is None:
        return None
    return box.mode or MODE_OF_CLOUD_STATE.get(box.cloudState)


def written_s(box: Box | BuBox | None) -> float | None:
    """Returns when `box` was written (Unix seconds), as it says itself; None when it does not."""
    try:
        return unix(box.fm_date) if box else None
    except ValueError:
        return None


def parse_box(content: bytes, where: str) -> Box | BuBox:
    """Returns the box that `content` holds. Raises Unreadable, naming `where`."""
    try:
        fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        version = msgspec.json.decode(fields.get("version", msgspec.Raw(b"null")))
        if version != VERSION:
            raise Unreadable(f"{where}: box file of version {version!r}; this program reads version {VERSION}")
        if "usedRamdisk" in fields:
            return msgspec.json.decode(content, type=BuBox)
        return msgspec.json.decode(content, type=Box)
    except UNDECODABLE as error:
        raise Unreadable(f"{where}: not a box file ({error})") from error


def read_box(path: Path, *, attempts: int = 4, pause_s: float = 0.02) -> Box | BuBox:
    """Returns the box file at `path`, reading again when it catches a writer half-way.

    Raises Unreadable when there is none, or when it stays damaged for `attempts` reads.
    """
    for left in reversed(range(attempts)):
        try:
            content = read_file(path, LARGEST_BYTES)
        except OSError as error:
            raise Unreadable(f"{path}: no box file to read ({error.strerror})") from error
        try:
            return parse_box(content, str(path))
        except Unreadable:
            if left == 0:
                raise
            time.sleep(pause_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


def write_box(path: Path, box: Box | BuBox) -> None:
    """Writes `box` in place: the BU sees a close after a write, and never sees a rename. Raises OSError."""
    content = msgspec.json.format(msgspec.json.encode(box), indent=1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)
