"""The BU's sum over the box files of its filter units (source: hltd-contract, Box file; samples). Pure.

Fields and their order are hltd's. Counts are core tokens, rates MB/s, fractions from 0 to 1, -1 is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from contract.box import VERSION, Box, BuBox
from contract.times import unix

SILENT_S: Final = 10.0
STALE_S: Final = 5.0
OFF: Final = "off"
UNKNOWN: Final = -1
# How often hltd starts a job of its that crashes; an FU's error count is divided by all the starts.
STARTS_PER_JOB: Final = 4


class Reported(NamedTuple):
    """A box file as the BU has it: its content and when it was last written (Unix seconds)."""

    box: Box
    written_s: float


class ResourceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `resource_summary`."""

    active_resources: int
    active_resources_activeRun: int
    active_resources_oldRuns: int
    idle: int
    used: int
    broken: int
    quarantined: int
    stale_resources: int
    cloud: int
    pending_resources: int
    activeFURun: int
    activeRunNumQueuedLS: int
    activeRunCMSSWMaxLS: int
    activeRunLSWithOutput: int
    outputBandwidthMB: float
    activeRunOutputMB: float
    activeRunLSBWMB: float
    activeRunHLTErr: float
    ramdisk_occupancy: float
    fuDiskspaceAlarm: bool
    bu_stop_requests_flag: bool
    fuSysCPUFrac: list[float]
    fuSysCPUMHz: list[int | float]
    fuDataNetIn: int | float
    resPerFU: int
    fuCPUName: str
    buCPUName: str
    activePhysCores: int
    activeHTCores: int
    fuMemFrac: float
    isGlobalRun: bool
    daqSystem: str
    daqInstance: str
    fuGroup: str


def is_counted(reported: Reported, now_s: float) -> bool:
    """Returns whether the BU takes note of a box at all: version 5, written within the last 10 s."""
    return reported.box.version == VERSION and now_s - reported.written_s <= SILENT_S


def is_stale(reported: Reported) -> bool:
    """Returns whether an FU can't be relied on: its clock and its BU's file times differ, or it reports it itself."""
    try:
        off_s = abs(reported.written_s - unix(reported.box.fm_date))
    except ValueError:
        return True
    return off_s > STALE_S or reported.box.detectedStaleHandle


def asked(boxes: Mapping[str, Reported], now_s: float) -> list[str]:
    """Returns the hosts that get data: those that are counted, not stale, and `off`."""
    return sorted(
        host
        for host, reported in boxes.items()
        if is_counted(reported, now_s) and not is_stale(reported) and reported.box.cloudState == OFF
    )


def summarise(
    boxes: Mapping[str, Reported], *, bu: BuBox, active_run: int, ramdisk_occupancy: float, now_s: float
) -> ResourceSummary:
    """Returns the sum over `boxes` (by host); `active_run` is the BU's newest open run, 0 with none."""
    counted = [reported for _, reported in sorted(boxes.items()) if is_counted(reported, now_s)]
    every = [reported.box for reported in counted]
    fresh = [reported.box for reported in counted if not is_stale(reported)]
    off = [box for box in fresh if box.cloudState == OFF]
    idle, used, broken = (sum(getattr(box, name) for box in fresh) for name in ("idles", "used", "broken"))
    active = sum(_at_hand(box) for box in off)
    of_active_run = sum(box.used_activeRun + box.broken_activeRun for box in fresh if active_run in box.activeRuns)
    fu_run = max((box.activeRuns[-1] for box in every if box.activeRuns), default=UNKNOWN)
    in_run = [box for box in every if box.activeRuns and box.activeRuns[-1] == fu_run]
    return ResourceSummary(
        active_resources=active,
        active_resources_activeRun=of_active_run,
        active_resources_oldRuns=active - idle - of_active_run,
        idle=idle,
        used=used,
        broken=broken,
        quarantined=sum(box.quarantined for box in fresh),
        stale_resources=sum(_at_hand(reported.box) for reported in counted if is_stale(reported)),
        cloud=sum(box.cloud for box in every),
        pending_resources=0,
        activeFURun=fu_run,
        activeRunNumQueuedLS=max((box.activeRunNumQueuedLS for box in in_run), default=UNKNOWN),
        activeRunCMSSWMaxLS=max((box.activeRunCMSSWMaxLS for box in in_run), default=UNKNOWN),
        activeRunLSWithOutput=_farthest_behind(box.activeRunMaxLSOut for box in every),
        outputBandwidthMB=sum((box.outputBandwidthMB for box in every), 0.0),
        activeRunOutputMB=sum((box.activeRunOutputMB for box in every), 0.0),
        activeRunLSBWMB=sum((box.activeRunLSBWMB for box in every), 0.0),
        activeRunHLTErr=_errors(every, fu_run) / STARTS_PER_JOB,
        ramdisk_occupancy=ramdisk_occupancy,
        fuDiskspaceAlarm=any(box.fuDataAlarm for box in every),
        bu_stop_requests_flag=bool(fresh) and not off,
        fuSysCPUFrac=[box.sysCPUFrac for box in off],
        fuSysCPUMHz=[box.cpu_MHz_avg_real for box in off],
        fuDataNetIn=sum(box.dataNetIn for box in off),
        resPerFU=sum(_at_hand(box) + box.quarantined + box.cloud for box in fresh) // len(fresh) if fresh else 0,
        fuCPUName=_common_name(box.cpuName for box in every),
        buCPUName=bu.cpuName,
        activePhysCores=sum(box.cpu_phys_cores for box in off),
        activeHTCores=sum(box.cpu_hyperthreads for box in off),
        fuMemFrac=sum(box.mem_frac for box in off) / len(off) if off else 0.0,
        isGlobalRun=bu.isGlobalRun,
        daqSystem=bu.daqSystem,
        daqInstance=bu.daqInstance,
        fuGroup=bu.fuGroup,
    )


def _at_hand(box: Box) -> int:
    return box.idles + box.used + box.broken


def _farthest_behind(lumisections: Iterable[int]) -> int:
    return min((lumisection for lumisection in lumisections if lumisection != UNKNOWN), default=UNKNOWN)


def _errors(boxes: Iterable[Box], run: int) -> int:
    return sum(stats.errorsRes for box in boxes for stats in box.activeRunStats if stats.run == run)


def _common_name(names: Iterable[str]) -> str:
    """Returns the one name that all share, "N/A" with none, "Unknown" with several."""
    found = {name for name in names if name}
    if len(found) > 1:
        return "Unknown"
    return found.pop() if found else "N/A"
