"""The promises of the design, as questions to one step of the machine or to one world.

Each answer is the number of a broken promise and what broke it, or None.

1. A core is never owned twice.                  `world`: jobs and virtual machines; `tests.model.shell`: each `start`;
                                                 `step`: the way into HLT
2. The last accepted request wins.               `step`: wanted; `state`: repeated ids; `shell`: old moves by hand, and
                                                 what the switcher asks of itself
3. No request is lost.                           `step`: remembered and answered
4. Mode file and journal.                        `world`: the mode file; `step`: records
5. Tokens come back.                             `world`: none is left where it does not belong
6. Runs are joined once.                         `shell`: each start of a run
7. Progress.                                     `world`: blocker, stuck clock; `tests.model.explore`: arrival
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, SwitchRecord
from contract.modes import MODES, Mode, Vms, Wanted
from contract.request import Answer, Request, Verdict
from switcher import machine, timeline
from switcher.events import (
    Effect,
    EndSwitch,
    Event,
    Ignite,
    NoteRequest,
    NoteRun,
    Reply,
    Requested,
    Started,
    TellJobs,
    Timer,
    Wake,
    Woke,
)
from switcher.rules.requests import under_check
from switcher.states import Position, State, Told, mode, phase
from switcher.timeline import Journey, Now, Timeline
from switcher.view import RunView, Snapshot, blocker
from tests.model.heart import Heart
from tests.model.world import CALLS, CLOCK_OF, GOES_ON, RUNS, SERVES, TOKENS, World

BETWEEN: Final = (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD)
STUCK_CLOCK: Final = CLOCK_OF[Timer.STUCK]


def step(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """Returns the promise that a step of the machine breaks, None when it breaks none."""
    for question in (_asks_once, _proven, _wanted, _remembered, _answered, _journal, _bells, _ends):
        broken = question(before, event, after, effects)
        if broken is not None:
            return broken
    return None


def state(at: State) -> str | None:
    """Returns the promise that a state of the machine breaks, None when it breaks none."""
    return _shape(at) or _stuck(at) or _repeated_ids(at)


def _asks_once(_before: State, _event: Event, _after: State, effects: tuple[Effect, ...]) -> str | None:
    asked = sum(isinstance(effect, Ignite) for effect in effects)
    return "the cloud tool is asked twice at once" if asked > 1 else None


def _proven(before: State, _event: Event, after: State, _effects: tuple[Effect, ...]) -> str | None:
    came = after.position is Position.HLT and before.position is not Position.HLT
    return "1: HLT is entered before the cloud tool has said that no VM runs" if came and after.unproven else None


def _shape(after: State) -> str | None:
    numbers = [run.ref.number for run in after.runs]
    if len(set(numbers)) < len(numbers):
        return "6: a run is at work twice"
    if (after.position, after.wanted) in ((Position.HLT, Wanted.CLOUD), (Position.CLOUD, Wanted.HLT)):
        return f"2: the node rests in {after.position.value} though {after.wanted.value} is wanted"
    if after.switch is not None and after.switch.to is not after.wanted:
        return "2: the journey under way does not lead where the node is wanted"
    if after.position is Position.HLT and not after.unproven and after.vms is not Vms.DOWN:
        return "1: the node is in HLT though it does not hold its VMs for down"
    return None


def _stuck(after: State) -> str | None:
    rung, _ = machine.step(after, Woke(Timer.STUCK))
    if rung.stuck is not (mode(after) in BETWEEN or after.stuck):
        return "7: the clock rang and the node does not say that it is stuck"
    return None


def _wanted(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """What is wanted changes by a new request, by its refusal, and by a first start that finds a cloud node."""
    if isinstance(event, Requested):
        new = all(answer.id != event.request.id for answer in before.answered)
        if new and after.wanted is not event.request.to:
            return f"2: a request for {event.request.to.value} does not count"
        return None
    refused = any(isinstance(effect, EndSwitch) and effect.outcome == "refused" for effect in effects)
    first = isinstance(event, Started) and not event.known
    if after.wanted is not before.wanted and not (refused and after.wanted is Wanted.HLT) and not first:
        return f"2: {after.wanted.value} is wanted though nobody asked"
    return None


def _remembered(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """A request is in the state that is saved before anybody hears of it."""
    ids = {answer.id: answer.verdict for answer in after.answered}
    if isinstance(event, Requested) and event.request.id not in ids:
        return "3: a request is not remembered"
    given = [effect.answer for effect in effects if isinstance(effect, Reply)]
    for answer in given:
        if answer.verdict is not Verdict.NEWER and ids.get(answer.id) is not answer.verdict:
            return f"3: the answer {answer.verdict.value} is not in what was saved"
    exchanged = before.switch is not None and after.switch is not None and before.switch.id != after.switch.id
    if exchanged and not isinstance(event, Requested):
        return "3: a journey was exchanged for another without a request"
    return None


def _answered(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """Whoever asked over HTTP is answered at once, or when the cloud tool has answered; after a kill nobody waits."""
    if isinstance(event, Started):
        return None
    waiting = {before.switch.id} if before.switch is not None and under_check(before) else set()
    if isinstance(event, Requested):
        waiting = waiting | {event.request.id}
    waiting -= {effect.answer.id for effect in effects if isinstance(effect, Reply)}
    if waiting and not (under_check(after) and after.switch is not None and waiting == {after.switch.id}):
        return "3: somebody who asked waits for an answer for ever"
    return None


def _repeated_ids(after: State) -> str | None:
    """An id that was heard before, however long ago, changes nothing and is told when something newer has come."""
    accepted = [answer for answer in after.answered if answer.verdict is Verdict.ACCEPTED]
    for verdict in (Verdict.ACCEPTED, Verdict.ALREADY, Verdict.REFUSED):
        for to in Wanted:
            known = replace(after, answered=(Answer(id="old", verdict=verdict), *after.answered))
            again, effects = machine.step(known, Requested(Request(id="old", to=to)))
            if again != known:
                return "2: a repeated id changes something"
            replies = [effect.answer.verdict for effect in effects if isinstance(effect, Reply)]
            expected = Verdict.NEWER if accepted and verdict is not Verdict.REFUSED else verdict
            if replies != [expected]:
                return f"2: a repeated id, {verdict.value} before, is told {replies} instead of {expected.value}"
    return None


# Journal

_THEN, _NOW = Now(1000.0, 10.0), Now(1007.0, 17.0)


def _journal(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """Every transition is in the journal once, requests and journeys too, numbered without a gap."""
    journey = None
    if before.switch is not None:
        journey = Journey(
            request=before.switch, from_mode=mode(before), started=_THEN, phase=phase(before) or "", phase_since=_THEN
        )
    begun = Timeline(mode_since=_THEN, boot_id="boot", seq=5, journey=journey)
    ended, records = timeline.advance(begun, before, after, effects, _NOW)
    if [record.seq for record in records] != list(range(6, 6 + len(records))) or ended.seq != 5 + len(records):
        return "4: journal records are not numbered one by one"
    moves = [record for record in records if isinstance(record, MoveRecord)]
    moved = (mode(before), before.position, before.vms) != (mode(after), after.position, after.vms)
    if len(moves) != int(moved):
        return f"4: a transition is in the journal {len(moves)} times"
    for move in moves:
        said = (move.from_mode, move.from_position, move.mode, move.position, move.wanted, move.vms)
        true = (mode(before), before.position, mode(after), after.position, after.wanted, after.vms)
        if said != true:
            return "4: the journal has a transition that was none"
    if (ended.journey is not None) is not (after.switch is not None):
        return "4: the journal's journey is not the one under way"
    if ended.journey is not None and after.switch is not None and ended.journey.request.id != after.switch.id:
        return "4: the journal's journey is another one"
    if (ended.mode_since == _NOW) is not (mode(before) is not mode(after)):
        return "4: the mode has another age than the transition"
    return _counts(effects, records)


def _counts(effects: tuple[Effect, ...], records: list[AnyRecord]) -> str | None:
    for effect_kind, record_kind in ((NoteRequest, RequestRecord), (NoteRun, RunRecord), (EndSwitch, SwitchRecord)):
        wanted = sum(isinstance(effect, effect_kind) for effect in effects)
        written = [record for record in records if isinstance(record, record_kind)]
        if len(written) != wanted:
            return f"4: {wanted} {effect_kind.__name__} made {len(written)} records"
    for record in records:
        if isinstance(record, SwitchRecord) and round(sum(record.phases.values()), 3) != record.duration_s:
            return "4: the phases of a switch are not its duration"
    return None


def _ends(before: State, _event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """A journey is called done only where it led to, and superseded only by a request."""
    under_way = before.switch
    for effect in effects:
        if isinstance(effect, NoteRequest) and effect.verdict is Verdict.ACCEPTED:
            under_way = effect.request
        if isinstance(effect, EndSwitch) and effect.outcome == "done" and under_way is not None:
            there = mode(after) is (Mode.CLOUD if under_way.to is Wanted.CLOUD else Mode.HLT)
            if not there or (under_way.to is Wanted.CLOUD and after.vms is not Vms.UP):
                return f"2: a journey to {under_way.to.value} is called done in {mode(after).value}"
    return None


def _bells(before: State, event: Event, after: State, effects: tuple[Effect, ...]) -> str | None:
    """A mode in between gets its clock, and only a deadline brings signals."""
    between = mode(after) in BETWEEN
    set_anew = any(isinstance(effect, Wake) and effect.timer is Timer.STUCK for effect in effects)
    if between and (mode(before) is not mode(after) or isinstance(event, Started)) and not set_anew:
        return "7: nobody will say that the node is stuck"
    signals = any(isinstance(effect, TellJobs) and effect.told is Told.TERMINATE for effect in effects)
    if signals and (after.switch is None or after.switch.deadline_s is None):
        return "7: jobs are killed for a request that has no deadline"
    return None


# Worlds


class Watcher:
    """Asks a world about its promises; what depends on few things is remembered."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self._blockers: dict[tuple[int, int, int, int], bool] = {}

    def world(self, world: World) -> str | None:
        """Returns the promise that `world` breaks, None when it breaks none."""
        if world.vms and world.jobs:
            return "1: jobs work while virtual machines run"
        if world.life != SERVES:
            return None
        facts = self.heart.facts[world.heart]
        if world.published != facts.mode:
            return "4: the mode file does not hold the mode"
        at = self.heart.states[world.heart]
        if not world.hand and _out_of_place(at, world):
            return f"5: {world.in_cloud} of {TOKENS} core tokens are in the cloud folder in {at.position.value}"
        if mode(at) in BETWEEN and not world.clocks & STUCK_CLOCK:
            return "7: the clock that says stuck is not set"
        if self._silent(at, world):
            return "7: the node waits in silence"
        return None

    def _silent(self, at: State, world: World) -> bool:
        key = (world.heart, world.call, world.jobs, world.work)
        known = self._blockers.get(key)
        if known is None:
            known = self._blockers[key] = not_resting(at) and not blocker(_shown(at, world))
        return known


