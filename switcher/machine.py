"""The pure heart: `step(state, event) -> (state, effects)`.

TABLE has one rule for every position and every kind of event, so no pair is undefined. A rule is a plain function. No
rule reads a clock, a file or a process; the shell (`switcher.node`) writes the new state to disk, then carries the
effects out in order and turns their results into events.

What the rules promise (design, invariants): no job runs between the first call of `start` and a proven "not
running"; the last accepted request wins; mode `HLT` is published only when VMs are proven down and tokens are back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from contract.modes import Mode, Vms, Wanted
from contract.paths import RunRef
from contract.request import Answer, Request, Verdict
from switcher.events import (
    Ask,
    CheckRun,
    Effect,
    EndSwitch,
    Event,
    Ignite,
    IgniterSaid,
    MoveTokens,
    NoteRequest,
    NoteRun,
    Refuse,
    Reply,
    Requested,
    RunAppeared,
    RunChecked,
    RunEnded,
    Said,
    Started,
    StartWork,
    TellJobs,
    Timer,
    TokensMoved,
    TokensSeen,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.states import Position, Run, State, Told, Verb, mode

Step = tuple[State, tuple[Effect, ...]]
Rule = Callable[[State, Any], Step]

REMEMBERED_REQUESTS: Final = 64
STOP_AGAIN_EVERY: Final = 10  # errors of the status question (hltd contract: cloud -> HLT, 2)
HAND: Final = "hand"  # asks when core tokens were moved by hand
LASTING_ERRORS: Final = 5  # of the status question at start-up, before the node goes back to HLT


def step(state: State, event: Event) -> Step:
    """Returns the state after `event` and what is to be done about it, in order."""
    after, effects = TABLE[state.position][type(event)](state, event)
    before_mode, after_mode = mode(state), mode(after)
    if after_mode is not before_mode:
        after = replace(after, stuck=False)
        if after_mode in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD):
            effects = (*effects, Wake(Timer.STUCK))
    return after, effects


def ignore(state: State, _event: Event) -> Step:
    """Nothing to do here about this event."""
    return state, ()


# Requests


def on_request(state: State, event: Requested) -> Step:
    """A new request turns the wanted mode round, or finds it as it is; a known id changes nothing."""
    request = event.request
    known = next((answer for answer in state.answered if answer.id == request.id), None)
    if known is not None:
        newest = state.answered[-1].id
        if known.verdict is Verdict.ACCEPTED and known.id != newest:
            known = replace(known, verdict=Verdict.NEWER, reason=f"request {newest} came later")
        return state, (Reply(known),)
    if request.to is state.wanted:
        return _already(state, request)
    effects: list[Effect] = []
    if state.switch is not None:
        effects.append(EndSwitch("superseded", f"{request.who or 'somebody'} asked for {request.to.value}"))
        if _under_check(state):
            effects.append(Reply(Answer(id=state.switch.id, verdict=Verdict.NEWER, reason=f"request {request.id}")))
    effects.append(NoteRequest(request, Verdict.ACCEPTED))
    if request.deadline_s is not None:
        effects.append(Wake(Timer.DEADLINE, after_s=request.deadline_s))
    state = _remember(state, Answer(id=request.id, verdict=Verdict.ACCEPTED))
    state, more = _turned(replace(state, wanted=request.to, switch=request, overdue=False))
    if not _under_check(state):
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
            state, more = _tell(state)
            effects.extend(more)
    return state, tuple(effects)


def _remember(state: State, answer: Answer) -> State:
    return replace(state, answered=(*state.answered, answer)[-REMEMBERED_REQUESTS:])


def _under_check(state: State) -> bool:
    return state.position is Position.DRAINING and not state.cleared


def _turned(state: State) -> Step:
    """The wanted mode has just turned round; positions not named here carry on and decide at their end."""
    leaving = state.wanted is Wanted.CLOUD
    if state.position is Position.HLT:
        return _enter_draining(state)
    if state.position is Position.DRAINING:
        if _under_check(state):
            return _enter_hlt(state) if state.vms is Vms.DOWN else _enter_stopping_vms(state)
        return _tell(state) if leaving else (state, ())
    if state.position is Position.CLOUD:
        return _enter_stopping_vms(state)
    return state, ()


# Entering positions


def _enter_hlt(state: State) -> Step:
    state = replace(state, position=Position.HLT, wanted=Wanted.HLT, cleared=False, errors=0, trouble="")
    state, effects = _end_switch(state, "done")
    return state, (*effects, *_look_at_waiting(state))


def _enter_draining(state: State) -> Step:
    state = replace(state, position=Position.DRAINING, cleared=False, errors=0, trouble="")
    return _ignite(state, Verb.STATUS)


def _enter_handing_over(state: State) -> Step:
    state = replace(state, position=Position.HANDING_OVER, cleared=False, errors=0, trouble="")
    return state, (MoveTokens(Wanted.CLOUD),)


def _enter_cloud(state: State) -> Step:
    state = replace(
        state, position=Position.CLOUD, vms=Vms.STARTING, unproven=False, cleared=False, errors=0, trouble=""
    )
    return _ignite(state, Verb.START)


def _enter_stopping_vms(state: State) -> Step:
    state = replace(
        state, position=Position.STOPPING_VMS, vms=Vms.STOPPING, unproven=False, errors=0, trouble="", stop_due=False
    )
    return _ignite_stop(state)


def _enter_return(state: State) -> Step:
    """The way back to HLT; VMs that may run are stopped first."""
    return _enter_taking_back(state) if state.vms is Vms.DOWN else _enter_stopping_vms(state)


def _enter_taking_back(state: State) -> Step:
    state = replace(state, position=Position.TAKING_BACK, cleared=False, errors=0, trouble="")
    return state, (MoveTokens(Wanted.HLT),)


def _ignite(state: State, verb: Verb) -> Step:
    """Asks the cloud tool, unless a question is under way: its answer comes first, and the rule for it goes on."""
    if state.asked is not None:
        return state, ()
    return replace(state, asked=verb), (Ignite(verb),)


def _ignite_stop(state: State) -> Step:
    state, effects = _ignite(state, Verb.STOP)
    return replace(state, stop_due=not effects), (*effects, Wake(Timer.STOP_AGAIN)) if effects else ()


def _end_switch(state: State, outcome: str, why: str = "") -> Step:
    if state.switch is None:
        return state, ()
    return replace(state, switch=None, overdue=False), (EndSwitch(outcome, why),)


# Leaving HLT


def draining_igniter_said(state: State, event: IgniterSaid) -> Step:
    """A cloud tool that works clears the way: the jobs are told to end. One that doesn't refuses the switch."""
    state = replace(state, asked=None)
    if state.cleared:
        return state, ()
    if event.verb is not Verb.STATUS:
        return _ignite(state, Verb.STATUS)
    state = replace(state, unproven=False)
    if event.said is Said.ERROR:
        return _refuse_switch(state, f"the cloud tool says: {event.why}")
    if event.said is Said.RUNNING:
        state = replace(state, vms=Vms.UP)
    newest = _newest(state.waiting, *(run.ref for run in state.runs if not run.ended))
    state, told = _tell(replace(state, cleared=True, waiting=newest))
    replies = (Reply(Answer(id=state.switch.id, verdict=Verdict.ACCEPTED)),) if state.switch else ()
    state, more = _drained(state)
    return state, (*replies, *told, *more)


