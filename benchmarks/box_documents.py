"""Box documents of a farm from second to second: most nodes in one run, some with the cloud, some on the way.

What wanders in the real farm wanders here (CPU, memory, network every sample, bandwidths with each lumisection), at
full precision as hltd writes it; what stands still there stands still here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Final

import msgspec

from collector.documents import BOX, Captured, Document, Sighting, box_document, document_id
from collector.facts import ModeNow
from contract.box import Box, RunStats
from contract.config import Node
from contract.modes import MODES, Mode, Vms
from contract.times import hltd_date

HOSTS: Final = 1500
NODES_OF_APPLIANCE: Final = 20
INTERVAL_S: Final = 5.0
LUMISECTION_S: Final = 23.3
RUN: Final = 398_123
CORES: Final = 128
FIRST_S: Final = 1_795_000_000.0
SHARES: Final = {Mode.HLT: 80, Mode.ACTIVATING_CLOUD: 2, Mode.CLOUD: 16, Mode.DEACTIVATING_CLOUD: 2}


class Living(msgspec.Struct):
    """One node's state; MB/s, MiB, fractions."""

    node: Node
    mode: Mode
    since_s: float
    cpu: float
    memory: float
    network: float
    output: float
    disk: int
    lumisection: int = 0
    lumisection_output: float = 0.0


def documents(hosts: int = HOSTS, seed: int = 1) -> Iterator[tuple[str, Document]]:
    """Yields ids and documents without end, all nodes of one moment after the other."""
    dice = random.Random(seed)  # noqa: S311 - dice need no secrecy
    farm = [born(dice, number) for number in range(hosts)]
    for sample in count():
        now_s = FIRST_S + sample * INTERVAL_S
        for living in farm:
            wander(dice, living, int((now_s - FIRST_S) / LUMISECTION_S) + 50)
            yield identity(living, sample), document(dice, living, now_s)


def identity(living: Living, sample: int) -> str:
    """Returns the id as the log gives it: numbers count from the log's birth in milliseconds."""
    return document_id(living.node.host, BOX, str(1_790_000_000_000 + sample))


def born(dice: random.Random, number: int) -> Living:
    """Returns a node of the farm."""
    rack, place = divmod(number, 40)
    host = f"fu-c2f{rack + 1:02d}-{place // 8 + 1:02d}-{place % 8 + 1:02d}"
    appliance = f"bu-c2f{number // NODES_OF_APPLIANCE + 1:02d}"
    return Living(
        node=Node(host=host, appliance=appliance, subsystem="cdaq"),
        mode=dice.choices(list(SHARES), list(SHARES.values()))[0],
        since_s=FIRST_S - dice.uniform(0, 40_000),
        cpu=dice.uniform(0.7, 0.95),
        memory=dice.uniform(0.3, 0.6),
        network=dice.uniform(100, 300),
        output=dice.uniform(20, 60),
        disk=dice.randint(20_000, 90_000),
    )


def wander(dice: random.Random, living: Living, lumisection: int) -> None:
    """Lets the node go on to its next sample."""
    living.cpu = min(1.0, max(0.0, living.cpu + dice.gauss(0, 0.01)))
    living.memory = min(1.0, max(0.0, living.memory + dice.gauss(0, 0.002)))
    living.network = max(0.0, living.network + dice.gauss(0, 8))
    living.disk += dice.randint(-30, 32)
    if living.lumisection != lumisection:
        living.lumisection = lumisection
        living.output = max(0.0, living.output + dice.gauss(0, 2))
        living.lumisection_output = max(0.0, living.output + dice.gauss(0, 2))


def document(dice: random.Random, living: Living, now_s: float) -> Document:
    """Returns what the collector makes of the node's box."""
    return captured(dice, living, now_s, now_s + dice.uniform(0, 0.02)).fields


def captured(dice: random.Random, living: Living, now_s: float, sampled_s: float) -> Captured:
    """Returns what the collector makes at `sampled_s` of the node's box as it is at `now_s`."""
    vms = Vms.UP if living.mode is Mode.CLOUD else Vms.DOWN
    on_the_way = living.mode in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD)
    now = ModeNow(
        mode=living.mode, since_s=living.since_s, switch_id=f"r-{living.disk}" if on_the_way else None, vms=vms
    )
    return box_document(Sighting(box=box(dice, living, now_s)), now, living.node, sampled_s)


def box(dice: random.Random, living: Living, now_s: float) -> Box:
    """Returns the node's box file, as old as such a file is."""
    works = living.mode in (Mode.HLT, Mode.ACTIVATING_CLOUD)
    stats = RunStats(run=RUN, totalRes=CORES, qRes=0, ongoing=True, errors=0, errorsRes=0)
    return Box(
        fm_date=hltd_date(now_s - dice.uniform(0.1, INTERVAL_S)),
        idles=0,
        used=CORES if works else 0,
        broken=0,
        used_activeRun=CORES if works else 0,
        broken_activeRun=0,
        cloud=0 if works else CORES,
        quarantined=0,
        usedDataDir=living.disk,
        totalDataDir=258_019,
        fuDataAlarm=False,
        activeRuns=[RUN] if works else [],
        activeRunNumQueuedLS=dice.randint(0, 2) if works else -1,
        activeRunCMSSWMaxLS=living.lumisection if works else -1,
        activeRunMaxLSOut=living.lumisection - 2 if works else -1,
        activeRunStats=[stats] if works else [],
        cloudState=MODES[living.mode].cloud_state,
        detectedStaleHandle=False,
        version=5,
        outputBandwidthMB=living.output if works else 0.0,
        activeRunOutputMB=living.output if works else 0.0,
        activeRunLSBWMB=living.lumisection_output if works else 0.0,
        sysCPUFrac=round(living.cpu, 3),
        cpu_MHz_avg_real=round(dice.gauss(2600, 40)),
        dataNetIn=living.network if works else 0,
        cpuName="AMD EPYC 7763 64-Core Processor",
        cpu_phys_cores=CORES,
        cpu_hyperthreads=2 * CORES,
        mem_frac=living.memory,
        isGlobalRun=True,
        daqSystem="cdaq",
        daqInstance="global",
        fuGroup=f"g{living.node.appliance[-2:]}",
        stuck=False,
    )
