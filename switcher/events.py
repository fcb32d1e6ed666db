"""What can happen to the machine (events) and what it wants done (effects)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contract.modes import Wanted
from contract.paths import RunRef
from contract.request import Answer, Request, Verdict
from switcher.states import Run, State, Told, Verb


class Timer(StrEnum):
    """The alarm clocks of the machine; setting one that runs sets it anew."""

    RETRY = "retry"
    POLL = "poll"
    STOP_AGAIN = "stop_again"
    STUCK = "stuck"
    DEADLINE = "deadline"
    KILL = "kill"
    CHECK = "check"


class Said(StrEnum):
    """What an answer of the cloud tool means."""

    DONE = "done"
    RUNNING = "running"
    NOT_RUNNING = "not running"
    ERROR = "error"


class Event(msgspec.Struct, frozen=True):
    """Something happened."""


class Started(Event, frozen=True, kw_only=True):
    """The switcher started and found these facts.

    working: runs with living processes; lying: run directories that are not finished and have none
    known:   a state file was there; rebooted: the machine itself has started since it was written
    """

    in_cloud: int
    outside: int
    working: tuple[Run, ...] = ()
    lying: tuple[RunRef, ...] = ()
    known: bool = True
    rebooted: bool = False


class Requested(Event, frozen=True):
    """Somebody asks this node to be elsewhere."""

    request: Request


class RunAppeared(Event, frozen=True):
    """A run was announced to this node."""

    ref: RunRef


class RunEnded(Event, frozen=True):
    """A run was declared ended, or its directory vanished (`how`)."""

    number: int
    how: str = "ended"


class WorkEnded(Event, frozen=True):
    """Every job and the merge script of a run have ended."""

    number: int


class RunChecked(Event, frozen=True):
    """Whether a run still goes on at the BU; None when the BU could not be asked."""

    ref: RunRef
    ongoing: bool | None


class IgniterSaid(Event, frozen=True):
    """The cloud tool answered `verb`; `why` says more about an error."""

    verb: Verb
    said: Said
    why: str = ""


class TokensMoved(Event, frozen=True):
    """Every core token was moved, or the first that could not be is named in `error`."""

    to: Wanted
    error: str = ""


class TokensSeen(Event, frozen=True):
    """So many core tokens are in the cloud folder and outside it."""

    in_cloud: int
    outside: int


class Woke(Event, frozen=True):
    """An alarm clock rang."""

    timer: Timer


class Effect(msgspec.Struct, frozen=True):
    """Something is to be done."""


class NoteRequest(Effect, frozen=True):
    """Put a new request and its first answer into the journal."""

    request: Request
    verdict: Verdict
    why: str = ""


class NoteRun(Effect, frozen=True):
    """Put what happened to a run into the journal."""

    ref: RunRef
    what: str
    detail: str = ""


class EndSwitch(Effect, frozen=True):
    """The journey under way is over; put it into the journal as a whole."""

    outcome: str
    why: str = ""


class Reply(Effect, frozen=True):
    """Answer whoever waits for this request."""

    answer: Answer


class Ask(Effect, frozen=True):
    """Make a request on behalf of `who`, whose name its id begins with."""

    to: Wanted
    who: str
    reason: str


class StartWork(Effect, frozen=True):
    """Prepare the run directory, start the merge script and jobs."""

    ref: RunRef


class Refuse(Effect, frozen=True):
    """Remove the directory of a run that this node does not take."""

    ref: RunRef


class CheckRun(Effect, frozen=True):
    """Ask the BU's ramdisk whether the run still goes on."""

    ref: RunRef


class TellJobs(Effect, frozen=True):
    """Tell the jobs of a run to end, this firmly."""

    number: int
    told: Told


class MoveTokens(Effect, frozen=True):
    """Move every core token to the cloud, or those in the cloud back to idle."""

    to: Wanted


class Ignite(Effect, frozen=True):
    """Call the cloud tool."""

    verb: Verb


class Wake(Effect, frozen=True):
    """Set an alarm clock; `attempt` counts failures, so that the shell waits longer each time.

    Without `after_s` the shell knows how long: by the timer, less what has passed already of a switch under way.
    """

    timer: Timer
    attempt: int = 0
    after_s: float | None = None


Step = tuple[State, tuple[Effect, ...]]
