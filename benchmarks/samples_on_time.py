"""How near the samples of real collectors came to the grid, as their logs tell."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.agents import Agent, Life
from benchmarks.figures import Figure
from benchmarks.on_time import LATE_S, Timing, judge
from benchmarks.stepped_clock import SteppedClock
from collector.documents import BOX
from collector.log.reading import opened


def timing_of(agents: Sequence[Agent], interval_s: float, days: Life, clock: SteppedClock | None = None) -> Timing:
    """Returns the timing of all samples that all agents took within `days`, by `clock` if they have their own."""
    whole = Timing()
    for agent in agents:
        lives = [part for life in agent.lives for part in _lived(life, days, clock)]
        with opened(agent.log) as connection:
            rows = connection.execute("SELECT time FROM documents WHERE kind = ?", (BOX,))
            whole = whole.plus(judge([time_s for (time_s,) in rows], lives, interval_s))
    return whole


def timing_figures(timing: Timing, interval_s: float, beside: str) -> list[Figure]:
    """Returns how the samples came."""
    detail = f"{timing.on_time} of {timing.samples}; the worst {timing.worst_s * 1e3:.0f} ms; {beside}"
    return [
        Figure(f"samples within {LATE_S * 1e3:g} ms", 99, 100 * timing.share, "%", detail, at_least=True),
        Figure("samples skipped", 0, timing.skipped, "", f"points of the {interval_s:g} s grid while an agent lived"),
    ]


def _lived(life: Life, days: Life, clock: SteppedClock | None) -> list[tuple[float, float]]:
    """Returns a life as far as it lies within `days`, before and after the step of the clock."""
    began_s, ended_s = max(life.began_s, days.began_s), min(life.ended_s, days.ended_s)
    if began_s >= ended_s:
        return []
    if clock is None:
        return [(began_s, ended_s)]
    step_s = clock.step_at_s
    halves = [(began_s, step_s - 1e-6), (step_s, ended_s)] if began_s < step_s < ended_s else [(began_s, ended_s)]
    return [(clock.at(a), clock.at(b)) for a, b in halves]
