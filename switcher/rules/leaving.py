"""Rules of `draining` and `handing_over`: from HLT to the cloud folder."""

from __future__ import annotations

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from contract.request import Answer, Verdict
from switcher.events import (
    Effect,
    IgniterSaid,
    MoveTokens,
    Reply,
    Said,
    Step,
    Timer,
    TokensMoved,
    Woke,
    WorkEnded,
)
from switcher.rules.anywhere import anywhere_woke, move_failed, work_ended
from switcher.rules.entering import (
    clear_the_way,
    drained,
    end_switch,
    enter_cloud,
    enter_return,
    ignite,
    tell,
    tell_all,
)
from switcher.states import State, Told, Verb


def draining_igniter_said(state: State, event: IgniterSaid) -> Step:
    """A cloud tool that works clears the way: the jobs are told to end. One that doesn't refuses the switch.

    Where HLT is wanted again meanwhile, the answer says whether there are VMs to be stopped first.
    """
    state = replace(state, asked=None)
    if state.cleared:
        return state, ()
    if event.verb is not Verb.STATUS:
        return ignite(state, Verb.STATUS)
    state = replace(state, unproven=False)
    if event.said is not Said.ERROR:
        state = replace(state, vms=Vms.UP if event.said is Said.RUNNING else Vms.DOWN)
    if state.wanted is Wanted.HLT:
        return enter_return(state)
    if event.said is Said.ERROR:
        return _refuse_switch(state, f"the cloud tool says: {event.why}")
    replies = (Reply(Answer(id=state.switch.id, verdict=Verdict.ACCEPTED)),) if state.switch else ()
    state, more = clear_the_way(state)
    return state, (*replies, *more)


def _refuse_switch(state: State, why: str) -> Step:
    """Nothing was touched yet: back to HLT, by the one way there is."""
    effects: list[Effect] = []
    if state.switch is not None:
        answer = Answer(id=state.switch.id, verdict=Verdict.REFUSED, reason=why)
        state = replace(state, answered=tuple(answer if old.id == answer.id else old for old in state.answered))
        effects.append(Reply(answer))
    state, ended = end_switch(state, "refused", why)
    state, entered = enter_return(replace(state, wanted=Wanted.HLT))
    return state, (*effects, *ended, *entered)


def draining_work_ended(state: State, event: WorkEnded) -> Step:
    """The last run that ends lets the cores go."""
    state, noted = work_ended(state, event)
    state, effects = drained(state)
    return state, (*noted, *effects)


def draining_woke(state: State, event: Woke) -> Step:
    """The ladder of a deadline: asked, terminated, killed."""
    if event.timer is Timer.DEADLINE:
        # The clock may be that of an earlier request, which has ended or was superseded.
        state = replace(state, overdue=state.switch is not None and state.switch.deadline_s is not None)
        return tell(state) if state.cleared and state.overdue else (state, ())
    if event.timer is Timer.KILL and any(run.told is Told.TERMINATE for run in state.runs):
        return tell_all(state, Told.KILL)
    return anywhere_woke(state, event)


def handing_over_tokens_moved(state: State, event: TokensMoved) -> Step:
    """With every token in the cloud folder the VMs may start. HLT does not wait for a move that fails."""
    if event.to is not Wanted.CLOUD:
        return state, ()
    if state.wanted is Wanted.HLT:
        return enter_return(state)
    return move_failed(state, event) if event.error else enter_cloud(state)


def handing_over_woke(state: State, event: Woke) -> Step:
    """Tries the move again."""
    return (state, (MoveTokens(Wanted.CLOUD),)) if event.timer is Timer.RETRY else anywhere_woke(state, event)
