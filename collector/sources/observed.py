"""Switches of a node that nobody journals, made from what was seen of its mode. Pure.

Unmodified hltd keeps no journal. Its box file tells the mode every few seconds, so a switch is what lies between two
modes at rest. The modes lie on a ring, and two ways lead back:

    HLT → activatingCloud → cloud → deactivatingCloud → HLT
    activatingCloud → HLT        given up before the cores had gone: `superseded`, for hltd does so when asked back
    deactivatingCloud → cloud    given up, for the virtual machines did not stop: `vms_failed` (hltd-contract: include)

Two modes that don't follow each other were reached on the shortest way, so a switch that nobody saw on its way is
recorded all the same. What is recorded is what is known:

- A moment is the date of the first box file that shows it. It is sharp when the box before is not older than `sharp_s`;
  a first sighting, a collector that was down and a clock that was set back make it blurred.
- `duration_s` and `phases` are there when both ends are sharp. `drain` is the time in activatingCloud and `stop_vms`
  the time in deactivatingCloud: hltd doesn't tell the rest of either from it.
- Of a switch that was not seen on its way, `started` is the last sighting before it, so `duration_s` is the most that
  it can have taken; `why` says so.
- Who asked and why nobody knows; a request that hltd refused leaves no trace at all.

The state is no more than what the newest box document of the node says, so a collector carries on where it was killed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec
from msgspec.structs import replace

from collector.documents import SWITCHOVER, Captured, Document
from contract.config import Node, Switch
from contract.modes import Mode, Wanted
from contract.times import iso, unix

# Three box files: hltd writes one every 5 s, and one or two may be missed. A collector that looks less often takes
# three of its intervals.
SHARP_S: Final = 15.0

# Between host and start in the id of a switch; the second says that it began before that moment, nobody knows when.
SEEN: Final = "-seen-"
SEEN_BEFORE: Final = "-seen-before-"

_HLT, _LEAVING, _CLOUD, _RETURNING = Mode.HLT, Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD

# What was passed between two modes that don't follow each other.
PASSED: Final[dict[tuple[Mode, Mode], tuple[Mode, ...]]] = {
    (_HLT, _CLOUD): (_LEAVING,),
    (_HLT, _RETURNING): (_LEAVING, _CLOUD),
    (_LEAVING, _RETURNING): (_CLOUD,),
    (_CLOUD, _HLT): (_RETURNING,),
    (_CLOUD, _LEAVING): (_RETURNING, _HLT),
    (_RETURNING, _LEAVING): (_HLT,),
}


class Way(msgspec.Struct, frozen=True):
    """One direction of switching: where it begins and what its time counts as."""

    to: Wanted
    from_mode: Mode
    phase: str
    given_up: str


WAYS: Final = {
    _LEAVING: Way(Wanted.CLOUD, _HLT, "drain", "superseded"),
    _RETURNING: Way(Wanted.HLT, _CLOUD, "stop_vms", "vms_failed"),
}


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one node: its mode, from when to when (Unix seconds), and whether its beginning is sharp."""

    mode: Mode
    since_s: float
    seen_s: float
    sharp: bool = False

    def switch_id(self, host: str) -> str | None:
        """Returns the id of the switch under way, None at rest."""
        return _switch_id(host, self.since_s, sharp=self.sharp) if self.mode in WAYS else None


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One switch that ended, as far as it was seen. Unix seconds and seconds; without `duration_s` it is not known."""

    switch_id: str
    from_mode: Mode
    to: Wanted
    outcome: str
    why: str
    started_s: float
    ended_s: float
    duration_s: float | None
    phases: dict[str, float]
    was_stuck: bool


def follow(
    course: Course | None, mode: Mode, at_s: float, *, host: str, limits: Switch, sharp_s: float = SHARP_S
) -> tuple[Course, tuple[Observed, ...]]:
    """Returns the course of `host` after it was seen in `mode` at `at_s`, and the switches that have ended by then."""
    if course is None:
        return Course(mode=mode, since_s=at_s, seen_s=at_s), ()
    if course.mode is mode:
        # After a clock was set back no time lies between the two.
        return replace(course, seen_s=at_s, sharp=course.sharp and at_s >= course.seen_s), ()
    sharp = 0.0 <= at_s - course.seen_s <= sharp_s
    passed = [_passed(each, course, at_s, sharp=sharp) for each in PASSED.get((course.mode, mode), ())]
    after = Course(mode=mode, since_s=at_s, seen_s=at_s, sharp=sharp)
    ended = [
        _observed(before, then.mode, at_s, sharp=sharp, unseen=before in passed, host=host, limits=limits)
        for before, then in pairwise([course, *passed, after])
        if before.mode in WAYS
    ]
    return after, tuple(ended)


def _passed(mode: Mode, course: Course, at_s: float, *, sharp: bool) -> Course:
    """Returns the course through a mode that nobody saw: of its beginning the last sighting is the one bound."""
    since_s = course.seen_s if mode in WAYS else at_s
    return Course(mode=mode, since_s=since_s, seen_s=since_s, sharp=sharp)


def _observed(
    before: Course, then: Mode, at_s: float, *, sharp: bool, unseen: bool, host: str, limits: Switch
) -> Observed:
    way = WAYS[before.mode]
    done = then.value == way.to.value
    duration_s = round(at_s - before.since_s, 6) if before.sharp and sharp else None
    why = [] if done else [f"went back to {then.value}"]
    if unseen:
        why.append("not seen on its way" if duration_s is None else f"not seen on its way: {duration_s:.1f} s at most")
    elif duration_s is None:
        why.append("began unseen" if sharp else "ended unseen" if before.sharp else "began and ended unseen")
    return Observed(
        switch_id=_switch_id(host, before.since_s, sharp=before.sharp),
        from_mode=way.from_mode,
        to=way.to,
        outcome="done" if done else way.given_up,
        why="; ".join(why),
        started_s=before.since_s,
        ended_s=at_s,
        duration_s=duration_s,
        phases={} if unseen or duration_s is None else {way.phase: duration_s},
        # What was seen of it is surely a part of it, however blurred its ends are.
        was_stuck=max(duration_s or 0.0, before.seen_s - before.since_s) > limits.timeout_s(before.mode),
    )


def _switch_id(host: str, since_s: float, *, sharp: bool) -> str:
    return f"{host}{SEEN if sharp else SEEN_BEFORE}{iso(since_s)}"


def moment_s(date: str, now_s: float) -> float:
    """Returns the moment that a box file of `date` shows: its date, but none that is still to come, or is no date."""
    try:
        date_s = unix(date)
    except ValueError:
        date_s = now_s
    # As documents carry it: read again from there it is the same number.
    return unix(iso(min(date_s, now_s)))


def observed_document(switch: Observed, node: Node) -> Captured:
    """Returns the switchover document of `switch`, with an id made of host and start, so that it is kept once."""
    fields: Document = {
        "@timestamp": iso(switch.ended_s),
        "host": node.host,
        "appliance": node.appliance,
        "subsystem": node.subsystem,
        "switch_id": switch.switch_id,
        "who": "",
        "reason": "",
        "from_mode": switch.from_mode,
        "to": switch.to,
        "outcome": switch.outcome,
        "why": switch.why,
        "started": iso(switch.started_s),
        "ended": iso(switch.ended_s),
        "duration_s": switch.duration_s,
        "phases": switch.phases,
        "was_stuck": switch.was_stuck,
        "observed": True,
    }
    return Captured(
        kind=SWITCHOVER,
        host=node.host,
        time_s=switch.ended_s,
        fields={name: value for name, value in fields.items() if value is not None},
        key=f"observed-{switch.started_s * 1e6:.0f}",
    )


def course_of(box: Document) -> Course | None:
    """Returns the course that the newest box document of a node leaves off with; None when there is none to go on.

    `vms` is in the documents of our own switcher only, and those of unmodified hltd have `cloudState`.
    """
    if "cloudState" not in box or "vms" in box:
        return None
    try:
        mode, since_s, now_s = Mode(str(box["mode"])), unix(str(box["mode_since"])), unix(str(box["@timestamp"]))
    except (KeyError, ValueError):
        return None
    sharp = mode not in WAYS or not str(box.get("switch_id")).startswith(f"{box.get('host')}{SEEN_BEFORE}")
    return Course(mode=mode, since_s=since_s, seen_s=moment_s(str(box.get("fm_date")), now_s), sharp=sharp)
