"""Runs `hltmode` with a wall clock that is ahead of the real one and once steps further ahead.

`python -m benchmarks.stepped_clock AHEAD_S STEP_AT_S THEN_AHEAD_S collector run …`; the step is at that real Unix time.
"""

from __future__ import annotations

import sys
import time
from typing import Final, NamedTuple

DAY_S: Final = 86400.0
real_time_s: Final = time.time


class SteppedClock(NamedTuple):
    """Ahead of the real clock by `ahead_s`, from `step_at_s` (real Unix seconds) on by `then_ahead_s`."""

    ahead_s: float = 0.0
    step_at_s: float = float("inf")
    then_ahead_s: float = 0.0

    def at(self, real_s: float) -> float:
        """Returns what it shows at that real time."""
        return real_s + (self.ahead_s if real_s < self.step_at_s else self.then_ahead_s)

    def now(self) -> float:
        """Returns what it shows."""
        return self.at(real_time_s())


def over_two_midnights(first_s: float, step_s: float, second_s: float) -> SteppedClock:
    """Returns a clock that shows midnight at these two real times, to a second; it steps at the one between.

    Steps are whole seconds, so that a grid of samples stays where it is.
    """
    ahead_s = round(-first_s % DAY_S)
    return SteppedClock(ahead_s, step_s, ahead_s + DAY_S - round(second_s - first_s))


def main() -> None:
    clock = SteppedClock(*map(float, sys.argv[1:4]))
    time.time = clock.now
    from hltmode.main import main as hltmode  # noqa: PLC0415 - whatever it imports takes the clock from here on

    sys.argv[1:] = sys.argv[4:]
    hltmode()


if __name__ == "__main__":
    main()
