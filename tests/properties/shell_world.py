"""One filter unit for properties: real folders, the real shell and its real HTTP entrance, in time that jumps.

Acted are processes (`acted_processes`), clocks, the machine's figures and notifications of changes: whether a change is
noticed at once or only at the next regular look is the test's choice. A power cut is not: nothing is synced.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import pytest

from contract import durable
from contract.config import NodeConfig
from contract.errors import MountHangs
from contract.paths import TOKEN_STATES
from simulator.node_files import lay_out
from switcher import boxing, cgi, clock, node, processes, showing, store
from switcher.entrance import Entrance
from switcher.figures import Figures
from switcher.node import Switcher
from switcher.timeline import Now
from tests.properties.acted_processes import ActedProcesses
from tests.properties.jumping_loop import JumpingLoop

T = TypeVar("T")

CORES: Final = 4
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - renames on a busy disk would take most of the time
START_S: Final = 1_000.0
WALL_S: Final = 1_790_000_000.0
OVERLAY: Final[dict[str, dict[str, Any]]] = {
    "igniter": {"command": ["/bin/true"], "timeout_s": 30.0},
    "jobs": {"command": ["job", "{run}"], "merge_command": ["merge", "{run}"], "cores_per_job": 2},
}


class Killed(BaseException):
    """The daemon was killed in the middle of its work."""


class ActedMount:
    """In the place of `contract.mount.Mount`: answers at once, or not as long as the world says so."""

    hanging = False

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Does the work now, or never."""
        future: Future[T] = Future()
        if not ActedMount.hanging:
            try:
                future.set_result(work())
            except OSError as error:
                future.set_exception(error)
        return future

    def overdue(self, timeout_s: float) -> MountHangs:
        """Returns the error of a call that took too long."""
        return MountHangs(f"{self._name}: no answer within {timeout_s:g} s")


class NoNotices:
    """In the place of `switcher.watching.Watching`."""

    trouble = ""

    def __init__(self, _paths: object, changed: Callable[[], None]) -> None:
        self._changed = changed

    def renew(self) -> None:
        """Nothing to watch."""

    def stop(self) -> None:
        """Nothing to end."""


class NoFigures:
    """In the place of `switcher.figures.Meter`."""

    cpu_name, phys_cores, hyperthreads = "acted", 2, 4

    def __init__(self, _data: Path) -> None:
        self._none = Figures()

    def read(self, _now_s: float) -> Figures:
        """Returns nothing but noughts."""
        return self._none


class Life:
    """One process of the daemon: a loop, the shell in it, its HTTP entrance."""

    def __init__(self, config: NodeConfig, now_s: float, before_work: Callable[[], None]) -> None:
        self.loop = JumpingLoop(now_s, before_work)
        self.switcher: Switcher | None = None
        self.serving: asyncio.Task[None] | None = None
        self.port = 0
        self.calls: list[asyncio.Task[bytes]] = []
        self._config = config
        self._entrance: Entrance | None = None

    async def begin(self) -> None:
        """Does what `hltmode switcher run` does."""
        self.switcher = Switcher(self._config, "127.0.0.1")
        await self.switcher.start()
        self._entrance = Entrance(self._config.http)
        self.port = int(self._entrance.urls.rpartition(":")[2])
        await self._entrance.open(self.switcher)
        self.serving = asyncio.create_task(self.switcher.serve())

    async def end(self) -> BaseException | None:
        """Takes everything away and returns what the shell died of by itself, None when it was alive."""
        died = self.serving.exception() if self.serving and self.serving.done() else None
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        if self.serving is not None:
            await asyncio.gather(self.serving, return_exceptions=True)
        elif self.switcher is not None:
            self.switcher._store.close()  # as the kernel does for a process that was killed
        if self._entrance is not None:
            await self._entrance.close()
        return died


