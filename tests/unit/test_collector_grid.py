"""The clock of the sampler, against wall clocks that are set."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from collector.grid import Reading, stepped_s, wait_s

INTERVAL_S = 5.0


def test_samples_fall_on_the_grid_of_the_wall_clock() -> None:
    wall_s = 1_800_000_001.3
    for _ in range(10):
        wall_s += wait_s(wall_s, INTERVAL_S)
        assert wall_s % INTERVAL_S == pytest.approx(0.0, abs=1e-6) or wall_s % INTERVAL_S == pytest.approx(INTERVAL_S)


def test_a_wake_just_before_the_grid_point_is_not_followed_by_one_at_the_point() -> None:
    assert wait_s(99.9999, INTERVAL_S) == pytest.approx(5.0001)


def test_a_clock_set_to_anything_brings_neither_burst_nor_pause() -> None:
    dice = random.Random(7)
    steady_s, offset_s, samples = 0.0, 1_800_000_000.0, [0.0]
    for _ in range(2000):
        steady_s += wait_s(steady_s + offset_s, INTERVAL_S) + dice.uniform(0, 0.2)
        samples.append(steady_s)
        if dice.random() < 0.2:
            offset_s += dice.choice([-1, 1]) * dice.choice([0.001, 3.0, 3600.0, 4e7])
    gaps = [after - before for before, after in pairwise(samples)]
    assert min(gaps) >= INTERVAL_S / 2
    assert max(gaps) <= INTERVAL_S * 1.5 + 0.2


@pytest.mark.parametrize(("set_by_s", "seen_s"), [(3600.0, 3600.0), (-3600.0, -3600.0), (0.4, 0.0), (-0.9, 0.0)])
def test_a_clock_that_was_set_is_told_from_one_that_ran_on(set_by_s: float, seen_s: float) -> None:
    before = Reading(1_800_000_000.0, 50.0)
    assert stepped_s(before, Reading(before.wall_s + 5.0 + set_by_s, 55.0)) == pytest.approx(seen_s)
