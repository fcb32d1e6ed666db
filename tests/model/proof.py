"""How far the exploration goes in CI, and the shortest story of a machine with a fault."""

from __future__ import annotations

from typing import Final

from tests.model.explore import Explored, Explorer
from tests.model.firsts import every_first
from tests.model.heart import small_counts
from tests.model.story import told

CI_BOUND: Final = 4
FAULTS_BOUND: Final = 3


def explored_for_ci() -> Explored:
    """Returns what is found within CI_BOUND disturbances."""
    with small_counts():
        return Explorer(every_first).explore(CI_BOUND)


def shortest_story() -> str:
    """Returns the story with the fewest disturbances, `nothing was found` within FAULTS_BOUND of them."""
    with small_counts():
        for bound in range(FAULTS_BOUND + 1):
            found = Explorer(every_first).explore(bound)
            if found.violations:
                return told(found.heart, found.violations[0])
    return "nothing was found"
