"""When to sample: on the wall clock's grid, by a wait on the steady clock. Pure."""

from __future__ import annotations


def wait_s(wall_s: float, interval_s: float) -> float:
    """Returns how long to wait from `wall_s` (Unix seconds) to the next sample on the grid of `interval_s`.

    Between half an interval and one and a half: whatever the wall clock is set to, no burst and no long pause follow,
    and a sample that comes a hair before its grid point isn't followed by another at the point itself.
    """
    to_next_s = interval_s - wall_s % interval_s
    return to_next_s if to_next_s >= interval_s / 2 else to_next_s + interval_s
