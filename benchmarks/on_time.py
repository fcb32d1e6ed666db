"""How near samples came to the grid, and which grid points have none. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

LATE_S: Final = 0.1
HAIR_S: Final = 0.005  # by so much a sample may come before its grid point


class Timing(NamedTuple):
    """Samples, how many of them within LATE_S of the grid, grid points without a sample, and the worst lateness."""

    samples: int = 0
    on_time: int = 0
    skipped: int = 0
    worst_s: float = 0.0

    @property
    def share(self) -> float:
        """The share of samples on time; 1 without any."""
        return self.on_time / self.samples if self.samples else 1.0

    def plus(self, other: Timing) -> Timing:
        """Returns both together."""
        return Timing(
            self.samples + other.samples,
            self.on_time + other.on_time,
            self.skipped + other.skipped,
            max(self.worst_s, other.worst_s),
        )


def judge(times_s: Sequence[float], lives: Iterable[tuple[float, float]], interval_s: float) -> Timing:
    """Returns the timing of samples within `lives`, which are spans of the same clock.

    The first sample of a life is not on the grid. Grid points count from the second one to shortly before the end.
    """
    whole = Timing()
    for began_s, ended_s in lives:
        on_grid = sorted(time_s for time_s in times_s if began_s <= time_s <= ended_s)[1:]
        if on_grid:
            whole = whole.plus(_of_life(on_grid, ended_s, interval_s))
    return whole


def _of_life(times_s: Sequence[float], ended_s: float, interval_s: float) -> Timing:
    points = {math.floor((time_s + HAIR_S) / interval_s) for time_s in times_s}
    last = max(*points, math.floor(ended_s / interval_s) - 2)
    late_s = [max(0.0, (time_s + HAIR_S) % interval_s - HAIR_S) for time_s in times_s]
    return Timing(
        samples=len(times_s),
        on_time=sum(each <= LATE_S for each in late_s),
        skipped=last - min(points) + 1 - len(points),
        worst_s=max(late_s),
    )
