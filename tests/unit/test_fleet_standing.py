"""Every node of an operation ends in the class that fits what happened to it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.modes import Mode, Wanted
from contract.request import Verdict
from fleet.standing import (
    ENDED,
    GOOD,
    Answered,
    Asked,
    Called,
    CalledOff,
    Denied,
    Event,
    Late,
    NoAnswer,
    NodeState,
    NotSent,
    Seen,
    Standing,
    step,
)

OURS = "op-1"
ACCEPTED = Answered(Verdict.ACCEPTED)
DRAINS = Seen(mode=Mode.ACTIVATING_CLOUD, switch_id=OURS, blocker="run 7: 2 jobs")
HANGS = Seen(mode=Mode.ACTIVATING_CLOUD, switch_id=OURS, blocker="run 7: 2 jobs", stuck=True)
LOST = NoAnswer("connection reset")
DOWN = NotSent("connection refused")
ALREADY = Answered(Verdict.ALREADY, "since r3")
BARRED = Denied("403: bearer token wanted")
IDLE = Seen(mode=Mode.HLT, whole=True)
THERE = Seen(mode=Mode.CLOUD, vms="up", whole=True)
JOINS = Seen(mode=Mode.ACTIVATING_CLOUD, switch_id="r3", whole=True)


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
        ([Asked(), ALREADY, THERE], Standing.ALREADY, "since r3"),
        ([Asked(), ALREADY, JOINS, THERE], Standing.ALREADY, "since r3"),
        ([Asked(), ALREADY, JOINS, told("done")], Standing.ALREADY, "why"),
        ([Asked(), ALREADY, JOINS, told("refused")], Standing.REFUSED, "why"),
        ([Asked(), ALREADY, JOINS, told("superseded")], Standing.SUPERSEDED, "why"),
        ([Asked(), ALREADY, JOINS, told("vms_failed")], Standing.FAILED, "why"),
        ([Asked(), ALREADY, JOINS, Late()], Standing.GOING_ON, ""),
        ([Asked(), ALREADY, replace(THERE, vms="starting"), THERE], Standing.ALREADY, "since r3"),
        ([Asked(), LOST, replace(THERE, heard=Verdict.ALREADY, why="since r2")], Standing.ALREADY, "since r2"),
        (
            [Asked(), ALREADY, replace(THERE, vms="failed", blocker="next try")],
            Standing.FAILED,
            "in cloud since an earlier request, without VMs: next try",
        ),
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
        (
            [Asked(), ACCEPTED, DRAINS, LOST, Late()],
            Standing.UNREACHABLE,
            "accepted, then fell silent: connection reset",
        ),
        ([Asked(), ACCEPTED, HANGS, LOST, HANGS, Late()], Standing.STUCK, "run 7: 2 jobs"),
        ([Asked(), LOST, IDLE, Late()], Standing.FAILED, "it answers, but took no request: connection reset"),
        ([Called(), LOST, Late()], Standing.UNREACHABLE, "connection reset"),
        ([Called(), BARRED], Standing.REFUSED, "403: bearer token wanted"),
        ([Asked(), NotSent(BARRED.words), BARRED], Standing.REFUSED, "403: bearer token wanted"),
        ([Asked(), LOST, BARRED, told("done")], Standing.DONE, "why"),
        ([Asked(), ACCEPTED, IDLE, Asked(), ACCEPTED, told("done")], Standing.DONE, "why"),
        ([Asked(), ACCEPTED, THERE], Standing.DONE, "seen in its mode; its journal has lost it"),
        ([Asked(), ACCEPTED, replace(IDLE, whole=False), told("done")], Standing.DONE, "why"),
        ([Asked(), ACCEPTED, replace(JOINS, whole=False), told("superseded")], Standing.SUPERSEDED, "why"),
        ([CalledOff()], Standing.LEFT_OUT, "not asked: called off"),
        ([CalledOff("3 of 4 are bad")], Standing.LEFT_OUT, "not asked: 3 of 4 are bad"),
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


def test_an_old_node_is_already_there_only_if_it_was_so_before_it_was_asked() -> None:
    seen = Seen(mode=Mode.CLOUD, certain=False)
    assert after(Called(), seen).standing is Standing.ALREADY
    assert after(Called(), Asked(), LOST, seen).standing is Standing.DONE
    assert after(Called(), Asked(), DOWN, seen).standing is Standing.ALREADY


def test_a_node_that_forgot_is_asked_again() -> None:
    node = after(Asked(), ACCEPTED, IDLE)
    assert (node.standing, node.tries) == (Standing.ASKED, 1)
    assert not after(Asked(), ACCEPTED, THERE).certain


def test_the_time_of_a_node_begins_when_it_is_really_asked() -> None:
    moments = [after(*events).asked_s for events in ([Called()], [Called(), LOST, Asked()], [Asked(), DOWN, Asked()])]
    assert moments == [0.0, 2.0, 2.0]


def test_the_time_of_a_node_that_answers_looks_and_no_request_still_ends() -> None:
    again: list[Event] = [IDLE, Asked(), DOWN]
    assert {after(Called(), *again * n).asked_s for n in (1, 2, 9)} == {2.0}
    assert {after(Asked(), DOWN, *again * n).asked_s for n in (1, 2, 9)} == {3.0}


def test_tries_count_what_may_have_been_heard() -> None:
    assert [after(Asked(), *events).tries for events in ((), (LOST,), (DOWN,), (DOWN, Asked(), LOST))] == [1, 1, 0, 1]


def test_a_node_that_is_seen_in_its_mode_is_not_done_before_its_journal_says_so() -> None:
    assert after(Asked(), ACCEPTED, Seen(mode=Mode.CLOUD)).standing is Standing.SWITCHING
    assert after(Asked(), LOST, Seen(mode=Mode.CLOUD)).standing is Standing.ASKED


EVENTS: st.SearchStrategy[Event] = st.sampled_from(
    [
        *(Called(), Asked(), ACCEPTED, ALREADY, Answered(Verdict.REFUSED), Answered(Verdict.NEWER), LOST, DOWN, BARRED),
        *(DRAINS, HANGS, IDLE, JOINS, told("done"), told("vms_failed"), told("superseded"), Late(), CalledOff()),
    ]
)


@given(st.lists(EVENTS, max_size=14))
def test_an_end_is_an_end_and_good_only_if_the_node_said_so(events: list[Event]) -> None:
    nodes = [after(*events[:n]) for n in range(len(events) + 1)]
    for before, node in pairwise(nodes):
        assert before.standing not in ENDED or node == before
        assert (node.ended_s is not None) == (node.standing in ENDED)
        assert node.standing is not Standing.WAITING or before.standing is Standing.WAITING
    last = nodes[-1]
    if last.standing in GOOD:
        assert told("done") in events
        assert ALREADY in events or last.standing is Standing.DONE
    if last.standing is Standing.SWITCHING:
        assert {ACCEPTED, ALREADY, DRAINS, HANGS} & set(events)
    assert after(*events, Late()).standing in ENDED