class ShellWorld:
    """The node, its BU, and the lives of its switcher. `life` is None while the daemon is down."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="hltmode-shell-", dir=MEMORY if MEMORY.is_dir() else None))
        self.files = lay_out(self.root, "fu-1", port=0, cores=CORES, overlay=OVERLAY)
        self.config = self.files.load()
        self.paths = self.config.paths
        self.processes = ActedProcesses(self.tokens_outside)
        self.life: Life | None = None
        self.now_s = START_S
        self.wall_s = WALL_S
        self.boot = 1
        self.mishaps: list[str] = []
        self.works_left: int | None = None
        self.disk_full = False
        self._booted_s = 0.0
        self._stamps = 0
        self._patch = pytest.MonkeyPatch()
        for name in ("spawn", "marked", "left", "watch", "signal_group", "kill_group"):
            self._patch.setattr(processes, name, getattr(self.processes, name))
        self._patch.setattr(clock, "now", self.now)
        self._patch.setattr(clock, "boot_id", lambda: f"boot-{self.boot}")
        self._patch.setattr(node, "Watching", NoNotices)
        self._patch.setattr(showing, "Meter", NoFigures)
        self._patch.setattr(boxing, "Mount", ActedMount)
        self._patch.setattr(cgi, "time", SimpleNamespace(time_ns=self.stamp_ns))
        self._patch.setattr(os, "fsync", lambda _descriptor: None)

    # Time

    def now(self) -> Now:
        """Returns the moment on both clocks."""
        loop_s = self.life.loop.now_s if self.life else self.now_s
        return Now(self.wall_s + loop_s, loop_s - self._booted_s)

    def stamp_ns(self) -> int:
        """Returns the date of a file that is made now: no two are the same."""
        self._stamps += 1
        return int(self.now().wall_s * 1e9) + self._stamps

    def pass_s(self, seconds: float) -> None:
        """Lets time go by."""
        if self.life is None:
            self.now_s += seconds
            return
        self._run(lambda loop: loop.pass_s(seconds))

    def rest(self) -> None:
        """Lets the daemon do everything that it can do now."""
        self._run(lambda loop: loop.rest())

    def _run(self, what: Callable[[JumpingLoop], None]) -> None:
        if self.life is None:
            return
        what(self.life.loop)
        if self.life.serving is not None and self.life.serving.done():
            self.end()

    # The daemon

    def start(self) -> None:
        """Starts the daemon, which may be killed on the way. With a full disk it would not come to an end."""
        assert self.life is None
        assert not self.disk_full
        life = self.life = Life(self.config, self.now_s, self._before_work)
        try:
            life.loop.run_until_complete(life.begin())
        except Killed:
            self.end()
            return
        self.rest()

    def end(self) -> None:
        """Ends the daemon at once; what it died of, if not of this, is noted."""
        life = self.life
        if life is None:
            return
        self.processes.frozen = True
        died = life.loop.run_until_complete(life.end())
        self.processes.frozen = False
        if died is not None and not _was_killed(died):
            self.mishaps.append(f"the daemon died of {died!r}")
        self.mishaps += life.loop.mishaps
        self.now_s = life.loop.now_s
        life.loop.close()
        self.life = None
        self.works_left = None

    def reboot(self) -> None:
        """The machine goes down and comes up, without the daemon for now."""
        self.end()
        self.processes.reboot()
        self.boot += 1
        self.now_s += 60
        self._booted_s = self.now_s - 30

    @property
    def switcher(self) -> Switcher:
        """The shell that lives."""
        assert self.life is not None
        assert self.life.switcher is not None
        return self.life.switcher

    def poke(self) -> None:
        """The change is noticed at once."""
        if self.life is not None:
            self.switcher.poke()

    def _before_work(self) -> None:
        if self.works_left is not None:
            self.works_left -= 1
            if self.works_left < 0:
                raise Killed

    # Callers

    def call(self, request: bytes) -> asyncio.Task[bytes]:
        """Sends `request` and returns the task that has the whole answer in the end."""
        assert self.life is not None
        port = self.life.port

        async def talk() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return await reader.read(-1)
            finally:
                writer.close()

        task = self.life.loop.create_task(talk())
        self.life.calls.append(task)
        self.rest()
        return task

    # Folders

    def tokens_outside(self) -> int:
        """Returns how many core tokens are in another folder than that of the cloud."""
        return sum(1 for state in TOKEN_STATES if state != "cloud" for _ in self.paths.tokens(state).glob("core*"))

    def fill_disk(self) -> None:
        """From now on the state file can't be written."""

        def full(path: Path, _content: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        self.disk_full = True
        self._patch.setattr(store, "replace_durably", full)

    def free_disk(self) -> None:
        """From now on it can."""
        self.disk_full = False
        self._patch.setattr(store, "replace_durably", durable.replace_durably)

    def clean(self) -> None:
        """Ends everything."""
        self.end()
        self._patch.undo()
        ActedMount.hanging = False
        shutil.rmtree(self.root)


def _was_killed(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_was_killed(each) for each in error.exceptions)
    return isinstance(error, Killed | asyncio.CancelledError)
