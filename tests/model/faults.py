"""Machines with one fault each, to show that the exploration can fail: a rule of the table is replaced by a wrong one.

Each fault names the promise that it breaks. `FOUND` are faults that the machine really had, until the exploration told
their stories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from switcher.events import (
    Ask,
    Effect,
    EndSwitch,
    Event,
    IgniterSaid,
    MoveTokens,
    Requested,
    RunAppeared,
    RunChecked,
    Said,
    Started,
    StartWork,
    Step,
    Timer,
    TokensMoved,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.machine import TABLE, Rule
from switcher.rules.anywhere import work_ended
from switcher.rules.entering import (
    enter_cloud,
    enter_handing_over,
    enter_hlt,
    enter_return,
    enter_taking_back,
    tell,
)
from switcher.rules.requests import on_request
from switcher.states import Position, Run, State, Verb

Bend = Callable[[Rule], Rule]


class Fault(NamedTuple):
    """One wrong rule: where it stands, how it is made of the right one, and the promise that it breaks."""

    name: str
    promise: str
    kind: type[Event]
    positions: tuple[Position, ...]
    bend: Bend


@contextmanager
def seeded(fault: Fault) -> Iterator[None]:
    """Puts the wrong rule into the table for a while."""
    right = {position: TABLE[position][fault.kind] for position in fault.positions}
    for position, rule in right.items():
        TABLE[position][fault.kind] = fault.bend(rule)
    try:
        yield
    finally:
        for position, rule in right.items():
            TABLE[position][fault.kind] = rule


def without(*kinds: type[Effect]) -> Bend:
    """The rule forgets effects of these kinds."""
    return lambda rule: lambda state, event: _without(rule(state, event), lambda effect: isinstance(effect, kinds))


def _without(step: Step, unwanted: Callable[[Effect], bool]) -> Step:
    state, effects = step
    return state, tuple(effect for effect in effects if not unwanted(effect))


def _without_clock(timer: Timer) -> Bend:
    def drop(effect: Effect) -> bool:
        return isinstance(effect, Wake) and effect.timer is timer

    return lambda rule: lambda state, event: _without(rule(state, event), drop)


def _instead(wrong: Callable[[State, Event], Step | None]) -> Bend:
    """The wrong rule holds wherever it says something, the right one elsewhere."""

    def bend(rule: Rule) -> Rule:
        def bent(state: State, event: Event) -> Step:
            return wrong(state, event) or rule(state, event)

        return bent

    return bend


def _after(wrong: Callable[[State, State], State]) -> Bend:
    """The rule's state is falsified: `wrong` gets it as it was and as it became."""

    def bend(rule: Rule) -> Rule:
        def bent(state: State, event: Event) -> Step:
            after, effects = rule(state, event)
            return wrong(state, after), effects

        return bent

    return bend


def _trusts_stop(state: State, event: Event) -> Step | None:
    stopped = isinstance(event, IgniterSaid) and (event.verb, event.said) == (Verb.STOP, Said.DONE)
    if stopped and state.wanted is Wanted.HLT:
        return enter_taking_back(replace(state, asked=None, vms=Vms.DOWN))
    return None


def _hands_over_too_early(state: State, event: Event) -> Step | None:
    if isinstance(event, WorkEnded) and state.cleared and state.wanted is Wanted.CLOUD:
        state, noted = work_ended(state, event)
        after, effects = enter_handing_over(state)
        return after, (*noted, *effects)
    return None


def _ignores_failed_moves(state: State, event: Event) -> Step | None:
    if isinstance(event, TokensMoved) and event.error and state.wanted is Wanted.HLT:
        return enter_hlt(state)
    return None


def _starts_again(state: State, event: Event) -> Step | None:
    again = isinstance(event, RunAppeared) and any(run.ref == event.ref for run in state.runs)
    return (state, (StartWork(event.ref),)) if isinstance(event, RunAppeared) and again else None


def _joins_what_is_over(state: State, event: Event) -> Step | None:
    if isinstance(event, RunChecked) and event.ongoing is False and state.waiting == event.ref and not state.runs:
        return replace(state, runs=(Run(event.ref),), waiting=None), (StartWork(event.ref),)
    return None


def _ends_twice(rule: Rule) -> Rule:
    def bent(state: State, event: Event) -> Step:
        after, effects = rule(state, event)
        return after, (*effects, *(effect for effect in effects if isinstance(effect, EndSwitch)))

    return bent


def _told_for_ever(state: State, event: Event) -> Step | None:
    if isinstance(event, Started) and state.cleared and event.working and not event.rebooted:
        return replace(state, asked=None), (Wake(Timer.STUCK),)
    return None


EVERYWHERE: Final = tuple(Position)
HLT, DRAINING, CLOUD = Position.HLT, Position.DRAINING, Position.CLOUD
STOPPING, BACK = Position.STOPPING_VMS, Position.TAKING_BACK

