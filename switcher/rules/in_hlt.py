"""Rules of `hlt`: runs are taken, and the one that waited is joined."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from contract.paths import RunRef
from switcher.events import (
    Ask,
    IgniterSaid,
    NoteRun,
    RunAppeared,
    RunChecked,
    Said,
    StartWork,
    Step,
    Timer,
    TokensSeen,
    Wake,
    Woke,
)
from switcher.rules.anywhere import anywhere_woke, has, newest
from switcher.rules.entering import enter_stopping_vms, look_at_waiting
from switcher.states import Run, State, Verb

HAND: Final = "hand"  # asks when core tokens were moved by hand


def hlt_run_appeared(state: State, event: RunAppeared) -> Step:
    """Takes the run, once; before the VMs are known to be down it waits."""
    if has(state, event.ref.number):
        return state, ()
    if state.unproven:
        return replace(state, waiting=newest(state.waiting, event.ref)), ()
    return _join(state, event.ref, "started")


def hlt_run_checked(state: State, event: RunChecked) -> Step:
    """Joins the run that waited if it still goes on."""
    if state.waiting != event.ref:
        return state, ()
    if event.ongoing is None:
        state = replace(state, errors=state.errors + 1)
        return state, (Wake(Timer.RETRY, state.errors),)
    state = replace(state, errors=0)
    if event.ongoing and not has(state, event.ref.number):
        return _join(state, event.ref, "joined")
    return replace(state, waiting=None), (NoteRun(event.ref, "dropped", "it no longer goes on"),)


def hlt_igniter_said(state: State, event: IgniterSaid) -> Step:
    """At start-up VMs that run own the cores: the node belongs to the cloud. Otherwise it is in HLT for certain.

    A tool that fails counts as no VMs, unless they were seen: those are proven down first.
    """
    state = replace(state, asked=None)
    if not state.unproven or event.verb is not Verb.STATUS:
        return state, ()
    if event.said is Said.RUNNING:
        return replace(state, vms=Vms.UP), (Ask(Wanted.CLOUD, "switcher", "VMs were found running at start-up"),)
    if event.said is Said.ERROR and state.vms is not Vms.DOWN:
        return enter_stopping_vms(state)
    state = replace(state, vms=Vms.DOWN, unproven=False)
    return state, look_at_waiting(state)


def hlt_tokens_seen(state: State, event: TokensSeen) -> Step:
    """A token that somebody moved into the cloud folder asks for cloud; a switch that is refused moves it back."""
    if not event.in_cloud:
        return state, ()
    return state, (Ask(Wanted.CLOUD, HAND, f"{event.in_cloud} core tokens were moved to the cloud folder"),)


def hlt_woke(state: State, event: Woke) -> Step:
    """Asks again about the run that waits."""
    return (state, look_at_waiting(state)) if event.timer is Timer.RETRY else anywhere_woke(state, event)


def _join(state: State, ref: RunRef, what: str) -> Step:
    waiting = state.waiting if state.waiting and state.waiting.number > ref.number else None
    return replace(state, runs=(*state.runs, Run(ref)), waiting=waiting), (NoteRun(ref, what), StartWork(ref))
