"""A request to be elsewhere: accepted, already so, or overtaken by a newer one."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from contract.request import Answer, Request, Verdict
from switcher.events import (
    Effect,
    EndSwitch,
    NoteRequest,
    Reply,
    Requested,
    Step,
    Timer,
    Wake,
)
from switcher.rules.entering import enter_draining, enter_return, enter_stopping_vms, tell
from switcher.states import Position, State, mode

REMEMBERED_REQUESTS: Final = 64
REMEMBERED_OF_ANY_KIND: Final = 32  # the newest; of older ones those that changed nothing are forgotten first


def on_request(state: State, event: Requested) -> Step:
    """A new request turns the wanted mode round, or finds it as it is; a known id changes nothing."""
    request = event.request
    known = next((answer for answer in state.answered if answer.id == request.id), None)
    if known is not None:
        # Only one that was accepted later has undone it, not one for the same or one that was refused.
        later = state.answered[state.answered.index(known) + 1 :]
        undone_by = [answer.id for answer in later if answer.verdict is Verdict.ACCEPTED]
        if undone_by and known.verdict is not Verdict.REFUSED:
            known = replace(known, verdict=Verdict.NEWER, reason=f"request {undone_by[-1]} came later")
        return state, (Reply(known),)
    if request.to is state.wanted:
        return _already(state, request)
    effects: list[Effect] = []
    if state.switch is not None:
        effects.append(EndSwitch("superseded", f"{request.who or 'somebody'} asked for {request.to.value}"))
        if under_check(state):
            effects.append(Reply(Answer(id=state.switch.id, verdict=Verdict.NEWER, reason=f"request {request.id}")))
    effects.append(NoteRequest(request, Verdict.ACCEPTED))
    if request.deadline_s is not None:
        effects.append(Wake(Timer.DEADLINE, after_s=request.deadline_s))
    state = _remember(state, Answer(id=request.id, verdict=Verdict.ACCEPTED))
    state, more = _turned(replace(state, wanted=request.to, switch=request, overdue=False))
    if not under_check(state):
        effects.append(Reply(state.answered[-1]))
    return state, (*effects, *more)


def _already(state: State, request: Request) -> Step:
    """The node is there or on its way; more hurry or a deadline still counts while it is on its way."""
    answer = Answer(id=request.id, verdict=Verdict.ALREADY, reason=f"{mode(state).value} since an earlier request")
    effects: list[Effect] = [NoteRequest(request, Verdict.ALREADY), Reply(answer)]
    state = _remember(state, answer)
    if state.switch is not None:
        hurried = replace(state.switch, hurry=state.switch.hurry or request.hurry)
        if request.deadline_s is not None:
            hurried = replace(hurried, deadline_s=request.deadline_s)
            effects.append(Wake(Timer.DEADLINE, after_s=request.deadline_s))
        state = replace(state, switch=hurried)
        if state.position is Position.DRAINING and state.cleared:
            state, more = tell(state)
            effects.extend(more)
    return state, tuple(effects)


def _remember(state: State, answer: Answer) -> State:
    """Somebody who asks for the same again and again doesn't make the node forget the ids that turned it round."""
    answered = (*state.answered, answer)
    if len(answered) > REMEMBERED_REQUESTS:
        older = answered[:-REMEMBERED_OF_ANY_KIND]
        forgotten = next((old for old in older if old.verdict is Verdict.ALREADY), older[0])
        answered = tuple(known for known in answered if known is not forgotten)
    return replace(state, answered=answered)


def under_check(state: State) -> bool:
    """Returns whether the way to the cloud hangs on the cloud tool's answer: nothing has been touched yet."""
    return state.wanted is Wanted.CLOUD and _unanswered(state)


def _unanswered(state: State) -> bool:
    return state.position is Position.DRAINING and not state.cleared


def _turned(state: State) -> Step:
    """The wanted mode has just turned round; positions not named here carry on and decide at their end."""
    leaving = state.wanted is Wanted.CLOUD
    if state.position is Position.HLT:
        return enter_draining(state)
    if state.position is Position.DRAINING:
        if _unanswered(state):
            # After a start the answer under way says whether VMs run, and with that the way back: a node on which they
            # were never proven down is not in HLT yet, and one without a cloud tool could never prove it by a stop.
            unknown = state.unproven and state.vms is Vms.DOWN
            return (state, ()) if leaving or unknown else enter_return(state)
        return tell(state) if leaving else (state, ())
    if state.position is Position.CLOUD:
        return enter_stopping_vms(state)
    return state, ()
