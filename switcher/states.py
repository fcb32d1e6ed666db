"""What the switcher knows: the state of the machine, without clock, file or process.

position   who owns the cores, as facts say          wanted   what the last accepted request asked for
mode       what is published: `mode(state)`, from position and wanted, never the other way round
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from contract.modes import Mode, Vms, Wanted
from contract.paths import RunRef
from contract.request import Answer, Request


class Position(StrEnum):
    """Who owns the cores."""

    HLT = "hlt"
    DRAINING = "draining"
    HANDING_OVER = "handing_over"
    CLOUD = "cloud"
    STOPPING_VMS = "stopping_vms"
    TAKING_BACK = "taking_back"


class Verb(StrEnum):
    """What the cloud tool can be asked."""

    START = "start"
    STOP = "stop"
    STATUS = "status"


class Told(IntEnum):
    """How firmly the jobs of a run have been told to end; a step up is never taken back."""

    NOTHING = 0
    LAST_LUMISECTION = 1
    NOW = 2
    TERMINATE = 3
    KILL = 4


class Run(msgspec.Struct, frozen=True):
    """A run that has, or is about to have, jobs or a merge script on this node."""

    ref: RunRef
    told: Told = Told.NOTHING
    ended: bool = False


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the machine decides by.

    unproven: after a start, until the cloud tool has said once whether VMs run; no job is started before
    cleared:  while draining, the cloud tool is known to work and the jobs have been told to end
    asked:    the one question to the cloud tool that is under way
    errors:   failures in a row of what is being tried
    trouble:  the last of them, in words
    stop_due: a stop is to be asked again at the next chance
    retried:  the last stop that was due was the repeat of one that failed
    waiting:  the newest run that was refused or left, to be joined on return if it still goes on
    switch:   the request of the journey under way
    overdue:  the deadline of that request has passed
    stuck:    the mode has lasted longer than it should
    answered: the last requests, oldest first; a repeated id gets the same answer, or hears of a newer one
    """

    position: Position = Position.HLT
    wanted: Wanted = Wanted.HLT
    vms: Vms = Vms.DOWN
    unproven: bool = False
    cleared: bool = False
    asked: Verb | None = None
    errors: int = 0
    trouble: str = ""
    stop_due: bool = False
    retried: bool = False
    runs: tuple[Run, ...] = ()
    waiting: RunRef | None = None
    switch: Request | None = None
    overdue: bool = False
    stuck: bool = False
    answered: tuple[Answer, ...] = ()


def mode(state: State) -> Mode:
    """Returns the mode that `state` is published as."""
    if state.position is Position.HLT:
        return Mode.HLT
    if state.position is Position.CLOUD:
        return Mode.CLOUD
    return Mode.ACTIVATING_CLOUD if state.wanted is Wanted.CLOUD else Mode.DEACTIVATING_CLOUD


def phase(state: State) -> str | None:
    """Returns the phase of the journey under way, None when there is no journey."""
    if state.switch is None:
        return None
    if state.position is Position.DRAINING and not state.cleared:
        return "check"
    return {
        Position.HLT: "hlt",
        Position.DRAINING: "drain",
        Position.HANDING_OVER: "hand_over",
        Position.CLOUD: "start_vms",
        Position.STOPPING_VMS: "stop_vms",
        Position.TAKING_BACK: "take_back",
    }[state.position]


def may_work(state: State) -> tuple[RunRef, ...]:
    """Returns the runs for which jobs may be started now, newest first."""
    if state.position is not Position.HLT or state.unproven:
        return ()
    willing = [run.ref for run in state.runs if not run.ended and run.told is Told.NOTHING]
    return tuple(sorted(willing, reverse=True))