def not_resting(at: State) -> bool:
    """Returns whether the node waits for something."""
    return (
        mode(at) in BETWEEN
        or at.switch is not None
        or (at.position is Position.CLOUD and at.vms is not Vms.UP)
        or (at.position is Position.HLT and (at.unproven or at.waiting is not None))
    )


def _out_of_place(at: State, world: World) -> bool:
    return (at.position is Position.HLT and world.in_cloud > 0) or (
        at.position is Position.CLOUD and world.in_cloud < TOKENS
    )


def _shown(at: State, world: World) -> Snapshot:
    verb = CALLS[world.call]
    runs = tuple(
        RunView(number=run, told="", ended=False, jobs=(run,) if world.jobs & run else ())
        for run in RUNS
        if world.work & run
    )
    return Snapshot(
        state=at,
        timeline=Timeline(mode_since=_THEN, boot_id="boot"),
        runs=runs,
        calling=f"cloud tool {verb.value}" if verb else "",
    )


def arrived(heart: Heart, world: World) -> bool:
    """Returns whether the node is where it is wanted, with the right virtual machines, tokens and run."""
    at = heart.states[world.heart]
    if world.life != SERVES or at.switch is not None or world.files or world.ends:
        return False
    if world.published != MODES[mode(at)].code:
        return False
    if at.wanted is Wanted.CLOUD:
        return (
            at.position is Position.CLOUD
            and (at.vms, world.vms, world.in_cloud, world.jobs) == (Vms.UP, True, TOKENS, 0)
            and not at.unproven
        )
    return (
        at.position is Position.HLT
        and (at.vms, world.vms, world.in_cloud) == (Vms.DOWN, False, 0)
        and not at.unproven
        and _newest_works(world)
    )


def _newest_works(world: World) -> bool:
    """The newest run that the node was told of is at work if it still goes on and its directory was not deleted."""
    newest = next((run for run in reversed(RUNS) if world.bu[run - 1]), 0)
    if not newest or world.bu[newest - 1] != GOES_ON or world.lost & newest:
        return True
    return bool(world.jobs & newest)