def _refuse_switch(state: State, why: str) -> Step:
    """Nothing was touched yet: back to HLT. Tokens that somebody moved by hand go back too.

    VMs that were seen running, by a tool that fails now, must be proven down first.
    """
    effects: list[Effect] = []
    if state.switch is not None:
        answer = Answer(id=state.switch.id, verdict=Verdict.REFUSED, reason=why)
        state = replace(state, answered=tuple(answer if old.id == answer.id else old for old in state.answered))
        effects.append(Reply(answer))
    state, ended = _end_switch(state, "refused", why)
    if state.vms is not Vms.DOWN:
        state, entered = _enter_stopping_vms(replace(state, wanted=Wanted.HLT))
        return state, (*effects, *ended, *entered)
    state, entered = _enter_hlt(state)
    return state, (*effects, *ended, MoveTokens(Wanted.HLT), *entered)


def _tell(state: State) -> Step:
    """Tells every run that has not been told so firmly yet; hurry and deadline belong to the journey under way."""
    told = Told.LAST_LUMISECTION
    if state.switch is not None and state.switch.hurry:
        told = Told.NOW
    if state.overdue:
        told = Told.TERMINATE
    return _tell_all(state, told)


def _tell_all(state: State, told: Told) -> Step:
    effects: list[Effect] = [TellJobs(run.ref.number, told) for run in state.runs if run.told < told]
    if effects and told is Told.TERMINATE:
        effects.append(Wake(Timer.KILL))
    return replace(state, runs=tuple(replace(run, told=max(run.told, told)) for run in state.runs)), tuple(effects)


