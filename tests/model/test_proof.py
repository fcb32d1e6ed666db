"""The machine keeps its promises in every world within the bound; a machine with a fault does not."""

from __future__ import annotations

import pytest

from tests.model import diagram
from tests.model.explore import Explored
from tests.model.faults import FOUND, SEEDED, Fault, seeded
from tests.model.proof import explored_for_ci, shortest_story
from tests.model.story import told

LONGEST_STORY = 12

pytestmark = [pytest.mark.xdist_group("model"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explored_for_ci()


def test_every_promise_is_kept_in_every_world_within_the_bound(explored: Explored) -> None:
    assert not explored.violations, told(explored.heart, explored.violations[0])
    assert explored.worlds > 100_000


def test_the_manual_shows_the_transitions_that_there_are(explored: Explored) -> None:
    text = diagram.MANUAL.read_text()
    assert diagram.in_manual(text, diagram.section(explored)) == text, "stale: make diagrams"


@pytest.mark.parametrize("fault", [*SEEDED, *FOUND], ids=lambda fault: fault.name)
def test_a_fault_is_found_and_told_in_a_short_story(fault: Fault) -> None:
    with seeded(fault):
        story = shortest_story()
    assert f"promise {fault.promise} is broken" in story, story
    assert len(story.splitlines()) <= LONGEST_STORY, story


def test_there_is_a_fault_for_every_promise() -> None:
    assert {fault.promise for fault in SEEDED} == set("1234567")
