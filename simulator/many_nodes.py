"""Many filter units as their BUs see them: box files that tell of runs, switches and faults, far faster than real ones.

What a node does is drawn from a seed. Half of the appliances run hltmode, so that their boxes carry its fields; the
others run unmodified hltd.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from contract.box import Box, RunStats, write_box
from contract.modes import MODES, Mode, Vms
from contract.times import hltd_date, iso

CORES: Final = 32
RUN: Final = 398_123
LUMISECTION_S: Final = 2.0
BLOCKERS: Final = ("4 jobs of run 398123 (LS 57)", "merge script of run 398123", "virtual machines to start")
NEXT: Final = {
    Mode.HLT: Mode.ACTIVATING_CLOUD,
    Mode.ACTIVATING_CLOUD: Mode.CLOUD,
    Mode.CLOUD: Mode.DEACTIVATING_CLOUD,
    Mode.DEACTIVATING_CLOUD: Mode.HLT,
}
# How long a node stays, in seconds from and to.
STAYS: Final = {
    Mode.HLT: (8.0, 40.0),
    Mode.ACTIVATING_CLOUD: (2.0, 6.0),
    Mode.CLOUD: (10.0, 40.0),
    Mode.DEACTIVATING_CLOUD: (1.0, 4.0),
}


class Fault(StrEnum):
    """What is wrong with a node."""

    NONE = "none"
    HANGS = "hangs on its way to the cloud"
    HANGS_COMING_BACK = "hangs on its way back"
    NO_VMS = "starts no virtual machines in the cloud, and stays there"
    SILENT = "stops to write its box file"
    FLAPS = "goes there and back all the time"
    CLOCK_AHEAD = "has a clock that is a minute ahead"


# Of a thousand nodes, how many have each.
SHARES: Final = {
    Fault.NONE: 900,
    Fault.HANGS: 25,
    Fault.HANGS_COMING_BACK: 15,
    Fault.NO_VMS: 20,
    Fault.SILENT: 15,
    Fault.FLAPS: 15,
    Fault.CLOCK_AHEAD: 10,
}


class SimulatedNode(msgspec.Struct):
    """One node's state; times are Unix seconds."""

    host: str
    appliance: str
    ours: bool
    fault: Fault
    mode: Mode
    since_s: float
    until_s: float
    switch: int = 0


class ManyNodes:
    """`appliances` of `nodes` each, whose box files lie in `boxes` of each appliance below `root`."""

    def __init__(self, root: Path, appliances: int, nodes: int, now_s: float, seed: int = 1) -> None:
        self._dice = random.Random(seed)
        self._root = root
        self._began_s = now_s
        self.nodes = list(self._born(appliances, nodes, now_s))
        for appliance in {node.appliance for node in self.nodes}:
            self.ramdisk(appliance).joinpath("appliance", "boxes").mkdir(parents=True, exist_ok=True)

    def ramdisk(self, appliance: str) -> Path:
        """Returns the folder that the appliance's BU shows as its ramdisk."""
        return self._root / appliance

    def step(self, now_s: float) -> None:
        """Lets every node do what is due by `now_s` and write its box file."""
        for node in self.nodes:
            if node.fault is Fault.SILENT and now_s > self._began_s + 10.0:
                continue
            box = self.box(node, now_s)
            write_box(self.ramdisk(node.appliance) / "appliance" / "boxes" / node.host, box)

    def box(self, node: SimulatedNode, now_s: float) -> Box:
        """Lets one node do what is due by `now_s`, and returns the box that it would write."""
        while node.until_s <= now_s:
            self._go_on(node)
        return self._box(node, now_s)

    def _born(self, appliances: int, nodes: int, now_s: float) -> Iterator[SimulatedNode]:
        for rack in range(1, appliances + 1):
            for place in range(1, nodes + 1):
                yield SimulatedNode(
                    host=f"fu-c2f{rack:02d}-{(place - 1) // 8 + 1:02d}-{(place - 1) % 8 + 1:02d}",
                    appliance=f"bu-c2f{rack:02d}",
                    ours=rack % 2 == 1,
                    fault=self._dice.choices(list(SHARES), list(SHARES.values()))[0],
                    mode=Mode.HLT,
                    since_s=now_s,
                    until_s=now_s + self._dice.uniform(3.0, 30.0),
                )

    def _go_on(self, node: SimulatedNode) -> None:
        node.mode = NEXT[node.mode]
        node.since_s = node.until_s
        low_s, high_s = (0.5, 1.0) if node.fault is Fault.FLAPS else STAYS[node.mode]
        node.until_s += self._dice.uniform(low_s, high_s)
        if node.mode is Mode.ACTIVATING_CLOUD:
            node.switch += 1
        hangs = {
            Fault.HANGS: Mode.ACTIVATING_CLOUD,
            Fault.HANGS_COMING_BACK: Mode.DEACTIVATING_CLOUD,
            Fault.NO_VMS: Mode.CLOUD,
        }
        if hangs.get(node.fault) is node.mode:
            node.until_s = float("inf")

    def _box(self, node: SimulatedNode, now_s: float) -> Box:
        mode = node.mode
        away = mode is Mode.CLOUD
        lumisection = int((now_s - self._began_s) / LUMISECTION_S) + 50
        runs = [] if away else [RUN]
        written_s = now_s + (60.0 if node.fault is Fault.CLOCK_AHEAD else 0.0)
        box = Box(
            fm_date=hltd_date(written_s), version=5, cloudState=MODES[mode].cloud_state,
            idles=0 if away else 4, used=0 if away else CORES - 4, broken=0, used_activeRun=0 if away else CORES - 4,
            broken_activeRun=0, cloud=CORES if away else 0, quarantined=0, usedDataDir=41_000, totalDataDir=880_000,
            fuDataAlarm=False, activeRuns=runs, activeRunNumQueuedLS=0 if runs else -1,
            activeRunCMSSWMaxLS=lumisection if runs else -1, activeRunMaxLSOut=lumisection - 3 if runs else -1,
            activeRunStats=[_stats(run) for run in runs],
            detectedStaleHandle=False, sysCPUFrac=self._dice.uniform(0.7, 0.95), mem_frac=0.4,
        )  # fmt: skip
        return msgspec.structs.replace(box, **self._ours(node, now_s)) if node.ours else box

    def _ours(self, node: SimulatedNode, now_s: float) -> dict[str, object]:
        switching = node.mode in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD)
        failed = node.fault is Fault.NO_VMS
        vms = {
            Mode.CLOUD: Vms.FAILED if failed else Vms.UP,
            Mode.ACTIVATING_CLOUD: Vms.STARTING,
            Mode.DEACTIVATING_CLOUD: Vms.STOPPING,
        }.get(node.mode, Vms.DOWN)
        return {
            "mode": node.mode,
            "mode_since": iso(node.since_s),
            "vms": vms,
            "switch_id": f"{node.host}-{node.switch}" if switching else None,
            "blocker": BLOCKERS[node.switch % len(BLOCKERS)] if switching else None,
            "stuck": switching and now_s - node.since_s > 8.0,
        }


def _stats(run: int) -> RunStats:
    return RunStats(run=run, totalRes=CORES, qRes=0, ongoing=True, errors=0, errorsRes=0)
