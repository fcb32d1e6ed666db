"""The machine as the model sees it: every state it was ever in has a number, every step is computed once.

A state is put into its normal form after each step, so that there are finitely many. Why each part of that loses
nothing:

ids        Rules compare ids for equality only. So the journey under way is called `r`; a command file keeps its id
           while it lies on disk; a new request is always called `new`. What a repeated id does is asked in every state
           by itself (`promises.state`).
answered   Only the answers to the journey under way and to command files on disk are read by rules.
words      `trouble`, reasons and names decide nothing.
errors     Compared with STOP_AGAIN_EVERY (modulo) and LASTING_ERRORS only, which are made 2 here; otherwise they only
           set how long a clock waits, and clocks ring at any moment here.
stuck      No rule reads it. That the bell sets it is a promise of its own.
deadline   There is one or there is none; when it rings is up to the world.

That a normal form behaves like the state itself is tried on random states and events in `tests.model.test_proof`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from msgspec.structs import replace

from contract.modes import MODES, Wanted
from contract.request import Answer, Verdict
from switcher import machine
from switcher.events import (
    Ask,
    CheckRun,
    Effect,
    Event,
    Ignite,
    MoveTokens,
    Refuse,
    StartWork,
    TellJobs,
    Wake,
)
from switcher.rules import in_cloud, returning
from switcher.rules.in_hlt import HAND
from switcher.states import Position, State, Told, may_work, mode
from tests.model.world import CALL_OF, CLOCK_OF

ERRORS_COUNT: Final = 2

FILE: Final = "file-"
UNDER_WAY: Final = "r"

# Orders: what an effect asks of the shell, as (what, argument).
PUBLISH, MOVE, IGNITE, CHECK, BEGIN, REFUSE, TELL, ASK, WAKE = range(9)
Order = tuple[int, int]


Broken = str


class Facts(NamedTuple):
    """What the model needs to know of a state, looked up instead of computed."""

    mode: int
    may_work: tuple[int, ...]
    runs: tuple[int, ...]
    ended: int
    broken: Broken | None


class Transition(NamedTuple):
    """One step of the machine: the events that led from one state to the next, and what it ordered."""

    before: int
    event: Event
    after: int
    effects: tuple[Effect, ...]


Judge = Callable[[State, Event, State, tuple[Effect, ...]], Broken | None]
StateJudge = Callable[[State], Broken | None]


class Heart:
    """The states met so far and the steps between them; each step and each state is judged once."""

    def __init__(self, judge: Judge, judge_state: StateJudge) -> None:
        self.states: list[State] = []
        self.facts: list[Facts] = []
        self.transitions: list[Transition] = []
        self._judge, self._judge_state = judge, judge_state
        self._numbers: dict[State, int] = {}
        self._events: dict[Event, int] = {}
        self._steps: dict[int, tuple[int, tuple[Order, ...], Broken | None]] = {}

    def number(self, state: State) -> int:
        """Returns the number of `state`, in its normal form."""
        state = normal(state)
        found = self._numbers.get(state)
        if found is None:
            found = self._numbers[state] = len(self.states)
            self.states.append(state)
            self.facts.append(
                Facts(
                    MODES[mode(state)].code,
                    tuple(ref.number for ref in may_work(state)),
                    tuple(run.ref.number for run in state.runs),
                    sum(run.ref.number for run in state.runs if run.ended),
                    self._judge_state(state),
                )
            )
        return found

    def event(self, event: Event) -> int:
        """Returns the number of `event`, by which `step` knows it."""
        return self._events.setdefault(event, len(self._events))

    def step(self, heart: int, event: Event) -> tuple[int, tuple[Order, ...], Broken | None]:
        """Returns the state after `event`, the orders in order, and the promise that this step breaks, if any."""
        key = heart << 12 | self.event(event)
        known = self._steps.get(key)
        if known is None:
            known = self._steps[key] = self._stepped(heart, event)
        return known

    def forget(self, heart: int, name: str) -> int:
        """Returns the state when the command file `name` is no longer on disk."""
        state = self.states[heart]
        own, switch = FILE + name, state.switch
        under_way = switch is not None and switch.id == own
        if switch is not None and under_way:
            switch = replace(switch, id=UNDER_WAY)
        answered = tuple(
            replace(answer, id=UNDER_WAY) if answer.id == own else answer
            for answer in state.answered
            if answer.id != own or under_way
        )
        return self.number(replace(state, switch=switch, answered=answered))

    def _stepped(self, heart: int, event: Event) -> tuple[int, tuple[Order, ...], Broken | None]:
        before = self.states[heart]
        after, effects = machine.step(before, event)
        broken = self._judge(before, event, after, effects)
        number = self.number(after)
        broken = broken or self.facts[number].broken
        self.transitions.append(Transition(heart, event, number, effects))
        return number, orders_of(before, after, effects), broken


def orders_of(before: State, after: State, effects: tuple[Effect, ...]) -> tuple[Order, ...]:
    """Returns what a step asks of the shell, in order; what only the journal or a caller gets is left out."""
    published = [] if mode(after) is mode(before) else [(PUBLISH, MODES[mode(after)].code)]
    return (*published, *(order for effect in effects for order in _orders(effect)))


def _orders(effect: Effect) -> Iterator[Order]:
    match effect:
        case MoveTokens(to):
            yield MOVE, int(to is Wanted.CLOUD)
        case Ignite(verb):
            yield IGNITE, CALL_OF[verb]
        case CheckRun(ref):
            yield CHECK, ref.number
        case StartWork(ref):
            yield BEGIN, ref.number
        case Refuse(ref):
            yield REFUSE, ref.number
        case TellJobs(number, told):
            yield TELL, number if told is not Told.NOTHING else 0
        case Ask(to, who, _):
            yield ASK, 2 * int(to is Wanted.CLOUD) + int(who == HAND)
        case Wake(timer):
            yield WAKE, CLOCK_OF[timer]


def normal(state: State) -> State:
    """Returns the one state that stands for all that behave like `state` (see above)."""
    errors = 0
    if state.position is Position.STOPPING_VMS:
        errors = state.errors % ERRORS_COUNT
    elif state.position is Position.CLOUD:
        errors = min(state.errors, ERRORS_COUNT)
    switch, answered = state.switch, state.answered
    kept = [answer for answer in answered if answer.id.startswith(FILE)]
    if switch is not None:
        if not switch.id.startswith(FILE):
            verdict = next((answer.verdict for answer in answered if answer.id == switch.id), Verdict.ACCEPTED)
            kept.append(Answer(id=UNDER_WAY, verdict=verdict))
        own = switch.id if switch.id.startswith(FILE) else UNDER_WAY
        switch = replace(switch, id=own, who="", reason="", deadline_s=None if switch.deadline_s is None else 1.0)
    return replace(
        state,
        errors=errors,
        trouble="",
        stuck=False,
        switch=switch,
        answered=tuple(replace(answer, reason="") for answer in kept),
        runs=tuple(sorted(state.runs, key=lambda run: run.ref.number)),
    )


@contextmanager
def small_counts() -> Iterator[None]:
    """Has the rules count to ERRORS_COUNT only, so that states close early."""
    before = returning.STOP_AGAIN_EVERY, in_cloud.LASTING_ERRORS
    returning.STOP_AGAIN_EVERY = in_cloud.LASTING_ERRORS = ERRORS_COUNT  # type: ignore[misc]  # made small on purpose
    try:
        yield
    finally:
        returning.STOP_AGAIN_EVERY, in_cloud.LASTING_ERRORS = before  # type: ignore[misc]  # as they were
