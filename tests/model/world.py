"""Everything there is beside the machine's own state: a node with two core tokens, two runs and a cloud tool.

A `World` is a plain value of small numbers, so that millions of them can be compared and kept. Runs are 1 and 2; a set
of runs is a bit mask. `heart` is the number of the machine's state (`tests.model.heart`), which is on disk whenever it
is in memory: the shell writes it before anything else happens.

on disk      heart, published, in_cloud, dirs, ends, files, told
outside      bu, vms, jobs, hand, lost
in memory    life, work, seen, clocks, call, checks, newer: gone when the daemon is killed
"""

from __future__ import annotations

from typing import Final, NamedTuple

from switcher.events import Timer
from switcher.states import Verb

TOKENS: Final = 2
RUNS: Final = (1, 2)

# life
SERVES, KILLED, REBOOTED, FORGETFUL = range(4)

# bu, for each run
NOT_YET, GOES_ON, OVER = range(3)

# dirs, for each run: nothing, a directory as the BU's notification or StartWork made it, one marked finished
NONE, FRESH, FINISHED = range(3)

CALLS: Final[tuple[Verb | None, ...]] = (None, Verb.START, Verb.STOP, Verb.STATUS)
CALL_OF: Final = {verb: number for number, verb in enumerate(CALLS)}
CLOCKS: Final = tuple(Timer)
CLOCK_OF: Final = {timer: 1 << number for number, timer in enumerate(CLOCKS)}


class World(NamedTuple):
    """One moment.

    heart:     number of the machine's state
    life:      SERVES, or why the daemon is down: KILLED, REBOOTED, FORGETFUL (killed and its state file lost)
    published: the mode file, as `Mode.code`
    in_cloud:  core tokens in the cloud folder, of TOKENS
    vms:       virtual machines run
    jobs:      runs with living processes
    told:      runs whose processes have been told to end, in whatever way
    work:      runs that the shell keeps books of
    seen:      run directories that the shell has dealt with
    clocks:    alarm clocks that run
    call:      the cloud tool at work, as an index of CALLS
    checks:    runs about which the BU is being asked
    bu:        for each run NOT_YET, GOES_ON, OVER
    dirs:      for each run NONE, FRESH, FINISHED
    ends:      runs whose end file lies there
    files:     command files, oldest first
    hand:      a core token was moved by hand and nobody has acted on it yet
    lost:      runs whose directory was deleted while they were at work
    newer:     since the daemon started a request was accepted, and the machine still has unproven facts of the start
    """

    heart: int
    life: int = KILLED
    published: int = 0
    in_cloud: int = 0
    vms: bool = False
    jobs: int = 0
    told: int = 0
    work: int = 0
    seen: int = 0
    clocks: int = 0
    call: int = 0
    checks: int = 0
    bu: tuple[int, int] = (NOT_YET, NOT_YET)
    dirs: tuple[int, int] = (NONE, NONE)
    ends: int = 0
    files: tuple[str, ...] = ()
    hand: bool = False
    lost: int = 0
    newer: bool = False


def with_run(both: tuple[int, int], run: int, value: int) -> tuple[int, int]:
    """Returns `both` with the value of `run` replaced."""
    return (value, both[1]) if run == 1 else (both[0], value)


def runs_in(mask: int) -> tuple[int, ...]:
    """Returns the runs of a bit mask."""
    return _RUNS_IN[mask]


_RUNS_IN: Final = ((), (1,), (2,), (1, 2))
