"""A merge script's stand-in: `python -S -E merge.py --run N --run-dir D --bu-run-dir B`.

Merges the jobs' output of each lumisection into one `run<NNNNNN>_ls<LLLL>_merged.jsn`, takes the output away, and keeps
`open/queue_status.jsn`. It may be killed and started again at any time.

It ends with exit 0 when all output is merged and no more can come, which is so when
- the run directory bears the marker `complete` or `abortcomplete`: the switcher saw the last job end; or
- no job is to be started any more (EoR on the BU, or CMSSW_STOP here) and none lives, at several looks in a row; jobs
  leave pid and start time in the run directory, so this needs no switcher; or
- the run directory is gone, at several looks in a row.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

if __name__ == "__main__":
    # Run by its path: the room's folder is where sys.path begins, its parent is what the imports below need.
    sys.path.append(sys.path.pop(0).rpartition("/")[0])

from simulator import faults, living, rundir
from simulator.rundir import Options, say

EXAMPLE: Final = "hltmode simulate merge --run 100 --run-dir /tmp/fu/run000100 --bu-run-dir /tmp/bu/run000100"
POLL_S: Final = 0.05
OVER: Final = ("complete", "abortcomplete")
# A job that was started a moment ago has not written down its pid yet.
LOOKS_IN_A_ROW: Final = 10
BANDWIDTH_WINDOW_S: Final = 10.0


class Sight(NamedTuple):
    """What the merge script sees: the directory gone, marked as over, or jobs told to end and none left."""

    gone: bool = False
    over: bool = False
    deserted: bool = False


def looks_wanted(sight: Sight) -> int | None:
    """Returns after how many such sights in a row the work is done, None when it is not."""
    if sight.over:
        return 1
    return LOOKS_IN_A_ROW if sight.gone or sight.deserted else None


class Output(TypedDict):
    """What a job leaves for one lumisection."""

    ls: int
    pid: int
    events: int
    bytes: int


class MergedOutput(TypedDict):
    """All jobs' output of one lumisection; `jobs` by pid, so that one merged twice after a kill counts once."""

    ls: int
    events: int
    bytes: int
    jobs: dict[str, Output]


class Merged(NamedTuple):
    """One addition to a lumisection's merged output."""

    time_s: float
    lumisection: int
    size_bytes: int


class Meter:
    """Bytes merged of late."""

    def __init__(self) -> None:
        self._merged: deque[Merged] = deque()

    def add(self, merged: Merged) -> None:
        """Counts one addition."""
        self._merged.append(merged)

    def bandwidths(self, now_s: float) -> tuple[int, int]:
        """Returns bytes/s over the window, and those of the newest lumisection in it."""
        while self._merged and self._merged[0].time_s < now_s - BANDWIDTH_WINDOW_S:
            self._merged.popleft()
        newest = max((merged.lumisection for merged in self._merged), default=0)
        total = sum(merged.size_bytes for merged in self._merged)
        of_newest = sum(merged.size_bytes for merged in self._merged if merged.lumisection == newest)
        return round(total / BANDWIDTH_WINDOW_S), round(of_newest / BANDWIDTH_WINDOW_S)


