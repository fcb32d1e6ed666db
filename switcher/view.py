"""What the switcher shows: the box file, the status of the JSON API and the blocker, from one snapshot. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from contract.box import VERSION, Box, RunStats
from contract.modes import MODES, Mode, Vms
from contract.paths import TOKEN_STATES
from contract.request import Request
from contract.times import hltd_date, iso
from switcher.figures import MB, Figures
from switcher.run_files import QueueStatus
from switcher.states import Position, State, mode
from switcher.timeline import Now, Timeline, elapsed_s
from switcher.tokens import Tokens

DATA_ALARM: Final = 0.9
LISTED_PIDS: Final = 4


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it stands: pids of its jobs and merge script, cores at work and broken, crashes so far.

    `trouble` says why a file of it can't be written.
    """

    number: int
    told: str
    ended: bool
    jobs: tuple[int, ...] = ()
    merge: int | None = None
    cores: int = 0
    broken: int = 0
    crashes: int = 0
    trouble: str = ""
    last_lumisection: int | None = None
    queue: QueueStatus = QueueStatus()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown, at one moment.

    disk_trouble: why a step can't be written to disk; look_trouble: why the node's folders can't be looked at
    """

    state: State
    timeline: Timeline
    tokens: Tokens = Tokens()
    runs: tuple[RunView, ...] = ()
    calling: str = ""
    disk_trouble: str = ""
    look_trouble: str = ""
    mount_trouble: str = ""
    stale_handle: bool = False


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What doesn't change about the node."""

    host: str
    appliance: str
    ip: str
    cpu_name: str
    phys_cores: int
    hyperthreads: int


