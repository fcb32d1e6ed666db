"""The machine keeps its promises in every world within the bound; a machine with a fault does not."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from contract.modes import Wanted
from contract.paths import RunRef
from contract.request import Request
from switcher import machine
from switcher.events import (
    Event,
    IgniterSaid,
    Requested,
    RunAppeared,
    RunChecked,
    RunEnded,
    Said,
    Started,
    Timer,
    TokensMoved,
    TokensSeen,
    Woke,
    WorkEnded,
)
from switcher.states import Run, State, Verb
from tests.model import diagram
from tests.model.explore import Explored
from tests.model.faults import FOUND, SEEDED, Fault, seeded
from tests.model.heart import Heart, normal, orders_of, small_counts
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


RUNS = (RunRef(1), RunRef(2))
ANSWERS = (
    *(IgniterSaid(verb, said) for verb in (Verb.START, Verb.STOP) for said in (Said.DONE, Said.ERROR)),
    *(IgniterSaid(Verb.STATUS, said) for said in (Said.RUNNING, Said.NOT_RUNNING, Said.ERROR)),
)
EVENTS: tuple[Event, ...] = (
    *ANSWERS,
    *(TokensMoved(to, error) for to in Wanted for error in ("", "core0: not permitted")),
    *(TokensSeen(count, 2 - count) for count in range(3)),
    *(Woke(timer) for timer in Timer),
    *(RunAppeared(ref) for ref in RUNS),
    *(RunChecked(ref, ongoing) for ref in RUNS for ongoing in (True, False, None)),
    *(kind(ref.number) for ref in RUNS for kind in (RunEnded, WorkEnded)),
    *(
        Started(in_cloud=count, outside=2 - count, working=working, lying=(), rebooted=rebooted)
        for count in range(3)
        for working in ((), (Run(RUNS[0]),))
        for rebooted in (False, True)
    ),
)


@pytest.mark.parametrize("seed", range(8))
def test_a_state_in_its_normal_form_behaves_like_the_state_itself(seed: int) -> None:
    """Given what any events made, the normal form orders the same and becomes the same, whatever comes next."""
    dice = random.Random(seed)
    heart, state = Heart(lambda *_: None, lambda _: None), State()
    with small_counts():
        for number in range(2000):
            itself = same = dice.choice(EVENTS)
            if dice.random() < 0.3:
                who = dice.choice(("hand", "client"))
                wish = Request(
                    id=f"{who}-{number}",
                    to=dice.choice(tuple(Wanted)),
                    who=who,
                    reason="because",
                    hurry=dice.random() < 0.3,
                    deadline_s=dice.choice((None, 1.0, 300.0)),
                )
                itself, same = Requested(wish), Requested(replace(wish, id=f"{who}-new"))
            became, ordered, _ = heart.step(heart.number(state), same)
            before = state
            state, effects = machine.step(before, itself)
            assert ordered == orders_of(before, state, effects), (before, itself)
            assert heart.states[became] == normal(state), (before, itself)
