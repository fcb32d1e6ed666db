"""A CMSSW job's stand-in: `python -S -E cmssw.py --run N --run-dir D --bu-run-dir B --cores C`.

Closes each lumisection after the BU has closed it, from the one that is open at its start, and leaves one output file
a lumisection in the run directory. Ends with exit 0 after closing lastLS of CMSSW_STOP, at once for CMSSW_STOP_pid<own
pid>, or at the end of the run (EoR, or a run directory on the BU that was there and is gone) with nothing left to do.
SIGTERM ends it, as it does every program that has no handler for it. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

if __name__ == "__main__":
    # Run by its path: the room's folder is where sys.path begins, its parent is what the imports below need.
    sys.path.append(sys.path.pop(0).rpartition("/")[0])

from simulator import faults, living, rundir
from simulator.rundir import Options, say

EXAMPLE: Final = "hltmode simulate job --run 100 --run-dir /tmp/fu/run000100 --bu-run-dir /tmp/bu/run000100 --cores 4"
POLL_S: Final = 0.1
EVENTS_PER_CORE: Final = 250
OUTPUT_BYTES_PER_CORE: Final = 4_000_000


class Step(Enum):
    """What the job does next."""

    WAIT = "wait"
    CLOSE = "close the next lumisection"
    END = "end"


class Sight(NamedTuple):
    """What the job sees: lumisections closed on the BU, the run's end, and what it is told."""

    closed: int = 0
    ended: bool = False
    last_wanted: int | None = None
    told_alone: bool = False


def next_step(done: int, sight: Sight, *, obeys: bool = True) -> Step:
    """Returns what a job does that has closed lumisection `done`; one that doesn't obey runs to the run's end."""
    if obeys and (sight.told_alone or (sight.last_wanted is not None and done >= sight.last_wanted)):
        return Step.END
    if done < sight.closed:
        return Step.CLOSE
    return Step.END if sight.ended else Step.WAIT


class Job:
    """One job of a run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._pid = os.getpid()
        self._bu_was_there = False

    def run(self) -> int:
        """Works until its end and returns the exit code."""
        faults.chatter(self._fault(sys.maxsize))
        self._write(rundir.presence_file(self._options, self._pid), {"started": living.started(self._pid)})
        done = self.look().closed
        say(f"run {self._options.run}: works on {self._options.cores} cores from lumisection {done + 1}")
        while True:
            fault = self._fault(done)
            if fault.behave == "crash":
                say(f"crashes after lumisection {done}")
                return faults.CRASHED if fault.exit_code is None else fault.exit_code
            if fault.behave == "hang":
                self._hang(done)
                continue
            step = next_step(done, self.look(), obeys=fault.behave != "ignore_stop")
            if step is Step.WAIT:
                time.sleep(self._options.ls_poll_s)
                continue
            time.sleep(fault.delay_s)
            if step is Step.END:
                say(f"ends after lumisection {done}")
                return fault.exit_code or 0
            done += 1
            self._close(done)

    def look(self) -> Sight:
        """Returns what is to be seen now. A folder that doesn't answer holds the job up, as it does CMSSW."""
        options = self._options
        try:
            # The end is looked for first: lumisections closed before it are then sure to be seen.
            ended = rundir.ended(options.bu_run_dir, options.run)
            closed = rundir.last_closed(options.bu_run_dir)
            self._bu_was_there = True
        except FileNotFoundError:
            closed, ended = 0, self._bu_was_there
        told_alone = (options.run_dir / f"CMSSW_STOP_pid{self._pid}").exists()
        return Sight(closed, ended, read_stop(options.run_dir / "CMSSW_STOP"), told_alone)

    def _fault(self, done: int) -> faults.Fault:
        fault = faults.read(self._options.faults, self._options.node, "job")
        return fault if done >= fault.after_ls else faults.NONE

    def _hang(self, done: int) -> None:
        """Does nothing until the fault is gone; only SIGKILL ends it meanwhile."""
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"hangs after lumisection {done}")
        while self._fault(done).behave == "hang":
            time.sleep(self._options.ls_poll_s)
        signal.signal(signal.SIGTERM, before)

    def _close(self, lumisection: int) -> None:
        events = EVENTS_PER_CORE * self._options.cores
        size = OUTPUT_BYTES_PER_CORE * self._options.cores
        self._write(
            rundir.output_file(self._options, lumisection, self._pid),
            {"ls": lumisection, "pid": self._pid, "events": events, "bytes": size},
        )

    def _write(self, path: Path, content: dict[str, object]) -> None:
        try:
            rundir.put(path, content)
        except FileNotFoundError:
            say(f"{path}: not written, the run directory is gone")


def read_stop(path: Path) -> int | None:
    """Returns lastLS of the stop file, None without one or with one that says nothing."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        say(f"{path}: not JSON; not obeyed")
        return None
    last = content.get("lastLS") if isinstance(content, dict) else None
    return last if isinstance(last, int) else None


def main() -> int:
    """Runs one job and returns its exit code."""
    parser = rundir.parser("A CMSSW job's stand-in.", EXAMPLE, poll_s=POLL_S)
    try:
        return Job(parser.parse_args(namespace=Options())).run()
    except faults.BadFaults as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
