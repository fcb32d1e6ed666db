"""The jobs and merge scripts of the runs on this node: started on idle tokens, told to end, seen to end.

Nothing here decides when a run may start or must end; the machine does. All methods block for short file work only
and are called from one thread at a time.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from contract.config import Jobs as Settings
from contract.paths import CORE_TOKEN, NodePaths, RunRef, run_name
from switcher import processes, run_files, tokens
from switcher.processes import Child
from switcher.states import Run, Told

log = logging.getLogger(__name__)

JOB: Final = "job"
MERGE: Final = "merge"
Cores = tuple[str, ...]


@dataclass
class RunWork:
    """One run on this node. `crashes` counts by cores, `crashed_s` says when (loop time) cores did that start again.

    prepared: its directory is ready and the merge script was started; begun: a job was; active: it is marked so
    heard:    how firmly the jobs have been told by now; short of `told` while the disk is full
    last:     the last lumisection they are told to close
    trouble:  why it can't be prepared, told or closed, in words
    """

    ref: RunRef
    told: Told = Told.NOTHING
    heard: Told = Told.NOTHING
    last: int = 0
    ended: bool = False
    prepared: bool = False
    trouble: str = ""
    jobs: dict[int, Cores] = field(default_factory=dict)
    merge: int | None = None
    merge_crashes: int = 0
    jobs_over: bool = False
    begun: bool = False
    active: bool = False
    retired: set[str] = field(default_factory=set)
    crashes: dict[Cores, int] = field(default_factory=dict)
    crashed_s: dict[Cores, float] = field(default_factory=dict)

    @property
    def willing(self) -> bool:
        """True while jobs of this run may still be started."""
        return self.told is Told.NOTHING and not self.ended


@contextmanager
def _troubled(work: RunWork) -> Iterator[None]:
    """Notes and logs, once, why a file of the run can't be written; it is tried again."""
    try:
        yield
    except OSError as error:
        words = f"{error.filename}: {error.strerror}"
        if words != work.trouble:
            log.error("%s: %s; tried again", work.ref, words)
        work.trouble = words
    else:
        work.trouble = ""


