"""The follower as a process: listens to the beam, looks at the nodes, decides, and has decisions carried out.

Three tasks share what they know: one hears the beam mode, one looks at the nodes, one decides every half second. None
waits for another, and the death of one ends the process, so that whoever started it starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from contract.beam import Warned
from contract.errors import HltmodeError
from contract.modes import Mode
from fleet.client import connected
from fleet.engine import steady_clock
from fleet.farm import Farm
from fleet.follow.beam import Beam, heard, resumed, silent
from fleet.follow.beam_sources import NoBeamMode, reader
from fleet.follow.carrying import Books, Carrier
from fleet.follow.decision import Act, Course, Decision, Situation, after, decide, resumed_course
from fleet.follow.gauges import Shown
from fleet.follow.policy_file import Read, farm_of
from fleet.follow.record import Entry, Now, Record
from fleet.follow.warnings import Away, warnings
from fleet.follow.whom import whose
from fleet.nodes_file import NodesFile
from fleet.operation import Operation
from fleet.store import Store
from fleet.survey import survey

log = logging.getLogger("fleet.follow")

TICK_S: Final = 0.5
SAY_EVERY_S: Final = 5.0
CLOUD_AGAIN_S: Final = 10.0  # between two tries of a turn that did not come about


class Follower:
    """Keeps the policy's nodes of the `whole` farm where it wants them. `reread` returns its file as it is now.

    A `dry` one asks no node and writes nothing: it says in its log what it would do if it were the only one.
    """

    def __init__(
        self, read: Read, whole: Farm, store: Store, reread: Callable[[], Read], name: str, *, dry: bool = False
    ) -> None:
        self.shown = Shown()
        self._dry = dry
        self._read = read
        self._reread = reread
        self._whole = whole
        self._nodes_file = NodesFile(whole.nodes_file, whole.places) if whole.nodes_file else None
        farm = farm_of(read, whole, name)
        self._name = name
        self._clock = steady_clock()
        self._record = Record(store)
        self._carrier = Carrier(store, self._record, farm, read.file, self._clock)
        now_s = self._clock()
        kept, last = self._record.kept(Beam), self._record.kept(Now)
        alive_s = last.at_s if last else -math.inf
        self._beam = resumed(kept or Beam(heard_s=now_s), alive_s, now_s, read.policy.patience_s)
        self._course = Course() if dry else resumed_course(self._record.kept(Course) or Course(), now_s)
        self._looked_s: float | None = None
        self._heard_s: float | None = None
        self._look_now = asyncio.Event()
        self._warned: dict[Warned, str] = {}
        self._decided: Counter[Act] = Counter()
        self._waits = ""
        self._failed = ""
        self._cloud_again_s = 0.0
        self._said_s = 0.0
        self._gist: Now | None = None

    async def run(self) -> None:
        """Follows until it is cancelled; operations under way then stay for the next start."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look())
            group.create_task(self._turns(group))

    def _renew(self) -> None:
        """Takes over a changed file of nodes; one that is wrong, or that the policy does not fit, changes nothing."""
        try:
            places = self._nodes_file.changed() if self._nodes_file else None
            if places is None:
                return
            whole = self._whole._replace(places=places)
            farm = farm_of(self._read, whole, self._name)
        except HltmodeError as error:
            log.error("nodes not taken over, those of before stay: %s", error)
            return
        before, self._whole = self._carrier.farm.places, whole
        added, gone = len(farm.places.keys() - before.keys()), before.keys() - farm.places.keys()
        self._carrier.farm = farm
        kept = ", ".join(sorted(gone & self._carrier.view.keys())[:5]) or "none"
        words = f"{added} added, {len(gone)} gone, {len(farm.places)} nodes; looked after until they are back: {kept}"
        log.info("nodes read again: %s", words)
        self._noted("reloaded", f"nodes: {words}")
        self._look_now.set()

    def reload(self) -> None:
        """Takes a changed policy over; a file that is wrong changes nothing."""
        try:
            read = self._reread()
            farm_of(read, self._whole, self._name)
        except HltmodeError as error:
            log.error("policy not taken over: %s", error)
            return
        fixed = [
            name for name in ("who", "hosts", "metrics") if getattr(read.file, name) != getattr(self._read.file, name)
        ]
        if fixed:
            log.error("policy not taken over: changes of %s take a restart", ", ".join(fixed))
            return
        self._read, self._carrier.file = read, read.file
        log.info("policy read again")
        self._noted("reloaded", self._name)

    def _note(self, kind: str, reason: str) -> None:
        if not self._dry:
            self._record.add(Entry(at_s=time.time(), kind=kind, reason=reason, beam=self._beam_word))

    def _noted(self, kind: str, reason: str) -> bool:
        """Notes what is no part of a decision, and returns whether the disk took it; says so if it did not."""
        try:
            self._note(kind, reason)
        except HltmodeError as error:
            self._fail(error)
            return False
        return True

    async def _listen(self) -> None:
        source, read = self._read.file.beam, None
        while True:
            if read is None or source is not self._read.file.beam:
                source = self._read.file.beam
                read = reader(source)
            began_s = time.monotonic()
            try:
                mode = await read()
            except NoBeamMode as error:
                if str(error) != self._beam.trouble:
                    log.warning("beam: %s", error)
                self._beam = replace(self._beam, trouble=str(error))
            else:
                now_s = self._heard_s = self._clock()
                if self._beam.mode is not mode:
                    log.info("beam: %s", mode)
                self._beam = heard(self._beam, mode, now_s, self._read.policy.patience_s)
            await asyncio.sleep(max(0.0, source.every_s - (time.monotonic() - began_s)))

    async def _look(self) -> None:
        async with connected(self._whole.token, self._whole.trust) as client:
            while True:
                self._look_now.clear()
                places = self._carrier.view
                self._carrier.looks = await survey(client, places, places, lambda _n: None)
                self._carrier.part()
                self._looked_s = time.time()
                try:
                    async with asyncio.timeout(self._read.file.look_every_s):
                        await self._look_now.wait()
                except TimeoutError:
                    continue

    async def _turns(self, group: asyncio.TaskGroup) -> None:
        noted = False
        while True:
            noted = noted or self._noted("started", self._name)
            self._renew()
            try:
                if not self._dry:
                    self._carrier.run_all(group, self._ended)
                await self._turn()
            except HltmodeError as error:
                self._fail(error)
            await asyncio.sleep(TICK_S)

    def _fail(self, error: HltmodeError) -> None:
        """Says once what can't be done now; half a second later it is tried again."""
        if str(error) == self._failed:
            return
        self._failed = str(error)
        log.error("%s", error)
        try:
            self._note("failed", str(error))
        except HltmodeError:
            log.error("the log of decisions lacks this one")

    def _ended(self, _operation: Operation) -> None:
        self._look_now.set()

    def _decide(self, books: Books) -> Decision:
        now_s = self._clock()
        self._beam = silent(self._beam, now_s, self._read.policy.patience_s)
        held = self._record.held()
        situation = Situation(
            now_s=now_s,
            beam=self._beam,
            course=self._course,
            hold=held.words if held else "",
            under_way=None if self._dry else books.way,
            settling=not self._dry and books.settling,
            owed=0 if self._dry else len(books.owed),
        )
        return decide(self._read.policy, situation)

    def _still(self) -> Decision:
        return self._decide(self._carrier.books())

    async def _turn(self) -> None:
        books = self._carrier.books()
        decision = self._decide(books)
        if decision.act is not Act.WAIT:
            await self._carry_out(decision)
            books = self._carrier.books()
        elif (waits := f"{decision.because} {decision.wanted}") != self._waits:
            self._waits = waits
            log.info("waits: %s", decision.reason)
        self._warn(books)
        self._show(decision, books)

    async def _carry_out(self, decision: Decision) -> None:
        course: Course | None
        if self._dry:
            log.info("would: %s: %s", decision.act.value, decision.reason)
            self._course = after(self._course, decision, self._clock())
            return
        match decision.act:
            case Act.TO_CLOUD:
                if self._looked_s is None or time.monotonic() < self._cloud_again_s:
                    return
                self._cloud_again_s = time.monotonic() + CLOUD_AGAIN_S
                course = await self._carrier.send(decision, self._beam_word, self._course, self._still)
            case Act.TO_HLT:
                course = await self._carrier.bring_back(decision, self._beam_word, self._course)
            case _:
                course = self._carrier.cut_short(decision, self._beam_word, self._course)
        if course:
            self._course = course
            self._decided[decision.act] += 1
            self._waits = self._failed = ""

    def _warn(self, books: Books) -> None:
        known = {host: mode for host, mode in books.modes.items() if mode is not None}
        away = [host for host, mode in known.items() if mode is not Mode.HLT]
        farm = Away(len(known), len(away)) if self._looked_s is not None else None
        found = warnings(self._beam, farm, self._read.policy.patience_s, self._clock())
        for kind in found.keys() - self._warned.keys():
            words = found[kind]
            if kind is not Warned.BEAM:
                words += f" ({whose(away, books.own, books.held, books.taken)})"
            log.warning("%s: %s", kind.value, words)
            self._note("warning", f"{kind.value}: {words}")
        for kind in self._warned.keys() - found.keys():
            log.info("%s: over", kind.value)
            self._note("warning over", kind.value)
        self._warned = found

    def _show(self, decision: Decision, books: Books) -> None:
        modes = books.modes
        counts = Counter(mode for mode in modes.values() if mode is not None)
        own = sum(modes.get(host) is not Mode.HLT for host in books.own)
        self.shown = Shown(
            beam=self._beam.mode,
            beam_since_s=self._beam.stays[-1].since_s if self._beam.stays else None,
            heard_s=self._heard_s,
            wanted=decision.wanted,
            held=self._record.held() is not None,
            modes=counts,
            silent=sum(mode is None for mode in modes.values()),
            own=own,
            under_way=frozenset(each.to for each in books.under_way),
            warned=frozenset(self._warned),
            decisions=dict(self._decided),
            tick_s=time.time(),
            looked_s=self._looked_s,
        )
        now = Now(
            at_s=time.time(), pid=os.getpid(), policy=self._name, beam=self._beam_word,
            wanted=decision.wanted.value if decision.wanted else "", words=decision.reason,
            modes={mode.value: count for mode, count in counts.items()}, silent=self.shown.silent, own=own,
            operation=books.under_way[-1].id if books.under_way else "",
        )  # fmt: skip
        gist = replace(now, at_s=0.0, words=decision.because.value)
        if self._dry or (gist == self._gist and now.at_s - self._said_s < SAY_EVERY_S):
            return
        self._gist, self._said_s = gist, now.at_s
        self._record.keep(now, self._beam)

    @property
    def _beam_word(self) -> str:
        return self._beam.mode.value if self._beam.mode else "unknown"
