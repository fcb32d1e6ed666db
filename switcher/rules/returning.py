"""Rules of `stopping_vms` and `taking_back`: from the cloud to HLT."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from switcher.events import (
    IgniterSaid,
    MoveTokens,
    Said,
    Step,
    Timer,
    TokensMoved,
    Wake,
    Woke,
)
from switcher.rules.anywhere import anywhere_woke, move_failed
from switcher.rules.entering import clear_the_way, enter_draining, enter_hlt, enter_taking_back, ignite, ignite_stop
from switcher.states import State, Verb

STOP_AGAIN_EVERY: Final = 10  # errors of the status question (hltd contract: cloud -> HLT, 2)


def stopping_igniter_said(state: State, event: IgniterSaid) -> Step:
    """Asks until VMs are proven down: an exit code of `stop` alone proves nothing."""
    state = replace(state, asked=None)
    if event.verb is Verb.START:
        return ignite_stop(state)
    if event.verb is Verb.STOP:
        failed = event.said is Said.ERROR
        # One that failed is repeated once, unless the VMs are down all the same; then not before STOP_AGAIN rings.
        repeat = failed and not state.retried
        trouble = f"cloud tool stop: {event.why}" if failed else ""
        state = replace(state, trouble=trouble, stop_due=state.stop_due or repeat, retried=repeat)
        return ignite(state, Verb.STATUS)
    if event.said is Said.NOT_RUNNING:
        state = replace(state, vms=Vms.DOWN, errors=0, trouble="", stop_due=False, retried=False)
        # On the way to the cloud nothing is taken for granted: somebody may have moved tokens meanwhile.
        return enter_taking_back(state) if state.wanted is Wanted.HLT else clear_the_way(state)
    if event.said is Said.ERROR:
        state = replace(state, errors=state.errors + 1, trouble=f"cloud tool status: {event.why}")
        if state.errors % STOP_AGAIN_EVERY == 0:
            return ignite_stop(state)
    if state.stop_due:
        return ignite_stop(state)
    return state, (Wake(Timer.POLL, state.errors),)


def stopping_woke(state: State, event: Woke) -> Step:
    """Asks for the status again, and for another stop when the last one was long ago."""
    if event.timer is Timer.POLL:
        return ignite(state, Verb.STATUS)
    if event.timer is Timer.STOP_AGAIN:
        return replace(state, stop_due=True), ()
    return anywhere_woke(state, event)


def taking_back_tokens_moved(state: State, event: TokensMoved) -> Step:
    """With the tokens back the node is in HLT, or leaves again if that is wanted by now."""
    if event.to is not Wanted.HLT:
        return state, ()
    if state.wanted is Wanted.CLOUD:
        return enter_draining(state)
    return move_failed(state, event) if event.error else enter_hlt(state)


def taking_back_woke(state: State, event: Woke) -> Step:
    """Tries the move again."""
    return (state, (MoveTokens(Wanted.HLT),)) if event.timer is Timer.RETRY else anywhere_woke(state, event)
