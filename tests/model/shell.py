"""The shell as the model sees it: step, save, mode file, effects one by one, what follows from them, levels.

The order is that of `switcher.node` and `switcher.carrying`, and after everything that the world can see the daemon may
be killed (`Outcome.cut` says after what). Step and save are one: what is killed between them has not happened, for the
event is still in the world (a file, a token, a process that has ended) or was never answered (a request over HTTP).
While effects are carried out the world stands still. It loses nothing by that: no step reads the world except through
the facts in its event, so what the world does meanwhile could as well have come before the event or after the effects.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from contract.modes import Wanted
from contract.paths import RunRef
from contract.request import Request
from switcher.events import (
    Event,
    Requested,
    RunAppeared,
    RunChecked,
    Started,
    TokensMoved,
    WorkEnded,
)
from switcher.rules.in_hlt import HAND
from switcher.states import Run, Verb
from tests.model import heart as orders
from tests.model.heart import Heart, Order
from tests.model.world import (
    CALLS,
    FINISHED,
    FORGETFUL,
    FRESH,
    GOES_ON,
    KILLED,
    NONE,
    REBOOTED,
    RUNS,
    SERVES,
    TOKENS,
    World,
    runs_in,
    with_run,
)

FAILED: Final = "core0: not permitted"

MOVED: Final = {
    (to, error): TokensMoved(Wanted.CLOUD if to else Wanted.HLT, error) for to in (0, 1) for error in ("", FAILED)
}
ASKED: Final = {
    2 * cloud + hand: Requested(
        Request(id=f"{HAND if hand else 'switcher'}-new", to=Wanted.CLOUD if cloud else Wanted.HLT)
    )
    for cloud in (0, 1)
    for hand in (0, 1)
}
BY_HAND: Final = (ASKED[1], ASKED[3])
BY_ITSELF: Final = (ASKED[0], ASKED[2])
WORK_ENDED: Final = {run: WorkEnded(run) for run in RUNS}


class Outcome(NamedTuple):
    """One way in which an item of the mailbox can end: its cost, where it was cut off, what broke, and the world."""

    cost: int
    cut: str
    broken: str | None
    world: World


class Shell:
    """Carries events out in worlds, with at most `most` disturbances on the way."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.most = 0

    def handle(self, world: World, event: Event) -> list[Outcome]:
        """Returns every way in which `event` may be dealt with, kills included, that costs at most `most`."""
        outcomes: list[Outcome] = []
        self._follow(world, (event,), 0, "", outcomes)
        return outcomes

    def look_after(self, world: World) -> list[Outcome]:
        """Returns every way in which the levels may be set right after something in `world` has ended."""
        outcomes: list[Outcome] = []
        world, events = self._levels(world)
        self._follow(world, events, 0, "", outcomes)
        return outcomes

    def start(self, world: World) -> list[Outcome]:
        """Returns every way in which a start of the daemon may go on."""
        return self.handle(world._replace(life=SERVES, work=world.jobs, seen=_there(world)), self.facts(world))

    def facts(self, world: World) -> Started:
        """Returns what a daemon that starts in `world` finds."""
        return Started(
            in_cloud=world.in_cloud,
            outside=TOKENS - world.in_cloud,
            working=tuple(Run(RunRef(run)) for run in runs_in(world.jobs)),
            lying=tuple(RunRef(run) for run in RUNS if world.dirs[run - 1] == FRESH),
            known=world.life != FORGETFUL,
            rebooted=world.life == REBOOTED,
        )

    def killed(self, world: World) -> list[World]:
        """Returns the worlds in which the daemon was killed; a call of the cloud tool may have done its work or not."""
        after = world._replace(life=KILLED, work=0, seen=0, clocks=0, call=0, checks=0, newer=False)
        verb = CALLS[world.call]
        if verb is Verb.START and not world.vms:
            return [after, after._replace(vms=True)]
        if verb is Verb.STOP and world.vms:
            return [after, after._replace(vms=False)]
        return [after]

    def _follow(self, world: World, events: tuple[Event, ...], cost: int, failed: str, outcomes: list[Outcome]) -> None:
        """Deals with `events` and all that follows from them, then with the levels."""
        broken = None
        while events and broken is None:
            world, ordered, broken = self._stepped(world, events[0])
            events = events[1:]
            if ordered and broken is None:
                self._cut(world, cost, "its state was saved", outcomes)
                world, events, broken = self._carried(world, ordered, events, cost, outcomes)
            if not events and broken is None:
                world, events = self._levels(world)
        outcomes.append(Outcome(cost, failed, broken, world))

    def _stepped(self, world: World, event: Event) -> tuple[World, tuple[Order, ...], str | None]:
        """Returns the world with the new state on disk, what was ordered, and the promise that is broken by that."""
        before = self.heart.states[world.heart]
        number, ordered, broken = self.heart.step(world.heart, event)
        after = self.heart.states[number]
        accepted = type(event) is Requested and event not in BY_ITSELF and after.wanted is not before.wanted
        newer = after.unproven and (world.newer or accepted)
        if number != world.heart or newer is not world.newer:
            world = world._replace(heart=number, newer=newer)
        if event in BY_HAND:
            world = world._replace(hand=False)
        if type(event) is Started and not (ordered and ordered[0][0] == orders.PUBLISH):
            world = world._replace(published=self.heart.facts[number].mode)
        joined = isinstance(event, RunChecked) and (orders.BEGIN, event.ref.number) in ordered
        if isinstance(event, RunChecked) and joined and world.bu[event.ref.number - 1] != GOES_ON:
            broken = broken or f"6: {event.ref} is joined though it has ended"
        return world, ordered, broken

    def _carried(
        self,
        world: World,
        ordered: tuple[Order, ...],
        events: tuple[Event, ...],
        cost: int,
        outcomes: list[Outcome],
    ) -> tuple[World, tuple[Event, ...], str | None]:
        """Returns the world after `ordered`, what is to be dealt with next, and the promise that is broken by that."""
        for place, order in enumerate(ordered):
            if order[0] == orders.MOVE and cost < self.most:
                self._failing_moves(world, ordered[place:], events, cost, outcomes)
            world, more, broken = self._carry_out(world, order)
            if broken is not None:
                return world, events, broken
            events += more
            if order[0] in SEEN_OUTSIDE and (place + 1 < len(ordered) or more):
                self._cut(world, cost, SEEN_OUTSIDE[order[0]], outcomes)
        return world, events, None

    def _failing_moves(
        self, world: World, ordered: tuple[Order, ...], events: tuple[Event, ...], cost: int, outcomes: list[Outcome]
    ) -> None:
        """Moves of tokens that fail, at once or half-way, go their own way from here."""
        to_cloud = ordered[0][1]
        left = TOKENS - world.in_cloud if to_cloud else world.in_cloud
        for moved in range(left):
            there = world._replace(in_cloud=world.in_cloud + moved if to_cloud else world.in_cloud - moved)
            self._cut(there, cost, f"{moved} of {left} core tokens had moved", outcomes)
            failed = f"only {moved} of {left} core tokens could be moved"
            there, after, broken = self._carried(
                there, ordered[1:], (*events, MOVED[to_cloud, FAILED]), cost + 1, outcomes
            )
            if broken is None:
                self._follow(there, after, cost + 1, failed, outcomes)
            else:
                outcomes.append(Outcome(cost + 1, failed, broken, there))

    def _cut(self, world: World, cost: int, after: str, outcomes: list[Outcome]) -> None:
        if cost < self.most:
            outcomes.extend(Outcome(cost + 1, f"killed when {after}", None, killed) for killed in self.killed(world))

    def _carry_out(self, world: World, order: Order) -> tuple[World, tuple[Event, ...], str | None]:
        """Returns the world after one order, the events that follow, and the promise that it breaks."""
        what, which = order
        if what == orders.WAKE:
            return (world if world.clocks & which else world._replace(clocks=world.clocks | which)), (), None
        if what == orders.PUBLISH:
            return world._replace(published=which), (), None
        if what == orders.IGNITE:
            return world._replace(call=which), (), self._called(world, which)
        if what == orders.MOVE:
            return world._replace(in_cloud=TOKENS if which else 0, hand=False), (MOVED[which, ""],), None
        if what == orders.CHECK:
            return world._replace(checks=world.checks | which), (), None
        if what == orders.TELL:
            return world._replace(told=world.told | (which & world.work)), (), None
        if what == orders.BEGIN:
            begun = world._replace(
                work=world.work | which, told=world.told & ~which, dirs=with_run(world.dirs, which, FRESH)
            )
            twice = f"6: run {which} is started while it is at work" if (world.work | world.jobs) & which else None
            return begun, (), twice
        if what == orders.REFUSE:
            # Only an empty directory can be removed; one in which jobs wrote stays.
            gone = world.dirs[which - 1] == FRESH and not world.jobs & which
            return (world._replace(dirs=with_run(world.dirs, which, NONE)) if gone else world), (), None
        return self._asked(world, which)

    def _asked(self, world: World, which: int) -> tuple[World, tuple[Event, ...], str | None]:
        stale = which & 1 and not world.hand
        broken = "2: core tokens moved by hand before the last request ask again" if stale else None
        if world.newer and ASKED[which] in BY_ITSELF:
            broken = "2: the switcher itself undoes a request that is newer than its start"
        return world, (ASKED[which],), broken

    def _called(self, world: World, which: int) -> str | None:
        if world.call:
            return "the cloud tool is asked while a question is under way"
        if CALLS[which] is Verb.START and world.jobs:
            return "1: virtual machines are started while jobs run"
        if CALLS[which] is Verb.START and world.in_cloud < TOKENS and not world.hand:
            return "1: virtual machines are started while a core token is outside the cloud folder"
        return None

    def _levels(self, world: World) -> tuple[World, tuple[Event, ...]]:
        """Starts jobs where runs may work and a token is idle, and reports runs of which nothing is left."""
        facts = self.heart.facts[world.heart]
        for run in facts.may_work:
            if not run & world.work or run & (world.jobs | world.told):
                continue
            if TOKENS - world.in_cloud - world.jobs.bit_count() > 0:
                world = world._replace(jobs=world.jobs | run)
        over = world.work & ~world.jobs & (world.told | facts.ended)
        if over:
            world = world._replace(work=world.work & ~over, told=world.told & ~over)
            for run in runs_in(over):
                if world.dirs[run - 1] != NONE:
                    world = world._replace(dirs=with_run(world.dirs, run, FINISHED))
        return world, tuple(WORK_ENDED[run] for run in facts.runs if not run & world.work)


SEEN_OUTSIDE: Final = {
    orders.PUBLISH: "the mode file was written",
    orders.MOVE: "the core tokens had moved",
    orders.IGNITE: "the cloud tool was called",
    orders.BEGIN: "the run directory was prepared",
    orders.REFUSE: "the refused directory was gone",
    orders.TELL: "the jobs had been told",
}
"""After which orders a kill leaves something else behind than before them, in words."""


def _there(world: World) -> int:
    return sum(run for run in RUNS if world.dirs[run - 1] != NONE)


APPEARED: Final = {run: RunAppeared(RunRef(run)) for run in RUNS}
