"""Keeps the snapshot of what is shown, and builds box file and status from it."""

from __future__ import annotations

from msgspec.structs import replace

from contract.box import Box
from contract.config import NodeConfig
from contract.paths import NodePaths
from switcher import clock, run_files, tokens
from switcher.boxing import BuMount
from switcher.figures import Meter
from switcher.igniter import Igniter
from switcher.states import State, mode
from switcher.timeline import Now, Timeline, elapsed_s
from switcher.view import Identity, RunView, Snapshot, Status, build_box, build_status
from switcher.work import RunWork, Work


class Showing:
    """What the node shows of itself; `shot` is the newest snapshot."""

    def __init__(self, config: NodeConfig, ip: str, state: State, timeline: Timeline) -> None:
        self.limits = config.switch
        self._paths: NodePaths = config.paths
        self._meter = Meter(self._paths.watch_dir)
        self.shot = Snapshot(state=state, timeline=timeline)
        self.who = Identity(
            host=config.node.host,
            appliance=config.node.appliance,
            ip=ip,
            cpu_name=self._meter.cpu_name,
            phys_cores=self._meter.phys_cores,
            hyperthreads=self._meter.hyperthreads,
        )

    def moved(self, state: State, timeline: Timeline) -> None:
        """Takes over a step that is on disk."""
        self.shot = replace(self.shot, state=state, timeline=timeline, disk_trouble="")

    def held(self, trouble: str) -> None:
        """Says why no step can be put on disk."""
        self.shot = replace(self.shot, disk_trouble=trouble)

    def blinded(self, trouble: str) -> None:
        """Says why the node's folders can't be looked at, empty when they can."""
        self.shot = replace(self.shot, look_trouble=trouble)

    def renew(self, work: Work) -> bool:
        """Reads tokens and runs anew; returns whether anything has changed. Blocks for file work."""
        before = self.shot
        try:
            found = tokens.scan(self._paths)
        except OSError:
            found = before.tokens
        known = (work.runs.get(run.ref.number) for run in before.state.runs)
        runs = tuple(_run_view(self._paths, run) for run in known if run is not None)
        self.shot = replace(before, tokens=found, runs=runs)
        return self.shot != before

    def box(self, igniter: Igniter, mount: BuMount) -> Box:
        """Returns the box file of this moment."""
        now = clock.now()
        shot = replace(self._shot(now), calling=igniter.now, stale_handle=mount.stale_handle)
        return build_box(shot, self.who, self._meter.read(now.boot_s), now)

    def status(self, igniter: Igniter, mount: BuMount) -> Status:
        """Returns what `GET /status` tells at this moment."""
        now = clock.now()
        shot = replace(self._shot(now), calling=igniter.now, mount_trouble=mount.trouble)
        return build_status(shot, self.who, now)

    def _shot(self, now: Now) -> Snapshot:
        """A node that is held still can't take note that its time is over; that is seen here."""
        shot, limit_s = self.shot, self.limits.timeout_s(mode(self.shot.state))
        late = limit_s > 0 and elapsed_s(shot.timeline.mode_since, now) > limit_s
        return replace(shot, state=replace(shot.state, stuck=True)) if shot.disk_trouble and late else shot


def _run_view(paths: NodePaths, work: RunWork) -> RunView:
    number = work.ref.number
    return RunView(
        number=number,
        told=work.told.name.lower(),
        ended=work.ended,
        jobs=tuple(work.jobs),
        merge=work.merge,
        cores=sum(len(cores) for cores in work.jobs.values()),
        broken=sum(len(cores) for cores in work.crashes if cores not in work.jobs.values()),
        crashes=sum(work.crashes.values()),
        trouble=work.trouble,
        last_lumisection=run_files.read_stop(paths, number),
        queue=run_files.read_queue_status(paths, number),
    )
