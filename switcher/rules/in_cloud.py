"""Rules of `cloud`: VMs are started, and kept up: the cloud tool is asked now and then whether they still run."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from contract.modes import Vms, Wanted
from switcher.events import (
    Ask,
    IgniterSaid,
    Said,
    Step,
    Timer,
    TokensSeen,
    Wake,
    Woke,
)
from switcher.rules.anywhere import anywhere_woke
from switcher.rules.entering import end_switch, ignite
from switcher.rules.in_hlt import HAND
from switcher.states import State, Verb

LASTING_ERRORS: Final = 5  # of the status question at start-up, before the node goes back to HLT


def cloud_igniter_said(state: State, event: IgniterSaid) -> Step:
    """Keeps the VMs up: they are started when none run; a start that fails is tried again, ever more seldom."""
    state = replace(state, asked=None)
    if event.said is Said.ERROR:
        return _cloud_error(state, event)
    if event.verb is Verb.START or event.said is Said.RUNNING:
        state = replace(state, vms=Vms.UP, unproven=False, errors=0, trouble="")
        state, ended = end_switch(state, "done")
        return state, (*ended, Wake(Timer.CHECK))
    return ignite(replace(state, vms=Vms.STARTING, unproven=False, errors=0, trouble=""), Verb.START)


def _cloud_error(state: State, event: IgniterSaid) -> Step:
    errors = state.errors + 1
    state = replace(state, errors=errors, trouble=f"cloud tool {event.verb.value}: {event.why}")
    if event.verb is Verb.STATUS and state.vms is Vms.UP and not state.unproven:
        # A question without an answer is no reason to call `start` on VMs that may well run.
        return state, (Wake(Timer.CHECK),)
    state = replace(state, vms=Vms.FAILED)
    if event.verb is Verb.STATUS and errors >= LASTING_ERRORS:
        reason = f"the cloud tool fails since the start of the switcher: {event.why}"
        return state, (Ask(Wanted.HLT, "switcher", reason),)
    state, ended = end_switch(state, "vms_failed", state.trouble)
    return state, (*ended, Wake(Timer.RETRY, errors))


def cloud_woke(state: State, event: Woke) -> Step:
    """Tries again what failed, and looks after VMs that are up."""
    if event.timer is Timer.CHECK and state.vms is Vms.UP:
        return ignite(state, Verb.STATUS)
    if event.timer is Timer.RETRY and state.vms is Vms.FAILED:
        return ignite(state, Verb.STATUS if state.unproven else Verb.START)
    return anywhere_woke(state, event)


def cloud_tokens_seen(state: State, event: TokensSeen) -> Step:
    """A token that somebody moved out of the cloud folder asks for HLT."""
    if not event.outside:
        return state, ()
    return state, (Ask(Wanted.HLT, HAND, f"{event.outside} core tokens were moved out of the cloud folder"),)
