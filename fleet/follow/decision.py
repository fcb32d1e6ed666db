"""The heart of the automation: from a policy and a situation to a decision. Pure; no clock, no farm, no file.

HLT always wins: nothing delays it, no hold stops it, and whenever the beam mode is not known it is what is wanted. The
cloud has to wait for everything: a mode that has lasted, a pause since the last turn, a source that answers, no hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from contract.modes import Wanted
from fleet.follow.beam import Beam, lasted_s
from fleet.follow.policy import Policy, Rule, Want, span

MOST_SELDOM_S: Final = 1800.0


class Act(StrEnum):
    """What is to be done now."""

    WAIT = "wait"
    TO_CLOUD = "to cloud"
    TO_HLT = "to HLT"
    CUT_SHORT = "cut short"  # the exclusion under way asks nobody more; those on their way go on


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """Which way was decided last; `keep` nodes were to stay. `cloud_s` is when a turn to the cloud was decided last.

    `cut_short`: a hold broke off the turn, so it may be taken up again. `asked_s` and `asked` are when, and how often
    in a row, nodes were asked back.
    """

    to: Wanted = Wanted.HLT
    keep: int = 0
    cloud_s: float | None = None
    cut_short: bool = False
    asked_s: float | None = None
    asked: int = 0


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision is made of.

    `hold` says who holds the policy and why; `under_way` is where an operation of our own is going, `settling` that
    nodes of a called-off exclusion of ours may still be on their way; `owed` is how many nodes that we have moved are
    away and could be asked back now, without those whom we are asking.
    """

    now_s: float
    beam: Beam
    course: Course = Course()
    hold: str = ""
    under_way: Wanted | None = None
    settling: bool = False
    owed: int = 0


class Because(StrEnum):
    """Why nothing is done, as one word for each kind of reason."""

    DECIDED = ""
    STAY = "the rule wants no change"
    LISTENING = "no beam mode heard yet"
    ALREADY = "decided already"
    UNDER_WAY = "an operation is under way"
    HELD = "on hold"
    OLD_NEWS = "the beam mode is old news"
    LASTING = "the mode has not lasted"
    PAUSE = "too soon after the last turn"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do and why; `wanted` is where the policy wants the farm now (None: where it is)."""

    act: Act
    reason: str
    wanted: Wanted | None
    because: Because = Because.DECIDED
    keep: int = 0


class Wish(NamedTuple):
    """Where the farm is wanted, by which rule, and why."""

    want: Want
    reason: str
    rule: Rule | None = None


def wish(policy: Policy, beam: Beam, now_s: float) -> Wish:
    """Returns where the policy wants the farm, before anything that may stand against it."""
    quiet_s = now_s - beam.heard_s
    trouble = f": {beam.trouble}" if beam.trouble else ""
    if quiet_s > policy.patience_s:
        return Wish(Want.HLT, f"no beam mode for {span(quiet_s)}{trouble}")
    if beam.mode is None:
        return Wish(Want.STAY, f"no beam mode heard yet{trouble}")
    rule = policy.rule(beam.mode)
    if rule is None:
        return Wish(Want.HLT, f"{beam.mode}: no rule names it")
    return Wish(rule.want, f"{beam.mode}: {rule.name}", rule)


def decide(policy: Policy, situation: Situation) -> Decision:
    """Returns what is to be done now."""
    found = wish(policy, situation.beam, situation.now_s)
    if found.want is Want.HLT:
        return _towards_hlt(policy, situation, found.reason)
    wanted = Wanted.CLOUD if found.want is Want.CLOUD else None
    if situation.hold and situation.under_way is Wanted.CLOUD and not situation.course.cut_short:
        return Decision(act=Act.CUT_SHORT, reason=f"on hold by {situation.hold}", wanted=wanted)
    if found.rule is None or wanted is None:
        because = Because.LISTENING if found.rule is None else Because.STAY
        return Decision(act=Act.WAIT, reason=found.reason, wanted=None, because=because)
    return _towards_cloud(policy, situation, found.rule, found.reason)


def after(course: Course, decision: Decision, now_s: float) -> Course:
    """Returns the course once a decision is carried out."""
    match decision.act:
        case Act.TO_CLOUD:
            return Course(to=Wanted.CLOUD, keep=decision.keep, cloud_s=now_s)
        case Act.TO_HLT:
            return Course(to=Wanted.HLT, cloud_s=course.cloud_s, asked_s=now_s, asked=course.asked + 1)
        case Act.CUT_SHORT:
            return replace(course, cut_short=True)
        case Act.WAIT:
            return course


def resumed_course(course: Course, now_s: float) -> Course:
    """Returns a course that was kept, for one whose clock may have been set back since: nothing is newer than now."""
    cloud_s, asked_s = (None if when is None else min(when, now_s) for when in (course.cloud_s, course.asked_s))
    return replace(course, cloud_s=cloud_s, asked_s=asked_s)


def _towards_hlt(policy: Policy, situation: Situation, reason: str) -> Decision:
    course = situation.course
    act, because = Act.WAIT, Because.ALREADY
    if situation.under_way is Wanted.CLOUD or course.to is Wanted.CLOUD:
        act, because = Act.TO_HLT, Because.DECIDED
    elif situation.owed:  # also while others are asked: whoever was sent late is not to wait for the slowest of them
        wait_s = min(policy.again_s * 2.0 ** min(max(0, course.asked - 1), 10), MOST_SELDOM_S)
        if course.asked_s is None or situation.now_s - course.asked_s >= wait_s:
            act, because = Act.TO_HLT, Because.DECIDED
            reason = f"{reason}; {situation.owed} nodes are still away"
        else:
            because = Because.PAUSE
    elif situation.under_way is not None:
        because = Because.UNDER_WAY
    return Decision(act=act, reason=reason, wanted=Wanted.HLT, because=because)


def _towards_cloud(policy: Policy, situation: Situation, rule: Rule, reason: str) -> Decision:
    def wait(because: Because, words: str) -> Decision:
        return Decision(act=Act.WAIT, reason=f"{reason}; {words}", wanted=Wanted.CLOUD, because=because)

    course, now_s = situation.course, situation.now_s
    if course.to is Wanted.CLOUD and not course.cut_short and rule.keep >= course.keep:
        return wait(Because.ALREADY, "the farm was sent already")
    if situation.hold:
        return wait(Because.HELD, f"on hold by {situation.hold}")
    if situation.under_way is not None or situation.settling:
        return wait(Because.UNDER_WAY, "an operation is under way")
    if situation.beam.trouble:
        return wait(Because.OLD_NEWS, f"not before the source answers: {situation.beam.trouble}")
    lasted = lasted_s(situation.beam, rule.modes.__contains__, now_s) or 0.0
    if lasted < rule.after_s:
        return wait(Because.LASTING, f"for {span(lasted)} of {span(rule.after_s)}")
    if course.cloud_s is not None and now_s - course.cloud_s < policy.between_s:
        left_s = policy.between_s - (now_s - course.cloud_s)
        return wait(Because.PAUSE, f"the last turn to the cloud is too recent, {span(left_s)} left")
    words = f"{reason}, for {span(lasted)}"
    return Decision(act=Act.TO_CLOUD, reason=words, wanted=Wanted.CLOUD, keep=rule.keep)