class MergeScript:
    """The merge script of one run."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._meter = Meter()
        self._last_merged = -1
        self._status: dict[str, object] = {}

    def run(self) -> int:
        """Merges until its end and returns the exit code."""
        faults.chatter(self._fault())
        in_a_row = 0
        while True:
            fault = self._fault()
            if fault.behave == "crash":
                say(f"crashes after lumisection {self._last_merged}")
                return faults.CRASHED if fault.exit_code is None else fault.exit_code
            if fault.behave == "hang":
                self._hang()
                continue
            # First the look, then the work: what was written before the end that is seen gets merged.
            wanted = looks_wanted(self.look())
            self.merge()
            in_a_row = in_a_row + 1 if wanted is not None else 0
            if wanted is not None and in_a_row >= wanted and fault.behave != "ignore_stop":
                time.sleep(fault.delay_s)
                say(f"ends: merged up to lumisection {self._last_merged}")
                return fault.exit_code or 0
            time.sleep(self._options.ls_poll_s)

    def look(self) -> Sight:
        """Returns what is to be seen now."""
        options = self._options
        if not options.run_dir.is_dir():
            return Sight(gone=True)
        told = (options.run_dir / "CMSSW_STOP").exists() or rundir.ended(options.bu_run_dir, options.run)
        return Sight(
            over=any((options.run_dir / marker).exists() for marker in OVER),
            deserted=told and not self._jobs_alive(),
        )

    def merge(self) -> None:
        """Merges what is there and says how it stands."""
        outputs = self._outputs()
        for lumisection in sorted({lumisection for lumisection, _ in outputs}):
            size_bytes = self._merge_one(lumisection, [path for found, path in outputs if found == lumisection])
            self._meter.add(Merged(time.monotonic(), lumisection, size_bytes))
            self._last_merged = max(lumisection, self._last_merged)
        self._tell()

    def _merge_one(self, lumisection: int, outputs: list[Path]) -> int:
        """Adds outputs to the merged file and takes them away; returns their bytes."""
        target = rundir.merged_file(self._options, lumisection)
        merged: MergedOutput = {"ls": lumisection, "events": 0, "bytes": 0, "jobs": {}}
        if target.exists():
            merged = json.loads(target.read_text())
        added: list[Output] = [json.loads(path.read_text()) for path in outputs]
        jobs = merged["jobs"] | {str(output["pid"]): output for output in added}
        events, size_bytes = (sum(output[key] for output in jobs.values()) for key in ("events", "bytes"))
        rundir.put(target, {"ls": lumisection, "events": events, "bytes": size_bytes, "jobs": jobs})
        for path in outputs:
            path.unlink(missing_ok=True)
        return sum(output["bytes"] for output in added)

    def _outputs(self) -> list[tuple[int, Path]]:
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(self._options.run_dir)  # noqa: PTH208 - many times a second
            found = (rundir.OUTPUT.fullmatch(name) for name in names)
            return [(int(match[1]), self._options.run_dir / match[0]) for match in found if match]
        return []

    def _jobs_alive(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            for path in self._options.run_dir.glob("run*_pid*.ini"):
                match = rundir.PRESENCE.fullmatch(path.name)
                if match and living.alive(int(match[1]), json.loads(path.read_text())["started"]):
                    return True
        return False

    def _tell(self) -> None:
        """Writes the queue's status, by rename and only when it is another than before."""
        output_rate, lumisection_rate = self._meter.bandwidths(time.monotonic())
        closed = 0
        with contextlib.suppress(FileNotFoundError):
            closed = rundir.last_closed(self._options.bu_run_dir)
        status: dict[str, object] = {
            "numQueuedLS": max(0, closed - max(0, self._last_merged)),
            "CMSSWMaxLS": self._last_merged,
            "maxLSWithOutput": self._last_merged,
            "outputBW": output_rate,
            "lumiBW": lumisection_rate,
        }
        if status == self._status:
            return
        folder = self._options.run_dir / "open"
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(exist_ok=True)
            rundir.put(folder / "queue_status.jsn", status)
            self._status = status

    def _fault(self) -> faults.Fault:
        fault = faults.read(self._options.faults, self._options.node, "merge")
        return fault if self._last_merged >= fault.after_ls or not fault.after_ls else faults.NONE

    def _hang(self) -> None:
        """Does nothing until the fault is gone; only SIGKILL ends it meanwhile."""
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"hangs after lumisection {self._last_merged}")
        while self._fault().behave == "hang":
            time.sleep(self._options.ls_poll_s)
        signal.signal(signal.SIGTERM, before)


def main() -> int:
    """Runs one merge script and returns its exit code."""
    parser = rundir.parser("A merge script's stand-in.", EXAMPLE, poll_s=POLL_S)
    try:
        return MergeScript(parser.parse_args(namespace=Options())).run()
    except faults.BadFaults as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
