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

from contract.modes import Mode
from switcher.events import (
    Event,
    IgniterSaid,
    Requested,
    RunAppeared,
    RunChecked,
    RunEnded,
    Started,
    Step,
    Timer,
    TokensMoved,
    TokensSeen,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.rules.anywhere import anywhere_woke, igniter_said, ignore, refuse_run, run_ended, work_ended
from switcher.rules.in_cloud import cloud_igniter_said, cloud_tokens_seen, cloud_woke
from switcher.rules.in_hlt import hlt_igniter_said, hlt_run_appeared, hlt_run_checked, hlt_tokens_seen, hlt_woke
from switcher.rules.leaving import (
    draining_igniter_said,
    draining_woke,
    draining_work_ended,
    handing_over_tokens_moved,
    handing_over_woke,
)
from switcher.rules.requests import on_request
from switcher.rules.returning import stopping_igniter_said, stopping_woke, taking_back_tokens_moved, taking_back_woke
from switcher.rules.starting import started
from switcher.states import Position, State, mode

Rule = Callable[[State, Any], Step]


def step(state: State, event: Event) -> Step:
    """Returns the state after `event` and what is to be done about it, in order."""
    after, effects = TABLE[state.position][type(event)](state, event)
    before_mode, after_mode = mode(state), mode(after)
    if after_mode is not before_mode:
        after = replace(after, stuck=False)
        if after_mode in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD):
            effects = (*effects, Wake(Timer.STUCK))
    return after, effects


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