def _drained(state: State) -> Step:
    """Goes on from draining when nothing works here any more."""
    if state.runs or not state.cleared:
        return state, ()
    return _enter_handing_over(state) if state.wanted is Wanted.CLOUD else _enter_return(state)


def draining_work_ended(state: State, event: WorkEnded) -> Step:
    """The last run that ends lets the cores go."""
    state, noted = work_ended(state, event)
    state, effects = _drained(state)
    return state, (*noted, *effects)


def draining_woke(state: State, event: Woke) -> Step:
    """The ladder of a deadline: asked, terminated, killed."""
    if event.timer is Timer.DEADLINE:
        state = replace(state, overdue=state.switch is not None)
        return _tell(state) if state.cleared and state.overdue else (state, ())
    if event.timer is Timer.KILL and any(run.told is Told.TERMINATE for run in state.runs):
        return _tell_all(state, Told.KILL)
    return anywhere_woke(state, event)


def handing_over_tokens_moved(state: State, event: TokensMoved) -> Step:
    """With every token in the cloud folder the VMs may start. HLT does not wait for a move that fails."""
    if event.to is not Wanted.CLOUD:
        return state, ()
    if state.wanted is Wanted.HLT:
        return _enter_return(state)
    return _move_failed(state, event) if event.error else _enter_cloud(state)


def _move_failed(state: State, event: TokensMoved) -> Step:
    state = replace(state, errors=state.errors + 1, trouble=event.error)
    return state, (Wake(Timer.RETRY, state.errors),)


def handing_over_woke(state: State, event: Woke) -> Step:
    """Tries the move again."""
    return (state, (MoveTokens(Wanted.CLOUD),)) if event.timer is Timer.RETRY else anywhere_woke(state, event)


# In cloud


def cloud_igniter_said(state: State, event: IgniterSaid) -> Step:
    """Keeps the VMs up: a start that fails is tried again, ever more seldom."""
    state = replace(state, asked=None)
    if event.said is Said.ERROR:
        return _cloud_error(state, event)
    if event.verb is Verb.START or event.said is Said.RUNNING:
        state = replace(state, vms=Vms.UP, unproven=False, errors=0, trouble="")
        return _end_switch(state, "done")
    return _ignite(replace(state, vms=Vms.STARTING, unproven=False), Verb.START)


def _cloud_error(state: State, event: IgniterSaid) -> Step:
    errors = state.errors + 1
    state = replace(state, vms=Vms.FAILED, errors=errors, trouble=f"cloud tool {event.verb.value}: {event.why}")
    if event.verb is Verb.STATUS and errors >= LASTING_ERRORS:
        reason = f"the cloud tool fails since the start of the switcher: {event.why}"
        return state, (Ask(Wanted.HLT, "switcher", reason),)
    state, ended = _end_switch(state, "vms_failed", state.trouble)
    return state, (*ended, Wake(Timer.RETRY, errors))


def cloud_woke(state: State, event: Woke) -> Step:
    """Tries again what failed."""
    if event.timer is Timer.RETRY and state.vms is Vms.FAILED:
        return _ignite(state, Verb.STATUS if state.unproven else Verb.START)
    return anywhere_woke(state, event)


def cloud_tokens_seen(state: State, event: TokensSeen) -> Step:
    """A token that somebody moved out of the cloud folder asks for HLT."""
    if not event.outside:
        return state, ()
    return state, (Ask(Wanted.HLT, HAND, f"{event.outside} core tokens were moved out of the cloud folder"),)


# Back to HLT


