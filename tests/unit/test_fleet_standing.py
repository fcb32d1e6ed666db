"""Every node of an operation ends in the class that fits what happened to it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.modes import Mode, Wanted
from contract.request import Verdict
from fleet.standing import (
    ENDED,
    GOOD,
    Answered,
    Asked,
    CalledOff,
    Event,
    Late,
    NoAnswer,
    NodeState,
    Seen,
    Standing,
    step,
)

OURS = "op-1"
ACCEPTED = Answered(Verdict.ACCEPTED)
DRAINS = Seen(mode=Mode.ACTIVATING_CLOUD, switch_id=OURS, blocker="run 7: 2 jobs")
HANGS = Seen(mode=Mode.ACTIVATING_CLOUD, switch_id=OURS, blocker="run 7: 2 jobs", stuck=True)
LOST = NoAnswer("connection reset", sent=True)
DOWN = NoAnswer("connection refused", sent=False)


def told(outcome: str) -> Seen:
    return Seen(mode=Mode.CLOUD, outcome=outcome, why="why")


def after(*events: Event, to: Wanted = Wanted.CLOUD) -> NodeState:
    node = NodeState(host="fu-1", request_id=OURS)
    for second, event in enumerate(events):
        node = step(node, event, to, float(second))
    return node


@pytest.mark.parametrize(
    ("events", "standing", "words"),
    [
        ([Asked(), ACCEPTED, DRAINS, told("done")], Standing.DONE, "why"),
        ([Asked(), Answered(Verdict.ALREADY)], Standing.ALREADY, ""),
        ([Asked(), Answered(Verdict.REFUSED, "no cloud tool")], Standing.REFUSED, "no cloud tool"),
        ([Asked(), Answered(Verdict.NEWER, "r9 came")], Standing.SUPERSEDED, "r9 came"),
        ([Asked(), ACCEPTED, told("superseded")], Standing.SUPERSEDED, "why"),
        ([Asked(), ACCEPTED, told("refused")], Standing.REFUSED, "why"),
        ([Asked(), ACCEPTED, told("vms_failed")], Standing.FAILED, "why"),
        ([Asked(), ACCEPTED, told("something new")], Standing.FAILED, "why"),
        ([Asked(), DOWN, Asked(), DOWN, Late()], Standing.UNREACHABLE, "connection refused"),
        ([Asked(), LOST, Late()], Standing.UNREACHABLE, "connection reset"),
        ([Asked(), LOST, Asked(), ACCEPTED, told("done")], Standing.DONE, "why"),
        ([Asked(), LOST, told("done")], Standing.DONE, "why"),
        ([Asked(), ACCEPTED, DRAINS, Late()], Standing.GOING_ON, "run 7: 2 jobs"),
        ([Asked(), ACCEPTED, HANGS, Late()], Standing.STUCK, "run 7: 2 jobs"),
        ([Asked(), ACCEPTED, HANGS, DRAINS, told("done")], Standing.DONE, "why"),
        ([CalledOff()], Standing.LEFT_OUT, "not asked"),
        ([Asked(), CalledOff(), ACCEPTED, told("done")], Standing.DONE, "why"),
        ([Late()], Standing.LEFT_OUT, "not asked in time"),
    ],
)
def test_what_happened_makes_the_class(events: list[Event], standing: Standing, words: str) -> None:
    node = after(*events)
    assert (node.standing, node.words) == (standing, words)
    assert node.ended_s == len(events) - 1


def test_an_old_node_is_done_when_it_is_seen_there_and_that_is_less_certain() -> None:
    old = Answered(Verdict.ACCEPTED, certain=False)
    node = after(Asked(), old, Seen(mode=Mode.CLOUD, certain=False))
    assert (node.standing, node.certain) == (Standing.DONE, False)
    assert after(Asked(), old, Seen(mode=Mode.HLT, certain=False)).standing is Standing.SWITCHING


def test_a_node_that_is_seen_in_its_mode_is_not_done_before_its_journal_says_so() -> None:
    assert after(Asked(), ACCEPTED, Seen(mode=Mode.CLOUD)).standing is Standing.SWITCHING
    assert after(Asked(), LOST, Seen(mode=Mode.CLOUD)).standing is Standing.ASKED


EVENTS: st.SearchStrategy[Event] = st.sampled_from(
    [Asked(), ACCEPTED, Answered(Verdict.REFUSED), LOST, DOWN, DRAINS, HANGS, told("done"), Late(), CalledOff()]
)


@given(st.lists(EVENTS, max_size=12))
def test_an_end_is_an_end_and_good_only_if_the_node_said_so(events: list[Event]) -> None:
    nodes = [after(*events[:n]) for n in range(len(events) + 1)]
    for before, node in pairwise(nodes):
        assert before.standing not in ENDED or node == before
    if nodes[-1].standing in GOOD:
        assert told("done") in events
    assert after(*events, Late()).standing in ENDED
