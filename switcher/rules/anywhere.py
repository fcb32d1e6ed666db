"""Rules that hold wherever a position has none of its own."""

from __future__ import annotations

from msgspec.structs import replace

from contract.modes import Mode
from contract.paths import RunRef
from switcher.events import (
    Event,
    IgniterSaid,
    NoteRun,
    Refuse,
    RunAppeared,
    RunEnded,
    Step,
    Timer,
    TokensMoved,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.states import State, mode


def ignore(state: State, _event: Event) -> Step:
    """Nothing to do here about this event."""
    return state, ()


def refuse_run(state: State, event: RunAppeared) -> Step:
    """Outside HLT no run is taken, but the newest is remembered."""
    if has(state, event.ref.number):
        return state, ()
    state = replace(state, waiting=newest(state.waiting, event.ref))
    return state, (NoteRun(event.ref, "refused", f"the node is in {mode(state).value}"), Refuse(event.ref))


def run_ended(state: State, event: RunEnded) -> Step:
    """A run that ended is not started, restarted or joined any more."""
    waited = state.waiting is not None and state.waiting.number == event.number
    if not waited and not any(run.ref.number == event.number and not run.ended for run in state.runs):
        return state, ()
    runs = tuple(replace(run, ended=True) if run.ref.number == event.number else run for run in state.runs)
    state = replace(state, runs=runs, waiting=None if waited else state.waiting)
    return state, (NoteRun(RunRef(event.number), event.how),)


def work_ended(state: State, event: WorkEnded) -> Step:
    """Nothing of this run is left on the node."""
    if not has(state, event.number):
        return state, ()
    runs = tuple(run for run in state.runs if run.ref.number != event.number)
    return replace(state, runs=runs), (NoteRun(RunRef(event.number), "finished", "jobs and merge script ended"),)


def igniter_said(state: State, _event: IgniterSaid) -> Step:
    """An answer that nobody waits for any more."""
    return replace(state, asked=None), ()


def anywhere_woke(state: State, event: Woke) -> Step:
    """A switch that lasts too long says so."""
    if event.timer is Timer.STUCK and mode(state) in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD):
        return replace(state, stuck=True), ()
    return state, ()


def move_failed(state: State, event: TokensMoved) -> Step:
    """Names the token that could not be moved; the move is tried again."""
    state = replace(state, errors=state.errors + 1, trouble=event.error)
    return state, (Wake(Timer.RETRY, state.errors),)


def has(state: State, number: int) -> bool:
    """Returns whether run `number` is at work here."""
    return any(run.ref.number == number for run in state.runs)


def newest(*refs: RunRef | None) -> RunRef | None:
    """Returns the run with the highest number, None of none."""
    return max((ref for ref in refs if ref is not None), key=lambda ref: ref.number, default=None)