def stopping_igniter_said(state: State, event: IgniterSaid) -> Step:
    """Asks until VMs are proven down: an exit code of `stop` alone proves nothing."""
    state = replace(state, asked=None)
    if event.verb is Verb.START:
        return _ignite_stop(state)
    if event.verb is Verb.STOP:
        state = replace(state, trouble=f"cloud tool stop: {event.why}" if event.said is Said.ERROR else "")
        return _ignite(state, Verb.STATUS)
    if event.said is Said.NOT_RUNNING:
        state = replace(state, vms=Vms.DOWN, errors=0, trouble="")
        return _enter_taking_back(state) if state.wanted is Wanted.HLT else _enter_cloud(state)
    if event.said is Said.ERROR:
        state = replace(state, errors=state.errors + 1, trouble=f"cloud tool status: {event.why}")
        if state.errors % STOP_AGAIN_EVERY == 0:
            return _ignite_stop(state)
    if state.stop_due:
        return _ignite_stop(state)
    return state, (Wake(Timer.POLL, state.errors),)


def stopping_woke(state: State, event: Woke) -> Step:
    """Asks for the status again, and for another stop when the last one was long ago."""
    if event.timer is Timer.POLL:
        return _ignite(state, Verb.STATUS)
    if event.timer is Timer.STOP_AGAIN:
        return replace(state, stop_due=True), ()
    return anywhere_woke(state, event)


def taking_back_tokens_moved(state: State, event: TokensMoved) -> Step:
    """With the tokens back the node is in HLT, or leaves again if that is wanted by now."""
    if event.to is not Wanted.HLT:
        return state, ()
    if state.wanted is Wanted.CLOUD:
        return _enter_draining(state)
    return _move_failed(state, event) if event.error else _enter_hlt(state)


def taking_back_woke(state: State, event: Woke) -> Step:
    """Tries the move again."""
    return (state, (MoveTokens(Wanted.HLT),)) if event.timer is Timer.RETRY else anywhere_woke(state, event)


# In HLT


def hlt_run_appeared(state: State, event: RunAppeared) -> Step:
    """Takes the run, once; before the VMs are known to be down it waits."""
    if _has(state, event.ref.number):
        return state, ()
    if state.unproven:
        return replace(state, waiting=_newest(state.waiting, event.ref)), ()
    return _join(state, event.ref, "started")


def hlt_run_checked(state: State, event: RunChecked) -> Step:
    """Joins the run that waited if it still goes on."""
    if state.waiting != event.ref:
        return state, ()
    if event.ongoing is None:
        state = replace(state, errors=state.errors + 1)
        return state, (Wake(Timer.RETRY, state.errors),)
    state = replace(state, errors=0)
    if event.ongoing and not _has(state, event.ref.number):
        return _join(state, event.ref, "joined")
    return replace(state, waiting=None), (NoteRun(event.ref, "dropped", "it no longer goes on"),)


def hlt_igniter_said(state: State, event: IgniterSaid) -> Step:
    """At start-up VMs that run own the cores: the node belongs to the cloud. Otherwise it is in HLT for certain."""
    state = replace(state, asked=None)
    if not state.unproven or event.verb is not Verb.STATUS:
        return state, ()
    if event.said is Said.RUNNING:
        return replace(state, vms=Vms.UP), (Ask(Wanted.CLOUD, "switcher", "VMs were found running at start-up"),)
    state = replace(state, unproven=False)
    return state, _look_at_waiting(state)


def hlt_tokens_seen(state: State, event: TokensSeen) -> Step:
    """A token that somebody moved into the cloud folder asks for cloud, once: not again after it was refused."""
    last = state.answered[-1] if state.answered else None
    refused = last is not None and last.verdict is Verdict.REFUSED and last.id.startswith(HAND)
    if not event.in_cloud or refused:
        return state, ()
    return state, (Ask(Wanted.CLOUD, HAND, f"{event.in_cloud} core tokens were moved to the cloud folder"),)


def hlt_woke(state: State, event: Woke) -> Step:
    """Asks again about the run that waits."""
    return (state, _look_at_waiting(state)) if event.timer is Timer.RETRY else anywhere_woke(state, event)


def _look_at_waiting(state: State) -> tuple[Effect, ...]:
    return (CheckRun(state.waiting),) if state.waiting and not state.unproven else ()