SEEDED: Final = (
    Fault("an exit code of stop is believed", "1", IgniterSaid, (STOPPING,), _instead(_trusts_stop)),
    Fault("the first job that ends lets the cores go", "1", WorkEnded, (DRAINING,), _instead(_hands_over_too_early)),
    Fault(
        "a request does not count while tokens move back",
        "2",
        Requested,
        (BACK,),
        _after(lambda before, after: replace(after, wanted=before.wanted)),
    ),
    Fault(
        "old ids are forgotten at once",
        "2",
        Requested,
        EVERYWHERE,
        lambda rule: lambda state, event: rule(replace(state, answered=()), event),
    ),
    Fault(
        "a request is not written down",
        "3",
        Requested,
        EVERYWHERE,
        _after(lambda before, after: replace(after, answered=before.answered)),
    ),
    Fault("a switch is in the journal twice", "4", IgniterSaid, (CLOUD,), _ends_twice),
    Fault("the end of a switch is not in the journal", "4", TokensMoved, (BACK,), without(EndSwitch)),
    Fault("a token that could not be moved is left behind", "5", TokensMoved, (BACK,), _instead(_ignores_failed_moves)),
    Fault("a second notification starts a run again", "6", RunAppeared, (HLT,), _instead(_starts_again)),
    Fault("a run that is over is joined", "6", RunChecked, (HLT,), _instead(_joins_what_is_over)),
    Fault("after a restart nobody says stuck", "7", Started, EVERYWHERE, _without_clock(Timer.STUCK)),
    Fault("nobody looks after VMs that are up", "7", IgniterSaid, (CLOUD,), _without_clock(Timer.CHECK)),
    Fault("running VMs are not asked about again", "7", IgniterSaid, (STOPPING,), _without_clock(Timer.POLL)),
    Fault(
        "jobs are held for told after a restart",
        "7",
        Started,
        (DRAINING,),
        _instead(_told_for_ever),
    ),
)


def _starts_at_once(state: State, event: Event) -> Step | None:
    down = isinstance(event, IgniterSaid) and (event.verb, event.said) == (Verb.STATUS, Said.NOT_RUNNING)
    if down and state.wanted is Wanted.CLOUD:
        return enter_cloud(replace(state, asked=None, vms=Vms.DOWN))
    return None


def _heeds_any_deadline(state: State, event: Event) -> Step | None:
    if isinstance(event, Woke) and event.timer is Timer.DEADLINE and state.cleared and state.switch is not None:
        return tell(replace(state, overdue=True))
    return None


def _leaves_moved_tokens(rule: Rule) -> Rule:
    def bent(state: State, event: Event) -> Step:
        after, effects = rule(state, event)
        if after.position is not Position.TAKING_BACK:
            return after, effects
        after, entered = enter_hlt(after)
        return after, (*(effect for effect in effects if not isinstance(effect, MoveTokens)), *entered)

    return bent


def _believes_what_fails(state: State, event: Event) -> Step | None:
    seen = state.unproven and state.vms is not Vms.DOWN
    if isinstance(event, IgniterSaid) and event.said is Said.ERROR and seen:
        return replace(state, asked=None, unproven=False), ()
    return None


def _comes_back_unproven(state: State, event: Event) -> Step | None:
    if isinstance(event, Requested) and event.request.to is not state.wanted and state.unproven and not state.cleared:
        turned, effects = on_request(state, event)
        if turned.wanted is Wanted.HLT:
            back, moves = enter_return(turned)
            return back, (*effects, *moves)
    return None


def _goes_where_the_vms_are(state: State, event: Event) -> Step | None:
    running = isinstance(event, IgniterSaid) and event.said is Said.RUNNING and not state.cleared
    if running and state.wanted is Wanted.HLT:
        return replace(state, asked=None, vms=Vms.UP), (Ask(Wanted.CLOUD, "switcher", "VMs were found running"),)
    return None


FOUND: Final = (
    Fault("an include leads to HLT with VMs unproven", "1", Requested, (DRAINING,), _instead(_comes_back_unproven)),
    Fault("VMs that were found outweigh an include", "2", IgniterSaid, (DRAINING,), _instead(_goes_where_the_vms_are)),
    Fault("VMs start with a token outside", "1", IgniterSaid, (STOPPING,), _instead(_starts_at_once)),
    Fault("VMs that were seen are forgotten", "1", IgniterSaid, (HLT,), _instead(_believes_what_fails)),
    Fault(
        "a reboot is a restart like any other",
        "1",
        Started,
        (DRAINING, Position.HANDING_OVER),
        lambda rule: lambda state, event: rule(state, replace(event, rebooted=False)),
    ),
    Fault("a deadline outlives its request", "7", Woke, (DRAINING,), _instead(_heeds_any_deadline)),
    Fault("a refused switch leaves tokens in the cloud", "5", IgniterSaid, (DRAINING,), _leaves_moved_tokens),
)
