"""Processes that are not there: jobs, merge scripts and calls of the cloud tool end when and how the test says.

Stands at the boundary of `switcher.processes`, whose names it replaces. The VMs that the cloud tool looks after are a
flag here. What must never be is noted the moment it happens, in `wrongs`.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from switcher import processes
from switcher.processes import Child, Found, Left
from switcher.states import Verb

FIRST_PID: Final = 1 << 23  # above every real one, so that a signal that escapes hits nobody
Ended = Callable[[int | None], None]


@dataclass
class Acted:
    """One process."""

    pid: int
    command: tuple[str, ...]
    mark: dict[str, str]
    watchers: list[tuple[asyncio.AbstractEventLoop, Ended]] = field(default_factory=list)
    code: int | None = None
    adopted: bool = False

    @property
    def role(self) -> str:
        """Job, merge or igniter."""
        return self.mark[processes.ROLE]

    @property
    def run(self) -> int:
        """The run of a job or merge script."""
        return int(self.mark[processes.RUN])

    @property
    def verb(self) -> Verb:
        """What the cloud tool was asked."""
        return Verb(self.command[-1])


class ActedProcesses:
    """All processes of one node, across the lives of its switcher."""

    def __init__(self, tokens_outside: Callable[[], int]) -> None:
        self.living: dict[int, Acted] = {}
        self._ended: dict[int, int] = {}
        self.vms = False
        self.obedient = False  # the cloud tool answers at once, and truly
        self.hands_in = False  # somebody moved tokens by hand; where they are is not the switcher's doing
        self.frozen = False  # signals of a switcher that has died go nowhere
        self.wrongs: list[str] = []
        self._tokens_outside = tokens_outside
        self._pids = itertools.count(FIRST_PID)

    # In the place of switcher.processes

    def spawn(self, argv: list[str], *, mark: Mapping[str, str], output: int, folder: Path) -> Child:
        """Starts one."""
        assert output >= 0
        assert folder.is_dir()
        process = Acted(next(self._pids), tuple(argv), dict(mark))
        self._judge(process)
        self.living[process.pid] = process
        return Child(process.pid, None)

    def marked(self, node: Path) -> Iterator[Found]:
        """Yields the living."""
        for process in list(self.living.values()):
            assert process.mark[processes.NODE] == str(node)
            process.adopted = True
            yield Found(process.pid, process.pid, process.pid, process.command, process.mark)

    def left(self, node: Path, roles: Collection[str]) -> Left:
        """Returns the living, and nothing deserted: what a job leaves behind is tried elsewhere."""
        return Left(tuple(found for found in self.marked(node) if found.mark[processes.ROLE] in roles), frozenset())

    def watch(self, child: Child, loop: asyncio.AbstractEventLoop, ended: Ended, *, with_group: bool = False) -> None:
        """Has `ended` called once."""
        process = self.living.get(child.pid)
        if process is None:
            loop.call_soon(ended, self._ended.get(child.pid))
            return
        assert with_group is (process.role != "igniter")
        process.watchers.append((loop, ended))
        if self.obedient and process.role == "igniter":
            loop.call_soon(self.answer_truly, process)

    def signal_group(self, pid: int, number: signal.Signals) -> None:
        """Both signals end it."""
        if not self.frozen and pid in self.living:
            self.end(pid, -number)

    def kill_group(self, pid: int, *, patience_s: float = 2.0) -> None:
        """Ends it."""
        assert patience_s > 0
        self.signal_group(pid, signal.SIGKILL)

    # What the test does

    def of_role(self, role: str) -> list[Acted]:
        """Returns the living of a role, oldest first."""
        return [process for process in self.living.values() if process.role == role]

    def end(self, pid: int, code: int) -> None:
        """One ends with `code`."""
        process = self.living.pop(pid)
        self._ended[pid] = code
        for loop, ended in process.watchers:
            if not loop.is_closed():
                # The code of an adopted process can't be known: nobody is its parent any more.
                loop.call_soon(ended, None if process.adopted else code)

    def answer(self, process: Acted, code: int, *, does_it: bool) -> None:
        """The cloud tool ends with `code`, having done what it was asked, or nothing."""
        if does_it and process.verb is not Verb.STATUS:
            self.vms = process.verb is Verb.START
            self._check_cores()
        self.end(process.pid, code)

    def answer_truly(self, process: Acted) -> None:
        """The cloud tool does what it was asked and says how it is."""
        if process.pid in self.living:
            code = (0 if self.vms else 1) if process.verb is Verb.STATUS else 0
            self.answer(process, code, does_it=True)

    def reboot(self) -> None:
        """Nothing survives."""
        self.living.clear()
        self.vms = False

    # What must never be

    def _judge(self, process: Acted) -> None:
        if process.role == "igniter":
            calls = self.of_role("igniter")
            if calls:
                self.wrongs.append(f"the cloud tool is asked {process.verb} while {calls[0].verb} is under way")
            if process.verb is Verb.START and self._tokens_outside() and not self.hands_in:
                self.wrongs.append(f"start is called with {self._tokens_outside()} core tokens outside the cloud")
            if process.verb is Verb.START and (working := self.of_role("job")):
                self.wrongs.append(f"start is called while job {working[0].pid} of run {working[0].run} works")
        elif process.role == "job" and self.vms:
            self.wrongs.append(f"a job of run {process.run} is started while VMs run")

    def _check_cores(self) -> None:
        if self.vms and self.of_role("job"):
            self.wrongs.append("VMs run beside a job")