class SwitchView(msgspec.Struct, frozen=True, kw_only=True):
    """The journey under way."""

    request: Request
    started: str
    age_s: float
    phase: str
    phases: dict[str, float]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /status`. Times are UTC, ages in seconds."""

    host: str
    appliance: str
    time: str
    mode: Mode
    mode_since: str
    mode_age_s: float
    position: Position
    wanted: str
    vms: Vms
    blocker: str
    stuck: bool
    switch: SwitchView | None
    runs: tuple[RunView, ...]
    waiting_run: int | None
    mount_trouble: str
    tokens: dict[str, int]
    journal_seq: int


def blocker(shot: Snapshot) -> str:
    """Returns what the node waits for right now, by name; empty when it waits for nothing."""
    if shot.disk_trouble:
        return shot.disk_trouble
    return "; ".join(each for each in (_waited_for(shot), shot.look_trouble) if each)


def _waited_for(shot: Snapshot) -> str:
    state = shot.state
    trouble = f" after: {state.trouble}" if state.trouble else ""
    if state.position in (Position.HANDING_OVER, Position.TAKING_BACK):
        return f"core token {state.trouble}" if state.trouble else "core tokens on their way"
    if state.position is Position.DRAINING and state.cleared:
        return "; ".join(_run_blocker(run) for run in shot.runs)
    if state.position in (Position.DRAINING, Position.STOPPING_VMS):
        return (shot.calling or "VMs that still run") + trouble
    if state.position is Position.CLOUD and (state.vms is not Vms.UP or state.trouble):
        return (shot.calling or "next try of the cloud tool") + trouble
    if state.position is Position.HLT and state.unproven:
        return (shot.calling or "the cloud tool's first answer") + trouble
    if state.position is Position.HLT and state.waiting is not None:
        return f"the BU's answer whether {state.waiting} goes on"
    return ""


def _run_blocker(run: RunView) -> str:
    where = f"run {run.number}: "
    if run.trouble:
        where += f"{run.trouble}; "
    if run.jobs:
        listed = ", ".join(str(pid) for pid in run.jobs[:LISTED_PIDS])
        more = f" and {len(run.jobs) - LISTED_PIDS} more" if len(run.jobs) > LISTED_PIDS else ""
        until = f" until LS {run.last_lumisection}" if run.last_lumisection is not None else ""
        progress = f" (merged LS {run.queue.maxLSWithOutput})" if run.queue.maxLSWithOutput >= 0 else ""
        return f"{where}{len(run.jobs)} jobs, pid {listed}{more}{until}{progress}"
    return f"{where}merge script, pid {run.merge}" if run.merge else f"{where}nothing left, closing"


def build_box(shot: Snapshot, who: Identity, figures: Figures, now: Now) -> Box:
    """Returns the box file. Outside HLT the node is masked in both forms that BUs understand.

    Old BUs see no core but cloud ones, newer ones go by `cloudState`; what belongs to the active run stays true.
    """
    state, tokens = shot.state, shot.tokens
    masked = state.position is not Position.HLT
    newest = max(shot.runs, key=lambda run: run.number, default=None)
    queue = newest.queue if newest else QueueStatus()
    published = mode(state)
    return Box(
        fm_date=hltd_date(now.wall_s),
        idles=0 if masked else len(tokens.idle),
        used=0 if masked else len(tokens.online),
        broken=0 if masked else len(tokens.broken),
        used_activeRun=newest.cores if newest else 0,
        broken_activeRun=newest.broken if newest else 0,
        cloud=tokens.total if masked else len(tokens.cloud),
        quarantined=0 if masked else len(tokens.quarantined),
        usedDataDir=figures.used_data_mib,
        totalDataDir=figures.total_data_mib,
        fuDataAlarm=figures.used_data_mib > DATA_ALARM * figures.total_data_mib,
        activeRuns=sorted(run.number for run in shot.runs),
        activeRunNumQueuedLS=queue.numQueuedLS,
        activeRunCMSSWMaxLS=queue.CMSSWMaxLS,
        activeRunStats=[_stats(run) for run in shot.runs],
        cloudState=MODES[published].cloud_state,
        detectedStaleHandle=shot.stale_handle,
        version=VERSION,
        ip=who.ip,
        activeRunMaxLSOut=queue.maxLSWithOutput,
        outputBandwidthMB=queue.outputBW / MB,
        activeRunOutputMB=0.0,
        activeRunLSBWMB=queue.lumiBW / MB,
        sysCPUFrac=figures.cpu_frac,
        cpu_MHz_avg_real=figures.mhz,
        dataNetIn=figures.net_in_mb_s,
        cpuName=who.cpu_name,
        cpu_phys_cores=who.phys_cores,
        cpu_hyperthreads=who.hyperthreads,
        mem_frac=figures.mem_frac,
        mode=published,
        mode_since=iso(shot.timeline.mode_since.wall_s),
        switch_id=state.switch.id if state.switch else None,
        vms=state.vms,
        blocker=blocker(shot),
        stuck=state.stuck,
    )


def _stats(run: RunView) -> RunStats:
    return RunStats(
        run=run.number,
        totalRes=run.cores,
        qRes=0,
        ongoing=not run.ended,
        errors=run.crashes,
        errorsRes=run.broken,
    )


def build_status(shot: Snapshot, who: Identity, now: Now) -> Status:
    """Returns what `GET /status` tells."""
    state, timeline, journey = shot.state, shot.timeline, shot.timeline.journey
    switch = None
    if journey is not None:
        switch = SwitchView(
            request=journey.request,
            started=iso(journey.started.wall_s),
            age_s=round(elapsed_s(journey.started, now), 3),
            phase=journey.phase,
            phases=journey.phases | {journey.phase: round(elapsed_s(journey.phase_since, now), 3)},
        )
    counts = zip(TOKEN_STATES, shot.tokens, strict=True)
    return Status(
        host=who.host,
        appliance=who.appliance,
        time=iso(now.wall_s),
        mode=mode(state),
        mode_since=iso(timeline.mode_since.wall_s),
        mode_age_s=round(elapsed_s(timeline.mode_since, now), 3),
        position=state.position,
        wanted=state.wanted.value,
        vms=state.vms,
        blocker=blocker(shot),
        stuck=state.stuck,
        switch=switch,
        runs=shot.runs,
        waiting_run=state.waiting.number if state.waiting else None,
        mount_trouble=shot.mount_trouble,
        tokens={name: len(names) for name, names in counts},
        journal_seq=timeline.seq,
    )