class Work:
    """All runs of the node. `watch` is called with every process started or adopted."""

    def __init__(self, settings: Settings, paths: NodePaths, watch: Callable[[Child], None]) -> None:
        self.settings = settings
        self.runs: dict[int, RunWork] = {}
        self._paths = paths
        self._watch = watch

    def adopt(self) -> tuple[Run, ...]:
        """Finds the processes that an earlier switcher left working and returns their runs.

        What a job has left behind, that died while no switcher was there to see it, is ended, and cores that were
        broken get a new chance: nobody knows any more when they would have had it.
        """
        left = processes.left(self._paths.state_dir, (JOB, MERGE))
        for group in left.deserted:
            log.warning("process group %d: left behind by a job that ended unseen; killed", group)
            processes.signal_group(group, signal.SIGKILL)
        for found in left.leaders:
            role, number = found.mark[processes.ROLE], found.mark.get(processes.RUN, "")
            if not (number.isascii() and number.isdigit()):
                continue
            work = self.runs.get(int(number)) or self._adopted(int(number))
            if role == JOB:
                work.begun = True
                cores = found.mark.get(processes.CORES, "").split(",")
                work.jobs[found.pid] = tuple(core for core in cores if CORE_TOKEN.fullmatch(core))
            else:
                work.merge = found.pid
            log.info("%s: %s with pid %d still runs and is watched again", work.ref, role, found.pid)
            self._watch(Child(found.pid, None))
        self._mend_broken()
        return tuple(Run(work.ref) for work in self.runs.values())

    def _adopted(self, number: int) -> RunWork:
        """Without a living job the run goes on all the same, unless an earlier switcher saw its last one end."""
        over = run_files.is_finished(self._paths, run_name(number))
        work = self.runs[number] = RunWork(RunRef(number), prepared=True, begun=over, jobs_over=over)
        return work

    def _mend_broken(self) -> None:
        owned = {core for work in self.runs.values() for cores in work.jobs.values() for core in cores}
        broken = [core for core in tokens.scan(self._paths).broken if core not in owned]
        if broken:
            log.warning("core tokens %s were broken; idle again", ", ".join(broken))
            tokens.move(self._paths, broken, "idle")

    def begin(self, ref: RunRef) -> None:
        """Prepares the run directory and starts the merge script, again at every `fill` while the disk is full."""
        self._prepare(self.runs.setdefault(ref.number, RunWork(ref)))

    def _prepare(self, work: RunWork) -> None:
        with _troubled(work):
            run_files.prepare(self._paths, work.ref)
            work.prepared = True
        if work.prepared:
            self._start_merge(work)

    def fill(self, refs: Iterable[RunRef], now_s: float) -> None:
        """Starts jobs of `refs` (newest first) on idle tokens, and again on cores whose crash was long enough ago."""
        owned = {core for work in self.runs.values() for cores in work.jobs.values() for core in cores}
        found = tokens.scan(self._paths)
        stray = [name for name in found.online if name not in owned]
        if stray:
            log.warning("core tokens %s were online without a job; idle again", ", ".join(stray))
            tokens.move(self._paths, stray, "idle")
        idle = [name for name in (*found.idle, *stray) if name not in owned]
        size = self.settings.cores_per_job
        for ref in refs:
            work = self.runs.get(ref.number)
            if work is None or not work.willing:
                continue
            if not work.prepared:
                self._prepare(work)
            if not work.prepared:
                continue
            delay_s = self.settings.restart_delay_s
            for cores in [cores for cores, then_s in work.crashed_s.items() if then_s + delay_s <= now_s]:
                del work.crashed_s[cores]
                if set(cores) <= set(found.broken) - owned:
                    self._start_job(work, cores, now_s)
                else:
                    log.warning("%s: somebody moved %s; no new start there", ref, ", ".join(cores))
            fresh = [name for name in idle if name not in work.retired]
            for start in range(0, len(fresh) - size + 1, size):
                cores = tuple(fresh[start : start + size])
                idle = [name for name in idle if name not in cores]
                self._start_job(work, cores, now_s)
            if work.jobs and not work.active:
                with _troubled(work):
                    run_files.mark(self._paths, ref.number, "active")
                    work.active = True

    def ended(self, pid: int, code: int | None, now_s: float) -> None:
        """Takes note of the end of a process: exit code, or None when it was adopted and can't be known."""
        for work in self.runs.values():
            if pid == work.merge:
                self._merge_ended(work, code)
            elif pid in work.jobs:
                self._job_ended(work, pid, code, now_s)

    def end_of_run(self, number: int) -> None:
        """No job of this run is started any more; those that run end by themselves."""
        work = self.runs.get(number)
        if work is not None and work.willing:
            work.ended = True
            with _troubled(work):
                run_files.mark(self._paths, number, "stopping")

    def tell(self, number: int, told: Told, last_lumisection: int) -> None:
        """Tells the jobs of a run to end after `last_lumisection`, or by signals; then the merge script too."""
        work = self.runs.get(number)
        if work is None:
            return
        work.told = max(told, work.told)
        work.last = last_lumisection
        self._pass_on(work)

    def tell_again(self) -> None:
        """Tells those that could not be told yet."""
        for work in self.runs.values():
            if work.heard < work.told:
                self._pass_on(work)

    def _pass_on(self, work: RunWork) -> None:
        number, told = work.ref.number, work.told
        if told <= Told.NOW:
            if not work.prepared:
                work.heard = told
                return
            with _troubled(work):
                run_files.tell_last_lumisection(self._paths, number, work.last, again=told is Told.NOW)
                work.heard = told
                run_files.mark(self._paths, number, "stopping")
            return
        work.heard = told
        group = [*work.jobs, *([work.merge] if told is Told.KILL and work.merge else [])]
        for pid in group:
            log.warning("%s: pid %d did not end in time; %s", work.ref, pid, told.name.lower())
            processes.signal_group(pid, signal.SIGKILL if told is Told.KILL else signal.SIGTERM)
        with _troubled(work):
            run_files.mark(self._paths, number, "aborted")

    def close_finished(self) -> None:
        """Closes what has come to its end; runs of which nothing is left are dropped from `runs`."""
        done = []
        for number, work in self.runs.items():
            if not work.jobs_over and self._nothing_to_come(work):
                killed = work.told >= Told.TERMINATE
                with _troubled(work):
                    if work.prepared:
                        run_files.mark(self._paths, number, "abortcomplete" if killed else "complete")
                    work.jobs_over = True
            if work.jobs_over and work.merge is None:
                broken = tokens.scan(self._paths).broken
                tokens.move(self._paths, [core for cores in work.crashes for core in cores if core in broken], "idle")
                done.append(number)
        for number in done:
            del self.runs[number]

    def _nothing_to_come(self, work: RunWork) -> bool:
        """True when no job runs and none will; broken cores keep a run open until it ends or is told to."""
        if work.jobs:
            return False
        return not work.willing or (work.begun and not work.crashed_s and not self._given_up(work))

    def _given_up(self, work: RunWork) -> bool:
        return any(count > self.settings.max_restarts for count in work.crashes.values())

    def next_due_s(self) -> float | None:
        """Returns when (loop time) the next crashed job is to be started again, None when none is."""
        waiting = (work for work in self.runs.values() if work.willing)
        first_s = min((then_s for work in waiting for then_s in work.crashed_s.values()), default=None)
        return None if first_s is None else first_s + self.settings.restart_delay_s

    def _start_job(self, work: RunWork, cores: Cores, now_s: float) -> None:
        tokens.move(self._paths, cores, "online")
        command = self._command(self.settings.command, work.ref, len(cores))
        mark = {processes.ROLE: JOB, processes.RUN: str(work.ref.number), processes.CORES: ",".join(cores)}
        work.begun = True
        try:
            child = self._spawn(command, mark, f"{work.ref.number}-{cores[0]}")
        except OSError as error:
            log.error("%s: %s: %s; see jobs.command", work.ref, command[0], error.strerror)
            self._crashed(work, cores, now_s)
            return
        work.jobs[child.pid] = cores
        self._watch(child)
        log.info("%s: job with pid %d on %s", work.ref, child.pid, ", ".join(cores))

    def _start_merge(self, work: RunWork) -> None:
        if not self.settings.merge_command:
            return
        command = self._command(self.settings.merge_command, work.ref, 0)
        mark = {processes.ROLE: MERGE, processes.RUN: str(work.ref.number)}
        try:
            child = self._spawn(command, mark, f"{work.ref.number}-merge")
        except OSError as error:
            log.error("%s: %s: %s; see jobs.merge_command", work.ref, command[0], error.strerror)
            return
        work.merge = child.pid
        self._watch(child)

    def _spawn(self, command: list[str], mark: dict[str, str], name: str) -> Child:
        with run_files.output(self._paths, name) as output:
            node = {processes.NODE: str(self._paths.state_dir)}
            return processes.spawn(command, mark=mark | node, output=output.fileno(), folder=self._paths.state_dir)

    def _job_ended(self, work: RunWork, pid: int, code: int | None, now_s: float) -> None:
        cores = work.jobs.pop(pid)
        if code == 0 or (code is None and not work.willing) or work.told >= Told.TERMINATE:
            tokens.move(self._paths, cores, "idle")
            work.retired.update(cores)
            log.info("%s: job with pid %d ended", work.ref, pid)
            return
        how = "with an exit code that an earlier switcher would know" if code is None else f"with exit {code}"
        log.warning("%s: job with pid %d on %s ended %s", work.ref, pid, ", ".join(cores), how)
        self._crashed(work, cores, now_s)

    def _crashed(self, work: RunWork, cores: Cores, now_s: float) -> None:
        tokens.move(self._paths, cores, "except")
        work.crashes[cores] = work.crashes.get(cores, 0) + 1
        if not work.willing:
            return
        if work.crashes[cores] <= self.settings.max_restarts:
            work.crashed_s[cores] = now_s
        else:
            log.error("%s: %s crashed %d times; not started again", work.ref, ", ".join(cores), work.crashes[cores])

    def _merge_ended(self, work: RunWork, code: int | None) -> None:
        work.merge = None
        expected = code == 0 or (code is None and not work.willing) or work.jobs_over or work.told is Told.KILL
        if expected or work.merge_crashes >= self.settings.max_restarts:
            log.log(logging.INFO if expected else logging.ERROR, "%s: merge script ended (exit %s)", work.ref, code)
            return
        work.merge_crashes += 1
        log.warning("%s: merge script ended early with exit %s; started again", work.ref, code)
        self._start_merge(work)

    def _command(self, template: list[str], ref: RunRef, cores: int) -> list[str]:
        values = {
            "{run}": str(ref.number),
            "{run_dir}": str(self._paths.run_dir(ref.number)),
            "{bu_run_dir}": str(self._paths.bu.run_dir(ref.number)),
            "{cores}": str(cores),
            "{host}": self._paths.host,
        }
        command = []
        for part in template:
            for name, value in values.items():
                part = part.replace(name, value)  # noqa: PLW2901 - one placeholder after the other
            command.append(part)
        return command
