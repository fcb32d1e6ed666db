"""The run of a simulated farm, and the jobs and merge script that one node has for it: timers instead of processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

from contract.config import Jobs
from contract.paths import RunRef
from simulator.node_farm.clock import Alarm, Clock
from switcher.run_files import QueueStatus
from switcher.states import Told
from switcher.view import RunView

CORES: Final = 32
LUMISECTION_S: Final = 23.31
CLOSED_BEFORE: Final = 50
JOBS: Final = Jobs()
FIRST_PID: Final = 10_000

# How long a job takes to end, in seconds from and to, after its last lumisection or after being told.
ENDS: Final = {
    Told.LAST_LUMISECTION: (0.5, 6.0),
    Told.NOW: (0.5, 3.0),
    Told.TERMINATE: (0.2, 2.0),
    Told.KILL: (0.01, 0.1),
}
MERGE_S: Final = (1.0, 4.0)


class FarmRun:
    """The one run in which every node works; it goes on for ever. Lumisections close for all nodes at once."""

    def __init__(self, clock: Clock, ref: RunRef, lumisection_s: float = LUMISECTION_S) -> None:
        self.ref = ref
        self._clock = clock
        self._lumisection_s = lumisection_s
        self._began_s = clock.now().boot_s

    @property
    def closed(self) -> int:
        """The last lumisection that is complete."""
        return CLOSED_BEFORE + int((self._clock.now().boot_s - self._began_s) / self._lumisection_s)

    def closes_in_s(self, lumisection: int) -> float:
        """Returns in how many seconds `lumisection` will be complete, 0 when it is."""
        at_s = self._began_s + (lumisection - CLOSED_BEFORE) * self._lumisection_s
        return max(0.0, at_s - self._clock.now().boot_s)


class AtWork(msgspec.Struct):
    """The run on this node: pids of jobs and merge script, and the alarm of each job that is about to end."""

    number: int
    jobs: list[int]
    merge: int
    told: Told = Told.NOTHING
    last_lumisection: int | None = None
    ending: dict[int, Alarm] = {}


class SimulatedWork:
    """Jobs and merge scripts of one node. `gone` is called with a run's number when nothing of it is left.

    `slowness` stretches all times. With `hangs` the first job of each run ends for SIGKILL only.
    """

    def __init__(
        self,
        clock: Clock,
        run: FarmRun,
        gone: Callable[[int], None],
        dice: random.Random,
        *,
        slowness: float = 1.0,
        hangs: bool = False,
    ) -> None:
        self._clock = clock
        self._run = run
        self._gone = gone
        self._dice = dice
        self._slowness = slowness
        self._hangs = hangs
        self._next_pid = FIRST_PID
        self._runs: dict[int, AtWork] = {}

    @property
    def cores(self) -> int:
        """How many cores have a job."""
        return sum(len(run.jobs) for run in self._runs.values()) * JOBS.cores_per_job

    def begin(self, ref: RunRef) -> None:
        """Starts merge script and jobs of a run, unless they are there."""
        if ref.number not in self._runs:
            merge, *jobs = range(self._next_pid, self._next_pid + 1 + CORES // JOBS.cores_per_job)
            self._next_pid = jobs[-1] + 1
            self._runs[ref.number] = AtWork(ref.number, jobs, merge)

    def tell(self, number: int, told: Told) -> None:
        """Tells the jobs of a run to end, this firmly."""
        run = self._runs.get(number)
        if run is None or run.told >= told:
            return
        run.told = told
        wait_s = 0.0
        if told is Told.LAST_LUMISECTION:
            run.last_lumisection = self._run.closed + JOBS.extra_lumisections
            wait_s = self._run.closes_in_s(run.last_lumisection)
        elif told is Told.NOW:
            run.last_lumisection = 1
        for place, pid in enumerate(run.jobs):
            if alarm := run.ending.pop(pid, None):
                alarm.cancel()
            if not self._stays(run, place):
                delay_s = (wait_s + self._dice.uniform(*ENDS[told])) * self._slowness
                run.ending[pid] = self._clock.later(delay_s, self._job_ended, run, pid)

    def views(self) -> tuple[RunView, ...]:
        """Returns the runs as `/status` shows them."""
        return tuple(self._view(run) for run in self._runs.values())

    def _stays(self, run: AtWork, place: int) -> bool:
        return self._hangs and place == 0 and run.told is not Told.KILL

    def _job_ended(self, run: AtWork, pid: int) -> None:
        run.jobs.remove(pid)
        del run.ending[pid]
        if not run.jobs:
            self._clock.later(self._dice.uniform(*MERGE_S) * self._slowness, self._merge_ended, run)

    def _merge_ended(self, run: AtWork) -> None:
        del self._runs[run.number]
        self._gone(run.number)

    def _view(self, run: AtWork) -> RunView:
        closed = self._run.closed
        return RunView(
            number=run.number,
            told=run.told.name.lower(),
            ended=False,
            jobs=tuple(run.jobs),
            merge=run.merge,
            cores=len(run.jobs) * JOBS.cores_per_job,
            last_lumisection=run.last_lumisection,
            queue=QueueStatus(numQueuedLS=0, CMSSWMaxLS=closed, maxLSWithOutput=closed - 2),
        )
