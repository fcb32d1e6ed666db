"""When to sample: on the wall clock's grid, by a wait on the steady clock; and when the wall clock was set. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

# More than any clock is corrected by while it runs on.
STEP_S: Final = 1.0


class Reading(NamedTuple):
    """Both clocks at one moment, in seconds."""

    wall_s: float
    steady_s: float


def stepped_s(before: Reading, now: Reading) -> float:
    """Returns by how much the wall clock was set between two readings, forward or back; 0 when it ran on."""
    step_s = (now.wall_s - before.wall_s) - (now.steady_s - before.steady_s)
    return step_s if abs(step_s) > STEP_S else 0.0


def wait_s(wall_s: float, interval_s: float) -> float:
    """Returns how long to wait from `wall_s` (Unix seconds) to the next sample on the grid of `interval_s`.

    Between half an interval and one and a half: whatever the wall clock is set to, no burst and no long pause follow,
    and a sample that comes a hair before its grid point isn't followed by another at the point itself.
    """
    to_next_s = interval_s - wall_s % interval_s
    return to_next_s if to_next_s >= interval_s / 2 else to_next_s + interval_s
