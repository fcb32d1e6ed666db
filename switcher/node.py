"""The shell around the machine: one mailbox, one task that empties it, effects carried out in order.

Every item of the mailbox becomes an event; the machine is asked, then state, journal and mode file are put on disk, and
only then the effects are carried out. After each item the levels are set right: jobs on idle tokens where runs may
work, runs of which nothing is left reported as ended.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from contract.config import NodeConfig
from contract.errors import Surroundings, Unreadable
from contract.journal import AnyRecord
from contract.modefile import read_mode, write_mode
from contract.request import Answer, Request
from switcher import clock, intake, machine, processes, timeline, tokens
from switcher.carrying import Carrier
from switcher.events import (
    Effect,
    Event,
    Requested,
    RunAppeared,
    RunEnded,
    Started,
    TokensSeen,
    WorkEnded,
)
from switcher.hands import Hands
from switcher.journal_log import log_record
from switcher.showing import Showing
from switcher.states import State, may_work, mode
from switcher.store import Store
from switcher.timeline import Timeline
from switcher.view import Status
from switcher.watching import Watching
from switcher.work import Work

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
LOOK_OFTEN_S: Final = 1.0  # while nobody notifies of changes
SAVE_AGAIN_S: Final = 1.0
MOST_COMMANDS: Final = 20


class Look(NamedTuple):
    """Look at the watch directory and the core tokens."""


class ProcessEnded(NamedTuple):
    """A job or merge script ended, with an exit code if that can be known."""

    pid: int
    code: int | None


class Switcher:
    """The switcher of one node: `start` once, then `serve`. Entrances call `submit`, `poke`, `status`."""

    def __init__(self, config: NodeConfig, ip: str) -> None:
        self.config = config
        self.paths = config.paths
        self._loop = asyncio.get_running_loop()
        self._mailbox: asyncio.Queue[Event | Look | ProcessEnded] = asyncio.Queue()
        self._hands = Hands()
        self._look_asked = False
        self._watching = Watching(self.paths, self._poke_from_thread)
        self._directories = intake.RunDirectories()
        self._work = Work(config.jobs, self.paths, self._watch_process)
        self._carrier = Carrier(config, self._hands, self._mailbox.put_nowait, self._work)
        self._igniter, self._mount = self._carrier.igniter, self._carrier.mount
        self._alarms, self._tasks = self._carrier.alarms, self._carrier.tasks
        self._store = Store(self.paths)
        self._state, self._timeline, self._known, self._rebooted = _recall(self._store)
        self._first_effects: tuple[Effect, ...] = ()
        self.showing = Showing(config, ip, self._state, self._timeline)

    # What the entrances call

    async def submit(self, request: Request) -> Answer:
        """Returns the answer to `request`, which is on disk by then."""
        return await self._carrier.answer(request)

    def poke(self) -> None:
        """Has the watch directory and the tokens looked at soon; many pokes make one look."""
        if not self._look_asked:
            self._look_asked = True
            self._mailbox.put_nowait(Look())

    def remembers(self, request_id: str) -> bool:
        """Returns whether `request_id` is on disk."""
        return any(answer.id == request_id for answer in self._state.answered)

    def status(self) -> Status:
        """Returns how the node stands."""
        return self.showing.status(self._igniter, self._mount)

    def reload(self, config: NodeConfig) -> None:
        """Takes over what can change while running: cloud tool, jobs, time limits of a switch."""
        self.config = config
        self._carrier.reload(config)
        self.showing.limits = config.switch
        self._work.settings = config.jobs
        self.poke()  # crashed jobs may be due by now

    # Life

    async def start(self) -> None:
        """Finds out how things stand, and publishes the mode. Raises Surroundings."""
        try:
            facts = await self._hands.do(self._gather)
        except OSError as error:
            raise Surroundings(f"{error.filename or self.paths.watch_dir}: {error.strerror}") from error
        before = self._state
        state, self._first_effects = machine.step(before, facts)
        self._timeline, started = timeline.begin(self._timeline, before, facts, clock.now())
        self._timeline, moved = timeline.advance(self._timeline, before, state, self._first_effects, clock.now())
        await self._commit(state, [*started, *moved], publish=True)
        await self._hands.do(self.showing.renew, self._work)

    async def serve(self) -> None:
        """Carries on from what `start` found and empties the mailbox until cancelled."""
        try:
            async with self._tasks:
                self._tasks.create_task(
                    self._mount.keep_box(lambda: self.showing.box(self._igniter, self._mount)),
                    name="box file",
                )
                self._tasks.create_task(self._look_regularly(), name="regular looks")
                await self._follow(await self._carry_out_all(self._first_effects))
                await self._set_levels()
                while True:
                    await self._handle(await self._mailbox.get())
        finally:
            self._watching.stop()
            self._alarms.cancel_all()
            self._hands.stop()
            self._store.close()

    def _gather(self) -> Started:
        self._igniter.find_orphans()
        tokens.prepare(self.paths)
        found = tokens.scan(self.paths)
        if not found.total:
            log.warning("%s: no core token in any folder; this node has no cores to give", self.paths.resources_dir)
        working = self._work.adopt()
        lying = self._directories.lying(self.paths, intake.look(self.paths).runs)
        return Started(
            in_cloud=len(found.cloud),
            outside=found.outside,
            working=working,
            lying=lying,
            known=self._known,
            rebooted=self._rebooted,
        )

    # The mailbox

    async def _handle(self, item: Event | Look | ProcessEnded) -> None:
        if isinstance(item, Look):
            self._look_asked = False
            await self._look()
        elif isinstance(item, ProcessEnded):
            await self._hands.attempt(self._work.ended, item.pid, item.code, self._loop.time())
        else:
            if isinstance(item, Requested):
                await self._take_older_commands()
            await self._follow([item])
        await self._set_levels()

    async def _follow(self, events: Iterable[Event]) -> None:
        """Has the machine decide about `events` and about everything that follows from them at once."""
        waiting = deque(events)
        while waiting:
            event = waiting.popleft()
            before = self._state
            state, effects = machine.step(before, event)
            self._timeline, records = timeline.advance(self._timeline, before, state, effects, clock.now())
            if state != before or records:
                await self._commit(state, records, publish=mode(state) is not mode(before))
            waiting.extend(await self._carry_out_all(effects))

    async def _commit(self, state: State, records: list[AnyRecord], *, publish: bool) -> None:
        """Puts the step on disk before anything of it is seen; a folder that can't be written holds the node still."""

        def save() -> None:
            self._store.save(state, self._timeline, records)
            if publish:
                write_mode(self.paths.mode, mode(state))

        trouble = ""
        while True:
            try:
                await self._hands.do(save)
                break
            except OSError as error:
                words = f"{error.filename or self.paths.state_dir}: cannot be written ({error.strerror})"
                if words != trouble:
                    log.error("%s; nothing moves until it can", words)
                    self.showing.held(words)
                    self._mount.poke()
                trouble = words
                await asyncio.sleep(SAVE_AGAIN_S)
        if trouble:
            log.info("%s is written again", self.paths.state_dir)
        if publish:  # a mode is never shown with the core tokens of the one before
            await self._hands.do(self.showing.renew, self._work)
        self._state = state
        self.showing.moved(state, self._timeline)
        for record in records:
            log_record(record)
        self._mount.poke()

    async def _carry_out_all(self, effects: Iterable[Effect]) -> list[Event]:
        """Carries `effects` out one by one and returns what has happened by that."""
        carried = [await self._carrier.carry_out(effect, self._state, self._timeline) for effect in effects]
        return [event for event in carried if event]

    # Processes

    def _watch_process(self, child: processes.Child) -> None:
        def ended(code: int | None) -> None:
            self._mailbox.put_nowait(ProcessEnded(child.pid, code))

        # Children of a job must not work on a core that has another owner by then.
        watch = functools.partial(processes.watch, child, self._loop, ended, with_group=True)
        self._loop.call_soon_threadsafe(watch)

    # Looking

    def _poke_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self.poke)

    async def _look_regularly(self) -> None:
        while True:
            self.poke()
            await asyncio.sleep(LOOK_OFTEN_S if self._watching.trouble else LOOK_EVERY_S)

    async def _look(self) -> None:
        trouble = ""
        try:
            await self._hands.do(self._watching.renew)
            await self._hands.do(tokens.complete, self.paths)
            await self._take_commands()
            await self._hands.do(self._mend_mode)
            seen = await self._hands.do(intake.look, self.paths)
            found = await self._hands.do(tokens.scan, self.paths)
        except OSError as error:
            trouble = f"{error.filename}: {error.strerror}"
            return
        finally:
            self._say_trouble(trouble)
        for name in seen.strange:
            await self._hands.attempt(intake.clear_away, self.paths.watch_dir / name)
        appeared = await self._hands.do(self._directories.appeared, self.paths, seen.runs)
        await self._follow(RunAppeared(ref) for ref in appeared)
        # After the starts: a run may have been announced and ended since the last look.
        for name, number in seen.ended.items():
            await self._follow([RunEnded(number)])
            await self._hands.attempt(intake.drop, self.paths.watch_dir / name)
        present = {ref.number for ref in seen.runs.values()}
        vanished = [run.ref.number for run in self._state.runs if run.ref.number not in present]
        await self._follow(RunEnded(number, "vanished") for number in vanished)
        await self._follow([TokensSeen(len(found.cloud), found.outside)])

    def _say_trouble(self, trouble: str) -> None:
        """Says, once for as long as it lasts, why nobody can look; nothing that is asked by files is seen meanwhile."""
        if trouble != self.showing.shot.look_trouble:
            log.log(logging.ERROR if trouble else logging.INFO, "%s", trouble or "the node can be looked at again")
            self.showing.blinded(trouble)
            self._mount.poke()

    async def _take_commands(self) -> None:
        """Deals with the command files, oldest first, with a fresh look before each: a newer one may have come."""
        dealt_with: set[str] = set()
        for _ in range(MOST_COMMANDS):
            seen = await self._hands.do(intake.look, self.paths)
            name = next((name for name in seen.commands if name not in dealt_with), None)
            if name is None:
                return
            command = await self._hands.do(intake.take, self.paths, name)
            if command is None:
                dealt_with.add(name)
                continue
            dealt_with.add(command.taken.name)
            await self._follow([Requested(command.request)])
            await self._hands.attempt(intake.drop, command.taken)
        self.poke()

    async def _take_older_commands(self) -> None:
        """A command file that lies there was asked before the request at hand, which must not be undone by it."""
        try:
            await self._take_commands()
        except OSError as error:
            log.error("%s: %s", error.filename, error.strerror)

    def _mend_mode(self) -> None:
        """Writes the mode file again when somebody has removed it or written over it."""
        try:
            right = read_mode(self.paths.mode) is mode(self._state)
        except Unreadable:
            right = False
        if not right:
            write_mode(self.paths.mode, mode(self._state))
            log.warning("%s: did not hold the mode; written again", self.paths.mode)

    # Levels

    async def _set_levels(self) -> None:
        """Starts jobs where runs may work, reports runs of which nothing is left, and renews what is shown."""
        for run in self._state.runs:
            if run.ended:
                await self._hands.attempt(self._work.end_of_run, run.ref.number)
        await self._hands.attempt(self._work.tell_again)
        await self._hands.attempt(self._work.fill, may_work(self._state), self._loop.time())
        await self._hands.attempt(self._work.close_finished)
        gone = [run.ref.number for run in self._state.runs if run.ref.number not in self._work.runs]
        await self._follow(WorkEnded(number) for number in gone)
        self._alarms.restart_jobs(self._work.next_due_s(), self.poke)
        if await self._hands.do(self.showing.renew, self._work):
            self._mount.poke()


def _recall(store: Store) -> tuple[State, Timeline, bool, bool]:
    """Returns state and timeline as saved, whether there were any, and whether the machine has rebooted since."""
    now, boot = clock.now(), clock.boot_id()
    saved = store.load()
    if saved is None:
        return State(), Timeline(mode_since=now, boot_id=boot, seq=store.last_seq), False, False
    # A state file that somebody put back from a copy is older than the journal: its numbers are not used again.
    newest = msgspec.structs.replace(saved.timeline, seq=max(saved.timeline.seq, store.last_seq))
    return saved.state, timeline.rebased(newest, boot, now), True, saved.timeline.boot_id != boot
