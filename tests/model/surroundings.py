"""What may happen next in a world, and what each of it costs.

Free (cost 0) is what a world that answers does: jobs that were told end, the cloud tool works, moves succeed, clocks
ring, the shell looks, a daemon that is down is started again. A disturbance costs 1: somebody asks, a run begins or
ends, a token is moved by hand, something fails, the daemon is killed, the machine reboots. Any of it may come at any
moment.

Taken for granted:
- `status` is never wrong about virtual machines, though it may fail. `stop` may lie, `start` may fail and have started
  them.
- Virtual machines may die at any moment. Nobody but the cloud tool starts them, except that they may come up by
  themselves when the machine boots.
- Where nothing speaks for virtual machines (position and `vms` of the state), a `status` that fails means that there
  are none, as the contract has it: a node without a cloud tool works in HLT.
- A run that ends between the BU's answer and the join is not told apart from one that ends right after the join.
- Jobs crash and are started again as part of being at work (`switcher.work` decides that, not the machine).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from contract.modes import Vms, Wanted
from contract.paths import RunRef
from contract.request import Request
from switcher.events import Event, IgniterSaid, Requested, RunChecked, RunEnded, Said, Timer, TokensSeen, Woke
from switcher.states import Position, State, Verb
from tests.model.heart import FILE, Heart
from tests.model.shell import APPEARED, Outcome, Shell
from tests.model.world import (
    CALLS,
    CLOCK_OF,
    FORGETFUL,
    FRESH,
    GOES_ON,
    NONE,
    NOT_YET,
    OVER,
    REBOOTED,
    RUNS,
    SERVES,
    TOKENS,
    World,
    runs_in,
    with_run,
)


class Move(NamedTuple):
    """One thing that may happen: its cost, its story, the promise that it breaks, and the world after it."""

    cost: int
    what: str
    cut: str
    broken: str | None
    world: World


REQUESTS: Final = {
    "a client asks for cloud": Requested(Request(id="new", to=Wanted.CLOUD)),
    "a client asks for cloud, with a deadline": Requested(Request(id="new", to=Wanted.CLOUD, deadline_s=1.0)),
    "a client asks for HLT": Requested(Request(id="new", to=Wanted.HLT)),
    "a client asks for HLT, with a deadline": Requested(Request(id="new", to=Wanted.HLT, deadline_s=1.0)),
}
COMMANDS: Final = {
    "excludenow": Requested(Request(id=f"{FILE}excludenow", to=Wanted.CLOUD, hurry=True)),
    "include": Requested(Request(id=f"{FILE}include", to=Wanted.HLT)),
}
RINGS: Final = tuple(
    (CLOCK_OF[timer], f"the clock {timer.value} rings", Woke(timer)) for timer in Timer if timer is not Timer.STUCK
)
CHECKED: Final = {(run, ongoing): RunChecked(RunRef(run), ongoing) for run in RUNS for ongoing in (True, False, None)}
ENDED: Final = {run: RunEnded(run) for run in RUNS}
VANISHED: Final = {run: RunEnded(run, "vanished") for run in RUNS}
SEEN: Final = tuple(TokensSeen(count, TOKENS - count) for count in range(TOKENS + 1))

# Answers of the cloud tool: cost, story, event, and what has become of the virtual machines.
Answers = tuple[tuple[int, str, IgniterSaid, bool], ...]


def _answers() -> dict[tuple[Verb, bool], Answers]:
    def said(verb: Verb, what: Said) -> IgniterSaid:
        return IgniterSaid(verb, what)

    start, stop, status = Verb.START, Verb.STOP, Verb.STATUS
    known: dict[tuple[Verb, bool], Answers] = {}
    for up in (False, True):
        known[start, up] = (
            (0, "start works", said(start, Said.DONE), True),
            (1, "start fails", said(start, Said.ERROR), up),
            (1, "start fails, but VMs run", said(start, Said.ERROR), True),
        )
        known[stop, up] = (
            (0, "stop works", said(stop, Said.DONE), False),
            (1, "stop exits 0 and stops nothing", said(stop, Said.DONE), up),
            (1, "stop fails", said(stop, Said.ERROR), up),
        )
        truth = Said.RUNNING if up else Said.NOT_RUNNING
        known[status, up] = (
            (0, f"status says {truth.value}", said(status, truth), up),
            (1, "status fails", said(status, Said.ERROR), up),
        )
    return known


ANSWERS: Final = _answers()


class Surroundings:
    """Says what may happen next; `shell` deals with what reaches the daemon."""

    def __init__(self, heart: Heart) -> None:
        self.heart = heart
        self.shell = Shell(heart)

    def moves(self, world: World, most: int) -> Iterator[Move]:
        """Yields everything that may happen next in `world` and costs at most `most`."""
        self.shell.most = most
        if world.life != SERVES:
            for outcome in self.shell.start(world):
                yield _move(0, "the daemon starts", outcome)
        else:
            yield from self._answered(world)
            yield from self._clocks(world)
            yield from self._looks(world)
        yield from self._jobs(world)
        if most == 0:
            return
        if world.life == SERVES:
            for what, request in REQUESTS.items():
                yield from self._handled(world, request, 1, what)
            for killed in self.shell.killed(world):
                yield Move(1, "kill -9", "", None, killed)
        if world.life != REBOOTED:
            yield from self._reboot(world)
        yield from self._bu(world)
        yield from self._people(world)

    def _handled(self, world: World, event: Event, cost: int, what: str) -> Iterator[Move]:
        most = self.shell.most
        if cost > most:
            return
        self.shell.most = most - cost
        outcomes = self.shell.handle(world, event)
        self.shell.most = most
        for outcome in outcomes:
            yield _move(cost, what, outcome)

    def _answered(self, world: World) -> Iterator[Move]:
        verb = CALLS[world.call]
        if verb is not None:
            blind = verb is Verb.STATUS and world.vms and not _speaks_for_vms(self.heart.states[world.heart])
            for cost, what, event, vms in ANSWERS[verb, world.vms]:
                if not (cost and blind):
                    yield from self._handled(world._replace(call=0, vms=vms), event, cost, what)
        for run in runs_in(world.checks):
            asked = world._replace(checks=world.checks & ~run)
            goes_on = world.bu[run - 1] == GOES_ON
            yield from self._handled(
                asked, CHECKED[run, goes_on], 0, f"the BU says that run {run} {'goes on' if goes_on else 'is over'}"
            )
            yield from self._handled(asked, CHECKED[run, None], 1, f"the BU cannot be asked about run {run}")

    def _clocks(self, world: World) -> Iterator[Move]:
        for bit, what, event in RINGS:
            if world.clocks & bit:
                yield from self._handled(world._replace(clocks=world.clocks & ~bit), event, 0, what)
                # It had rung already when it was set anew.
                yield from self._handled(world, event, 1, what)

    def _looks(self, world: World) -> Iterator[Move]:
        if world.files:
            yield from self._command(world, world.files[0])
        new = [run for run in RUNS if world.dirs[run - 1] == FRESH and not world.seen & run]
        for run in new:
            seen = world._replace(seen=world.seen | run)
            yield from self._handled(seen, APPEARED[run], 0, f"a look finds run {run}")
        # A run that was announced and ended since the last look begins first.
        for run in () if new else runs_in(world.ends):
            yield from self._end(world, run)
        for run in RUNS:
            if world.dirs[run - 1] == NONE and world.seen & run:
                yield Move(0, f"a look finds run {run} gone", "", None, world._replace(seen=world.seen & ~run))
        for run in self.heart.facts[world.heart].runs:
            if world.dirs[run - 1] == NONE:
                yield from self._handled(world, VANISHED[run], 0, f"a look misses the directory of run {run}")
        yield from self._handled(world, SEEN[world.in_cloud], 0, f"a look finds {world.in_cloud} tokens in cloud")

    def _end(self, world: World, run: int) -> Iterator[Move]:
        for outcome in self.shell.handle(world, ENDED[run]):
            after = outcome.world
            if after.life == SERVES:
                after = after._replace(ends=after.ends & ~run)
            yield _move(0, f"a look finds the end of run {run}", outcome._replace(world=after))

    def _command(self, world: World, name: str) -> Iterator[Move]:
        what = f"the file {name} is taken"
        for outcome in self.shell.handle(world, COMMANDS[name]):
            after = outcome.world
            if after.life == SERVES and outcome.broken is None:
                for killed in self.shell.killed(after) if outcome.cost < self.shell.most else ():
                    yield Move(outcome.cost + 1, what, "killed before the file was removed", None, killed)
                after = after._replace(files=after.files[1:], heart=self.heart.forget(after.heart, name))
            yield _move(0, what, outcome._replace(world=after))

    def _jobs(self, world: World) -> Iterator[Move]:
        for run in runs_in(world.jobs):
            if not (world.told & run or world.lost & run or world.bu[run - 1] == OVER):
                continue
            left = world._replace(jobs=world.jobs & ~run)
            if world.life != SERVES:
                yield Move(0, f"the jobs of run {run} end", "", None, left._replace(told=left.told & ~run))
                continue
            for outcome in self.shell.look_after(left._replace(told=left.told | run)):
                yield _move(0, f"the jobs of run {run} end", outcome)

    def _bu(self, world: World) -> Iterator[Move]:
        for run in RUNS:
            now, there = world.bu[run - 1], world.dirs[run - 1]
            if now == NOT_YET and (run == 1 or world.bu[0] != NOT_YET):
                begun = world._replace(bu=with_run(world.bu, run, GOES_ON), dirs=with_run(world.dirs, run, FRESH))
                yield Move(1, f"run {run} begins at the BU", "", None, begun)
            if now == GOES_ON:
                over = world._replace(bu=with_run(world.bu, run, OVER))
                yield Move(1, f"run {run} ends at the BU, nobody says so", "", None, over)
                yield Move(1, f"run {run} ends at the BU", "", None, over._replace(ends=over.ends | run))
                if there == NONE:
                    again = world._replace(dirs=with_run(world.dirs, run, FRESH))
                    yield Move(1, f"the BU notifies of run {run} again", "", None, again)
            if there != NONE and world.jobs & run:
                gone = world._replace(dirs=with_run(world.dirs, run, NONE), lost=world.lost | run)
                yield Move(1, f"somebody deletes the directory of run {run}", "", None, gone)

    def _people(self, world: World) -> Iterator[Move]:
        if world.vms:
            yield Move(1, "the VMs die", "", None, world._replace(vms=False))
        if world.in_cloud < TOKENS:
            moved = world._replace(in_cloud=world.in_cloud + 1, hand=True)
            yield Move(1, "somebody moves a core token into the cloud folder", "", None, moved)
        if world.in_cloud:
            moved = world._replace(in_cloud=world.in_cloud - 1, hand=True)
            yield Move(1, "somebody moves a core token out of the cloud folder", "", None, moved)
        for name in COMMANDS:
            if name not in world.files:
                yield Move(1, f"somebody writes the file {name}", "", None, world._replace(files=(*world.files, name)))

    def _reboot(self, world: World) -> Iterator[Move]:
        for killed in self.shell.killed(world):
            # Without a state file nobody knows that it was a reboot.
            life = FORGETFUL if world.life == FORGETFUL else REBOOTED
            down = killed._replace(jobs=0, told=0, life=life)
            yield Move(1, "the machine reboots", "", None, down._replace(vms=False))
            yield Move(1, "the machine reboots and VMs come up", "", None, down._replace(vms=True))
            if world.life != FORGETFUL:
                lost = killed._replace(life=FORGETFUL, heart=self.heart.number(State()), hand=killed.in_cloud > 0)
                # What jobs were told and which runs were refused is forgotten with it: nothing is promised of those.
                forgotten = sum(run for run in RUNS if lost.bu[run - 1] == GOES_ON) & ~lost.jobs | lost.told
                lost = lost._replace(lost=lost.lost | forgotten)
                yield Move(1, "kill -9, and the state file is lost", "", None, lost)


def _move(cost: int, what: str, outcome: Outcome) -> Move:
    return Move(cost + outcome.cost, what, outcome.cut, outcome.broken, outcome.world)


def _speaks_for_vms(state: State) -> bool:
    return state.vms is not Vms.DOWN or state.position in (Position.CLOUD, Position.STOPPING_VMS)