def _join(state: State, ref: RunRef, what: str) -> Step:
    waiting = state.waiting if state.waiting and state.waiting.number > ref.number else None
    return replace(state, runs=(*state.runs, Run(ref)), waiting=waiting), (NoteRun(ref, what), StartWork(ref))


# Anywhere


def refuse_run(state: State, event: RunAppeared) -> Step:
    """Outside HLT no run is taken, but the newest is remembered."""
    if _has(state, event.ref.number):
        return state, ()
    state = replace(state, waiting=_newest(state.waiting, event.ref))
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
    if not _has(state, event.number):
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


def _has(state: State, number: int) -> bool:
    return any(run.ref.number == number for run in state.runs)


def _newest(*refs: RunRef | None) -> RunRef | None:
    return max((ref for ref in refs if ref is not None), key=lambda ref: ref.number, default=None)


# After a start


def started(state: State, event: Started) -> Step:
    """Carries on from the state as it was written and the facts as they are."""
    before = {run.ref.number: run for run in state.runs}
    working = tuple(before.get(run.ref.number, run) for run in event.working)
    alive = {run.ref.number for run in working}
    left = [run.ref for run in state.runs if run.ref.number not in alive and not run.ended]
    lying = [ref for ref in event.lying if ref.number not in alive]
    state = replace(state, runs=working, asked=None, waiting=_newest(state.waiting, *left, *lying))
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
            state, effects = _ignite(replace(state, unproven=True), Verb.STATUS)
            return state, (*effects, *hlt_tokens_seen(state, TokensSeen(event.in_cloud, event.outside))[1])
    if state.position is Position.CLOUD:
        state, effects = _ignite(replace(state, unproven=True, errors=0), Verb.STATUS)
        return state, (*effects, *cloud_tokens_seen(state, TokensSeen(event.in_cloud, event.outside))[1])
    if state.position is Position.STOPPING_VMS:
        return _enter_stopping_vms(state)
    if state.position is Position.TAKING_BACK and event.rebooted:
        return _enter_stopping_vms(state)
    if state.position is Position.TAKING_BACK:
        return _enter_taking_back(state)
    if state.position is Position.DRAINING and not state.cleared:
        return _enter_draining(state)
    told = replace(
        state,
        position=Position.DRAINING,
        cleared=True,
        runs=tuple(replace(run, told=Told.NOTHING) for run in state.runs),
    )
    told, effects = _tell(told)
    drained, more = _drained(told)
    return drained, (*effects, *more)


# The table

_EVERYWHERE: Final[dict[type[Event], Rule]] = {
    Started: started,
    Requested: on_request,
    RunAppeared: refuse_run,
    RunEnded: run_ended,
    WorkEnded: work_ended,
    RunChecked: ignore,
    IgniterSaid: igniter_said,
    TokensMoved: ignore,
    TokensSeen: ignore,
    Woke: anywhere_woke,
}

TABLE: Final[dict[Position, dict[type[Event], Rule]]] = {
    Position.HLT: _EVERYWHERE
    | {
        RunAppeared: hlt_run_appeared,
        RunChecked: hlt_run_checked,
        IgniterSaid: hlt_igniter_said,
        TokensSeen: hlt_tokens_seen,
        Woke: hlt_woke,
    },
    Position.DRAINING: _EVERYWHERE
    | {
        WorkEnded: draining_work_ended,
        IgniterSaid: draining_igniter_said,
        Woke: draining_woke,
    },
    Position.HANDING_OVER: _EVERYWHERE
    | {
        TokensMoved: handing_over_tokens_moved,
        Woke: handing_over_woke,
    },
    Position.CLOUD: _EVERYWHERE
    | {
        IgniterSaid: cloud_igniter_said,
        TokensSeen: cloud_tokens_seen,
        Woke: cloud_woke,
    },
    Position.STOPPING_VMS: _EVERYWHERE
    | {
        IgniterSaid: stopping_igniter_said,
        Woke: stopping_woke,
    },
    Position.TAKING_BACK: _EVERYWHERE
    | {
        TokensMoved: taking_back_tokens_moved,
        Woke: taking_back_woke,
    },
}
