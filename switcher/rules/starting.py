"""The rule of a start: carry on from what was written and what is found."""

from __future__ import annotations

from msgspec.structs import replace

from contract.modes import Mode, Wanted
from switcher.events import (
    Started,
    Step,
    Timer,
    TokensSeen,
    Wake,
)
from switcher.rules.anywhere import newest
from switcher.rules.entering import drained, enter_draining, enter_stopping_vms, enter_taking_back, ignite, tell
from switcher.rules.in_cloud import cloud_tokens_seen
from switcher.rules.in_hlt import hlt_tokens_seen
from switcher.states import Position, State, Told, Verb, mode


def started(state: State, event: Started) -> Step:
    """Carries on from the state as it was written and the facts as they are."""
    before = {run.ref.number: run for run in state.runs}
    working = tuple(before.get(run.ref.number, run) for run in event.working)
    alive = {run.ref.number for run in working}
    left = [run.ref for run in state.runs if run.ref.number not in alive and not run.ended]
    lying = [ref for ref in event.lying if ref.number not in alive]
    state = replace(state, runs=working, asked=None, waiting=newest(state.waiting, *left, *lying))
    state, effects = _carry_on(state, event)
    if mode(state) in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD):
        effects = (*effects, Wake(Timer.STUCK))
    if state.switch is not None and state.switch.deadline_s is not None:
        effects = (*effects, Wake(Timer.DEADLINE))
    return state, effects


def _carry_on(state: State, event: Started) -> Step:
    if state.position is Position.HLT:
        if event.in_cloud and not event.outside and not state.runs and not event.known:
            state = replace(state, position=Position.CLOUD, wanted=Wanted.CLOUD)
        else:
            state, effects = ignite(replace(state, unproven=True), Verb.STATUS)
            return state, (*effects, *hlt_tokens_seen(state, TokensSeen(event.in_cloud, event.outside))[1])
    if state.position is Position.CLOUD:
        state, effects = ignite(replace(state, unproven=True, errors=0), Verb.STATUS)
        return state, (*effects, *cloud_tokens_seen(state, TokensSeen(event.in_cloud, event.outside))[1])
    if state.position is Position.STOPPING_VMS:
        return enter_stopping_vms(state)
    if event.rebooted:
        # VMs may have come up by themselves. No job has.
        state = replace(state, unproven=True)
        unanswered = state.position is Position.DRAINING and not state.cleared
        return enter_draining(state) if unanswered or state.wanted is Wanted.CLOUD else enter_stopping_vms(state)
    if state.position is Position.TAKING_BACK:
        return enter_taking_back(state)
    if state.position is Position.DRAINING and not state.cleared:
        return enter_draining(state)
    draining = replace(
        state,
        position=Position.DRAINING,
        cleared=True,
        runs=tuple(replace(run, told=Told.NOTHING) for run in state.runs),
    )
    state, told = tell(draining)
    state, more = drained(state)
    return state, (*told, *more)
