"""What a step of the machine means in time: journal records, and how long each phase of a switch took. Pure.

Two clocks come in as arguments. The wall clock only dates records. Durations come from the boot clock
(CLOCK_BOOTTIME), which nobody sets and which goes on while the switcher itself is down; a reboot starts it anew, so
readings from before are then moved by the wall clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, StartRecord, SwitchRecord
from contract.modes import Mode
from contract.request import Request, Verdict
from contract.times import iso
from switcher.events import Effect, EndSwitch, NoteRequest, NoteRun, Started
from switcher.states import State, mode, phase


class Now(NamedTuple):
    """One moment on both clocks, in seconds."""

    wall_s: float
    boot_s: float


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """A switch under way: its request, where it came from, and the phases so far in seconds."""

    request: Request
    from_mode: Mode
    started: Now
    phase: str = ""
    phase_since: Now
    phases: dict[str, float] = {}
    was_stuck: bool = False


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """Since when the mode is what it is, the switch under way, and the number of the last journal record."""

    mode_since: Now
    boot_id: str
    seq: int = 0
    journey: Journey | None = None


def elapsed_s(since: Now, now: Now) -> float:
    """Returns the seconds from `since` to `now`, which are of one boot; never negative."""
    return max(0.0, now.boot_s - since.boot_s)


def rebased(timeline: Timeline, boot_id: str, now: Now) -> Timeline:
    """Returns `timeline` with its boot clock readings moved into this boot, if it was written in another one."""
    if timeline.boot_id == boot_id:
        return timeline

    def moved(since: Now) -> Now:
        return Now(since.wall_s, now.boot_s - max(0.0, now.wall_s - since.wall_s))

    journey = timeline.journey
    if journey is not None:
        journey = replace(journey, started=moved(journey.started), phase_since=moved(journey.phase_since))
    return replace(timeline, boot_id=boot_id, mode_since=moved(timeline.mode_since), journey=journey)


def advance(
    timeline: Timeline, old: State, new: State, effects: Iterable[Effect], now: Now
) -> tuple[Timeline, list[AnyRecord]]:
    """Returns the timeline after the step from `old` to `new`, and the journal records of the step in order."""
    writer = _Writer(timeline, now)
    for effect in effects:
        if isinstance(effect, NoteRequest):
            writer.request(effect, mode(old))
        elif isinstance(effect, EndSwitch):
            if effect.outcome != "superseded":
                writer.move_once(old, new)
            writer.end(effect)
        elif isinstance(effect, NoteRun):
            writer.run(effect)
    writer.move_once(old, new)
    writer.enter(phase(new), stuck=new.stuck)
    return writer.timeline, writer.records


def begin(timeline: Timeline, state: State, facts: Started, now: Now) -> tuple[Timeline, list[AnyRecord]]:
    """Returns the timeline and the record of a start that found `state` and `facts`."""
    seq = timeline.seq + 1
    working = ", ".join(str(run.ref) for run in facts.working) or "no run"
    record = StartRecord(
        seq=seq,
        time=iso(now.wall_s),
        pid=os.getpid(),
        mode=mode(state),
        position=state.position.value,
        wanted=state.wanted,
        facts=f"{facts.in_cloud} core tokens in cloud, {facts.outside} elsewhere, {working} at work",
    )
    return replace(timeline, seq=seq), [record]


class _Writer:
    """Collects the records of one step; a move is written where it belongs among them."""

    def __init__(self, timeline: Timeline, now: Now) -> None:
        self.timeline = timeline
        self.records: list[AnyRecord] = []
        self._now = now
        self._time = iso(now.wall_s)
        self._moved = False

    def request(self, note: NoteRequest, from_mode: Mode) -> None:
        asked = note.request
        self.records.append(
            RequestRecord(
                seq=self._next(),
                time=self._time,
                id=asked.id,
                to=asked.to,
                who=asked.who,
                reason=asked.reason,
                verdict=note.verdict.value,
                why=note.why,
            )
        )
        if note.verdict is Verdict.ACCEPTED:
            journey = Journey(request=asked, from_mode=from_mode, started=self._now, phase_since=self._now)
            self.timeline = replace(self.timeline, journey=journey)

    def end(self, end: EndSwitch) -> None:
        self.enter(None, stuck=False)
        journey = self.timeline.journey
        if journey is None:
            return
        self.records.append(
            SwitchRecord(
                seq=self._next(),
                time=self._time,
                id=journey.request.id,
                who=journey.request.who,
                reason=journey.request.reason,
                from_mode=journey.from_mode,
                to=journey.request.to,
                outcome=end.outcome,
                why=end.why,
                started=iso(journey.started.wall_s),
                duration_s=round(elapsed_s(journey.started, self._now), 6),
                phases=journey.phases,
                was_stuck=journey.was_stuck,
            )
        )
        self.timeline = replace(self.timeline, journey=None)

    def run(self, note: NoteRun) -> None:
        self.records.append(
            RunRecord(seq=self._next(), time=self._time, run=note.ref.number, what=note.what, detail=note.detail)
        )

    def move_once(self, old: State, new: State) -> None:
        """Writes the move from `old` to `new`, if there is one, unless it is written."""
        changed = (mode(old), old.position, old.vms) != (mode(new), new.position, new.vms)
        if self._moved or not changed:
            return
        self._moved = True
        if mode(old) is not mode(new):
            self.timeline = replace(self.timeline, mode_since=self._now)
        self.records.append(
            MoveRecord(
                seq=self._next(),
                time=self._time,
                switch_id=self.timeline.journey.request.id if self.timeline.journey else None,
                from_mode=mode(old),
                mode=mode(new),
                from_position=old.position.value,
                position=new.position.value,
                wanted=new.wanted,
                vms=new.vms,
            )
        )

    def enter(self, name: str | None, *, stuck: bool) -> None:
        """Books the time since the last step on the phase that was, and enters `name`."""
        journey = self.timeline.journey
        if journey is None or (name == journey.phase and not (stuck and not journey.was_stuck)):
            return
        phases = journey.phases
        if journey.phase and name != journey.phase:
            spent = phases.get(journey.phase, 0.0) + elapsed_s(journey.phase_since, self._now)
            phases = phases | {journey.phase: round(spent, 6)}
        self.timeline = replace(
            self.timeline,
            journey=replace(
                journey,
                phase=name or "",
                phase_since=self._now if name != journey.phase else journey.phase_since,
                phases=phases,
                was_stuck=journey.was_stuck or stuck,
            ),
        )

    def _next(self) -> int:
        self.timeline = replace(self.timeline, seq=self.timeline.seq + 1)
        return self.timeline.seq
