"""The machine keeps its promises in every world within the bound; a machine with a fault does not."""

from __future__ import annotations

import pytest

from tests.model.explore import Explored, Explorer
from tests.model.faults import FOUND, SEEDED, Fault, seeded
from tests.model.firsts import every_first
from tests.model.heart import small_counts
from tests.model.story import told

CI_BOUND = 4
FAULTS_BOUND = 3
LONGEST_STORY = 12

pytestmark = [pytest.mark.xdist_group("model"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def explored() -> Explored:
    with small_counts():
        return Explorer(every_first).explore(CI_BOUND)


def test_every_promise_is_kept_in_every_world_within_the_bound(explored: Explored) -> None:
    assert not explored.violations, told(explored.heart, explored.violations[0])
    assert explored.worlds > 100_000


@pytest.mark.parametrize("fault", [*SEEDED, *FOUND], ids=lambda fault: fault.name)
def test_a_fault_is_found_and_told_in_a_short_story(fault: Fault) -> None:
    with small_counts(), seeded(fault):
        story = shortest_story()
    assert f"promise {fault.promise} is broken" in story, story
    assert len(story.splitlines()) <= LONGEST_STORY, story


def shortest_story() -> str:
    """Returns the story with the fewest disturbances."""
    for bound in range(FAULTS_BOUND + 1):
        found = Explorer(every_first).explore(bound)
        if found.violations:
            return told(found.heart, found.violations[0])
    return "nothing was found"


def test_there_is_a_fault_for_every_promise() -> None:
    assert {fault.promise for fault in SEEDED} == set("1234567")
