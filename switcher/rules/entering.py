"""The ways into each position, and the steps that several rules share."""

from __future__ import annotations

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from switcher.events import (
    CheckRun,
    Effect,
    EndSwitch,
    Ignite,
    MoveTokens,
    Step,
    TellJobs,
    Timer,
    Wake,
)
from switcher.rules.anywhere import newest
from switcher.states import Position, State, Told, Verb


def enter_hlt(state: State) -> Step:
    """At rest in HLT; the run that waited is asked about."""
    state = replace(state, position=Position.HLT, wanted=Wanted.HLT, cleared=False, errors=0, trouble="")
    state, ended = end_switch(state, "done")
    return state, (*ended, *look_at_waiting(state))


def enter_draining(state: State) -> Step:
    """Masked at once; the jobs go on until the cloud tool is known to work."""
    state = replace(state, position=Position.DRAINING, cleared=False, errors=0, trouble="")
    return ignite(state, Verb.STATUS)


def clear_the_way(state: State) -> Step:
    """The cloud tool is known to work: every job is told to end, and the newest run that goes on is remembered."""
    going_on = [run.ref for run in state.runs if not run.ended]
    state = replace(state, position=Position.DRAINING, cleared=True, errors=0, trouble="")
    state, told = tell(replace(state, waiting=newest(state.waiting, *going_on)))
    state, more = drained(state)
    return state, (*told, *more)


def enter_handing_over(state: State) -> Step:
    """Nothing works here any more: the tokens move."""
    state = replace(state, position=Position.HANDING_OVER, cleared=False, errors=0, trouble="")
    return state, (MoveTokens(Wanted.CLOUD),)


def enter_cloud(state: State) -> Step:
    """The tokens have moved: the VMs may start."""
    state = replace(
        state, position=Position.CLOUD, vms=Vms.STARTING, unproven=False, cleared=False, errors=0, trouble=""
    )
    return ignite(state, Verb.START)


def enter_stopping_vms(state: State) -> Step:
    """From here on VMs are asked to stop until they are proven down."""
    state = replace(state, position=Position.STOPPING_VMS, vms=Vms.STOPPING, unproven=False, errors=0, trouble="")
    state = replace(state, stop_due=False, retried=False)
    return ignite_stop(state)


def enter_return(state: State) -> Step:
    """The one way back to HLT; VMs that may run are stopped first, and tokens that somebody moved go back too."""
    return enter_taking_back(state) if state.vms is Vms.DOWN else enter_stopping_vms(state)


def enter_taking_back(state: State) -> Step:
    """No VM runs: the tokens come back."""
    state = replace(state, position=Position.TAKING_BACK, cleared=False, errors=0, trouble="")
    return state, (MoveTokens(Wanted.HLT),)


def ignite(state: State, verb: Verb) -> Step:
    """Asks the cloud tool, unless a question is under way: its answer comes first, and the rule for it goes on."""
    if state.asked is not None:
        return state, ()
    return replace(state, asked=verb), (Ignite(verb),)


def ignite_stop(state: State) -> Step:
    """Asks the cloud tool to stop the VMs, at the next chance if a question is under way."""
    state, effects = ignite(state, Verb.STOP)
    return replace(state, stop_due=not effects), (*effects, Wake(Timer.STOP_AGAIN)) if effects else ()


def end_switch(state: State, outcome: str, why: str = "") -> Step:
    """The journey under way, if there is one, is over."""
    if state.switch is None:
        return state, ()
    return replace(state, switch=None, overdue=False), (EndSwitch(outcome, why),)


def tell(state: State) -> Step:
    """Tells every run as firmly as hurry and deadline of the journey under way want."""
    told = Told.LAST_LUMISECTION
    if state.switch is not None and state.switch.hurry:
        told = Told.NOW
    if state.overdue:
        told = Told.TERMINATE
    return tell_all(state, told)


def tell_all(state: State, told: Told) -> Step:
    """Tells every run that has not been told so firmly yet."""
    effects: list[Effect] = [TellJobs(run.ref.number, told) for run in state.runs if run.told < told]
    if effects and told is Told.TERMINATE:
        effects.append(Wake(Timer.KILL))
    return replace(state, runs=tuple(replace(run, told=max(run.told, told)) for run in state.runs)), tuple(effects)


def drained(state: State) -> Step:
    """Goes on from draining when nothing works here any more."""
    if state.runs or not state.cleared:
        return state, ()
    return enter_handing_over(state) if state.wanted is Wanted.CLOUD else enter_return(state)


def look_at_waiting(state: State) -> tuple[Effect, ...]:
    """Asks about the run that waits, as soon as jobs may start."""
    return (CheckRun(state.waiting),) if state.waiting and not state.unproven else ()
