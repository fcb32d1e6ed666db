"""The heart of the automation: the cloud waits for everything, HLT for nothing, and nobody flaps."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.beam import BeamMode
from contract.modes import Wanted
from fleet.follow.beam import Beam, heard, lasted_s, resumed, silent
from fleet.follow.decision import (
    MOST_SELDOM_S,
    Act,
    Because,
    Course,
    Decision,
    Situation,
    after,
    decide,
    resumed_course,
    wish,
)
from fleet.follow.policy import Policy, Rule, Want, span

GAP = frozenset({BeamMode.RAMP_DOWN, BeamMode.NO_BEAM})
POLICY = Policy(
    rules=(
        Rule(name="gap", modes=GAP, want=Want.CLOUD, after_s=600.0, keep=100),
        Rule(name="long gap", modes=frozenset({BeamMode.CYCLING}), want=Want.CLOUD, after_s=60.0, keep=20),
        Rule(name="dump", modes=frozenset({BeamMode.BEAM_DUMP}), want=Want.STAY),
        Rule(name="beam", modes=frozenset({BeamMode.SETUP, BeamMode.STABLE_BEAMS}), want=Want.HLT),
    ),
    patience_s=120.0,
    between_s=1800.0,
    again_s=60.0,
)
SENT = Course(to=Wanted.CLOUD, keep=100, cloud_s=0.0)


def beam(mode: BeamMode, for_s: float, now_s: float = 10_000.0, trouble: str = "", quiet_s: float = 0.0) -> Beam:
    begun = heard(Beam(heard_s=now_s - for_s), mode, now_s - for_s, POLICY.patience_s)
    return replace(begun, heard_s=now_s - quiet_s, trouble=trouble)


def situation(mode: BeamMode, for_s: float, **more: object) -> Situation:
    return replace(Situation(now_s=10_000.0, beam=beam(mode, for_s)), **more)


def test_the_cloud_waits_until_the_modes_of_a_rule_have_lasted_together() -> None:
    early = decide(POLICY, situation(BeamMode.NO_BEAM, 599.0))
    assert (early.act, early.because, early.wanted) == (Act.WAIT, Because.LASTING, Wanted.CLOUD)
    both = heard(beam(BeamMode.RAMP_DOWN, 600.0, 9_900.0), BeamMode.NO_BEAM, 9_900.0, 120.0)
    both = heard(both, BeamMode.NO_BEAM, 10_000.0, 120.0)
    found = decide(POLICY, Situation(now_s=10_000.0, beam=both))
    assert (found.act, found.keep) == (Act.TO_CLOUD, 100)
    assert found.reason == "NO BEAM: gap, for 11 min"


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"hold": "anna: study"}, Because.HELD),
        ({"under_way": Wanted.HLT}, Because.UNDER_WAY),
        ({"settling": True}, Because.UNDER_WAY),
        ({"course": Course(cloud_s=9_000.0)}, Because.PAUSE),
        ({"course": SENT}, Because.ALREADY),
        ({"beam": beam(BeamMode.NO_BEAM, 700.0, trouble="not reached", quiet_s=30.0)}, Because.OLD_NEWS),
    ],
)
def test_what_stands_against_a_turn_to_the_cloud_is_named(changes: dict[str, object], because: Because) -> None:
    found = decide(POLICY, situation(BeamMode.NO_BEAM, 700.0, **changes))
    assert (found.act, found.because) == (Act.WAIT, because)


@pytest.mark.parametrize("mode", [BeamMode.SETUP, BeamMode.STABLE_BEAMS, BeamMode.ABORT])
@pytest.mark.parametrize("hold", ["", "anna: study"])
@pytest.mark.parametrize("trouble", ["", "not reached"])
def test_the_way_back_waits_for_nothing(mode: BeamMode, hold: str, trouble: str) -> None:
    for course, under_way in ((SENT, None), (SENT, Wanted.CLOUD), (Course(), Wanted.CLOUD)):
        now = situation(mode, 0.0, hold=hold, course=course, under_way=under_way)
        found = decide(POLICY, replace(now, beam=replace(now.beam, trouble=trouble)))
        assert (found.act, found.wanted) == (Act.TO_HLT, Wanted.HLT)


def test_a_rule_that_keeps_fewer_sends_more_and_one_that_keeps_more_brings_none_back() -> None:
    longer = situation(BeamMode.CYCLING, 700.0, course=SENT)
    assert decide(POLICY, longer).keep == 20
    further = replace(longer, course=replace(SENT, keep=10))
    assert decide(POLICY, further).because is Because.ALREADY


def test_a_rule_may_want_no_change() -> None:
    for course, under_way in ((SENT, Wanted.CLOUD), (Course(), None)):
        found = decide(POLICY, situation(BeamMode.BEAM_DUMP, 9_000.0, course=course, under_way=under_way))
        assert (found.act, found.wanted, found.because) == (Act.WAIT, None, Because.STAY)


def test_a_hold_breaks_off_an_exclusion_and_after_its_release_the_rest_is_sent() -> None:
    now = situation(BeamMode.NO_BEAM, 9_000.0, course=SENT, under_way=Wanted.CLOUD, hold="anna: study")
    found = decide(POLICY, now)
    assert found.act is Act.CUT_SHORT
    course = after(SENT, found, now.now_s)
    assert decide(POLICY, replace(now, course=course)).because is Because.HELD
    assert decide(POLICY, replace(now, course=course, under_way=None, hold="")).act is Act.TO_CLOUD


def test_nodes_that_are_not_back_are_asked_again_more_and_more_seldom() -> None:
    course, asked = after(SENT, Decision(act=Act.TO_HLT, reason="", wanted=Wanted.HLT), 10_000.0), [10_000.0]
    now_s = 10_000.0
    while len(asked) < 9:
        now_s += 5.0
        there = Situation(now_s=now_s, beam=beam(BeamMode.SETUP, 0.0, now_s), course=course, owed=3)
        found = decide(POLICY, there)
        if found.act is Act.TO_HLT:
            assert found.reason.endswith("3 nodes are still away")
            course = after(course, found, now_s)
            asked.append(now_s)
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0]


@pytest.mark.parametrize(
    ("changes", "act", "because"),
    [
        ({"owed": 0}, Act.WAIT, Because.UNDER_WAY),
        ({"owed": 2, "course": Course(asked_s=9_941.0, asked=1)}, Act.WAIT, Because.PAUSE),
        ({"owed": 2, "course": Course(asked_s=9_940.0, asked=1)}, Act.TO_HLT, Because.DECIDED),
    ],
)
def test_whoever_was_sent_late_is_asked_back_while_others_are(
    changes: dict[str, object], act: Act, because: Because
) -> None:
    found = decide(POLICY, situation(BeamMode.SETUP, 0.0, under_way=Wanted.HLT, settling=True, **changes))
    assert (found.act, found.because, found.wanted) == (act, because, Wanted.HLT)


def test_silence_wants_hlt_after_its_patience_and_says_why() -> None:
    quiet = beam(BeamMode.NO_BEAM, 900.0, trouble="not reached", quiet_s=121.0)
    found = decide(POLICY, Situation(now_s=10_000.0, beam=quiet, course=SENT))
    assert (found.act, found.reason) == (Act.TO_HLT, "no beam mode for 2 min 1 s: not reached")
    patient = beam(BeamMode.NO_BEAM, 900.0, trouble="not reached", quiet_s=119.0)
    assert decide(POLICY, Situation(now_s=10_000.0, beam=patient, course=SENT)).act is Act.WAIT


def test_a_mode_begins_anew_after_a_silence_that_was_too_long_and_goes_on_after_a_short_one() -> None:
    short = heard(beam(BeamMode.NO_BEAM, 900.0), BeamMode.NO_BEAM, 10_119.0, 120.0)
    assert lasted_s(short, lambda mode: mode in GAP, 10_119.0) == 1019.0
    long = heard(beam(BeamMode.NO_BEAM, 900.0), BeamMode.NO_BEAM, 10_121.0, 120.0)
    assert lasted_s(long, lambda mode: mode in GAP, 10_121.0) == 0.0
    assert [stay.mode for stay in long.stays] == [BeamMode.NO_BEAM, None, BeamMode.NO_BEAM]


def test_one_who_was_away_listens_first_and_does_not_call_the_farm_back() -> None:
    back = resumed(beam(BeamMode.NO_BEAM, 900.0), 10_000.0, 20_000.0, POLICY.patience_s)
    found = decide(POLICY, Situation(now_s=20_001.0, beam=back, course=SENT))
    assert (found.act, found.because) == (Act.WAIT, Because.LISTENING)
    assert decide(POLICY, Situation(now_s=20_121.0, beam=back, course=SENT)).act is Act.TO_HLT
    soon = resumed(beam(BeamMode.NO_BEAM, 900.0), 10_000.0, 10_005.0, POLICY.patience_s)
    again = heard(soon, BeamMode.NO_BEAM, 10_006.0, POLICY.patience_s)
    assert lasted_s(again, lambda mode: mode in GAP, 10_006.0) == 906.0


def test_one_who_dies_again_and_again_notices_a_silence_as_well() -> None:
    now_s, there = 10_000.0, beam(BeamMode.NO_BEAM, 900.0)
    for _ in range(15):
        now_s += 10.0
        there = resumed(there, now_s - 10.0, now_s, POLICY.patience_s)
    assert decide(POLICY, Situation(now_s=now_s, beam=there, course=SENT)).act is Act.TO_HLT


def test_a_clock_that_was_set_back_delays_nothing() -> None:
    there = resumed(beam(BeamMode.NO_BEAM, 900.0), 10_000.0, 5_000.0, POLICY.patience_s)
    assert decide(POLICY, Situation(now_s=5_121.0, beam=there, course=SENT)).act is Act.TO_HLT
    course = resumed_course(Course(cloud_s=9_000.0, asked_s=9_999.0, asked=1), 5_000.0)
    assert (course.cloud_s, course.asked_s) == (5_000.0, 5_000.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.4, "3 s"), (60, "1 min"), (125, "2 min 5 s"), (601, "10 min"), (7500, "2 h 5 min")]
)
def test_times_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert span(seconds) == words


# Whatever happens


class Happens(NamedTuple):
    """For `for_s` the source says `mode` (None: nothing), and somebody may hold the policy."""

    mode: BeamMode | None
    for_s: int
    held: bool
    lasts_s: int  # an operation that begins now


MODES = st.none() | st.sampled_from(BeamMode) | st.sampled_from([BeamMode.NO_BEAM, BeamMode.RAMP_DOWN, BeamMode.SETUP])
STORIES = st.lists(
    st.builds(Happens, MODES, st.sampled_from([20, 40, 140, 620, 1900]), st.booleans(), st.sampled_from([10, 300])),
    min_size=1, max_size=12,
)  # fmt: skip


class Moment(NamedTuple):
    now: Situation
    decision: Decision


def told(story: list[Happens], owed_when_back: int) -> list[Moment]:
    """Drives the heart through a story in steps of 20 s, as the shell does."""
    now_s, the_beam, course = 0.0, Beam(heard_s=0.0), Course()
    way: Wanted | None = None
    over_s = 0.0
    moments = []
    for part in story:
        for _ in range(part.for_s // 20):
            now_s += 20.0
            if part.mode is None:
                the_beam = silent(replace(the_beam, trouble="nothing"), now_s, POLICY.patience_s)
            else:
                the_beam = heard(the_beam, part.mode, now_s, POLICY.patience_s)
            if way is not None and now_s >= over_s:
                way = None
            owed = owed_when_back if course.to is Wanted.HLT and course.asked else 0
            now = Situation(
                now_s=now_s, beam=the_beam, course=course, hold="anna: study" if part.held else "", under_way=way,
                owed=owed,
            )  # fmt: skip
            decision = decide(POLICY, now)
            moments.append(Moment(now, decision))
            course = after(course, decision, now_s)
            if decision.act in (Act.TO_CLOUD, Act.TO_HLT):
                way = Wanted.CLOUD if decision.act is Act.TO_CLOUD else Wanted.HLT
                over_s = now_s + part.lasts_s
    return moments


@settings(max_examples=30, deadline=None)
@given(STORIES, st.integers(0, 3))
def test_it_never_flaps(story: list[Happens], owed: int) -> None:
    turns = [moment for moment in told(story, owed) if moment.decision.act is Act.TO_CLOUD]
    for earlier, later in pairwise(turns):
        assert later.now.now_s - earlier.now.now_s >= POLICY.between_s
    for moment in turns:
        now = moment.now
        assert now.beam.mode is not None
        rule = POLICY.rule(now.beam.mode)
        assert rule is not None
        assert rule.want is Want.CLOUD
        lasted = lasted_s(now.beam, rule.modes.__contains__, now.now_s)
        assert lasted is not None
        assert lasted >= rule.after_s
        assert not now.hold
        assert not now.beam.trouble
        assert now.under_way is None


@settings(max_examples=30, deadline=None)
@given(STORIES, st.integers(0, 3))
def test_hlt_always_wins(story: list[Happens], owed: int) -> None:
    for now, decision in told(story, owed):
        if wish(POLICY, now.beam, now.now_s).want is Want.HLT:
            assert decision.wanted is Wanted.HLT
            assert decision.act in (Act.TO_HLT, Act.WAIT)
            if now.under_way is Wanted.CLOUD or now.course.to is Wanted.CLOUD:
                assert decision.act is Act.TO_HLT
            asked_s = now.course.asked_s
            overdue = asked_s is None or now.now_s - asked_s >= MOST_SELDOM_S
            if now.owed and overdue:  # also while others are on their way back
                assert decision.act is Act.TO_HLT
        else:
            assert decision.act is not Act.TO_HLT


@settings(max_examples=30, deadline=None)
@given(STORIES, st.integers(0, 3))
def test_silence_leads_to_hlt_and_a_hold_sends_nobody(story: list[Happens], owed: int) -> None:
    for now, decision in told(story, owed):
        if now.now_s - now.beam.heard_s > POLICY.patience_s:
            assert decision.wanted is Wanted.HLT
        if now.hold:
            assert decision.act is not Act.TO_CLOUD
            if now.under_way is Wanted.CLOUD and not now.course.cut_short:
                assert decision.act in (Act.CUT_SHORT, Act.TO_HLT)
