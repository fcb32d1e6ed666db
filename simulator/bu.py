"""A BU: closes lumisections, tells its filter units of runs, sums up their box files. Real files, real HTTP.

Run it as `hltmode simulate bu --ramdisk DIR`. Lines on stdin control it, each answered by one line
that begins with `ok` or `no`: `start N`, `stop N` (closes the open lumisection, then writes EoR), `quit`. A pipe that
closes means quit; quit and SIGTERM leave open runs without EoR, as a BU that dies does. All other lines of output are
notes: `notified: …`, `not notified: …`, `asks fu-01 …`, `left out: …`.

Whom it asks for data during a lumisection is decided when that begins, from the box files, and stands in its EoLS file:
`{"run": 100, "ls": 3, "asked": ["fu-01"], "events": 1000}`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from contract.box import VERSION, BuBox, write_box
from contract.errors import Surroundings
from contract.paths import BuPaths, parse_run, run_name
from contract.times import hltd_date
from simulator.box_folder import BoxFolder
from simulator.notices import Notice, send, start_path, stop_path
from simulator.summary import OFF, asked, is_counted, summarise

EVENTS_PER_FU: Final = 1000
MB: Final = 1 << 20


class Settings(NamedTuple):
    """What a BU is told at its start: see `hltmode simulate bu --help`."""

    ramdisk: Path
    host: str
    lumisection_s: float
    period_s: float
    port: int
    box_poll_s: float
    notice_timeout_s: float
    buname: bool
    runs: tuple[int, ...]


class EndOfLumisection(msgspec.Struct, frozen=True):
    """The content of an EoLS file: which filter units were asked for data."""

    run: int
    ls: int
    asked: list[str]
    events: int


class OpenRun:
    """A run that goes on; `stopping` is set when it shall end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = 0
        self.stopping = asyncio.Event()
        self.over = asyncio.Event()


class Bu:
    """One BU over its ramdisk."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._paths = BuPaths(settings.ramdisk)
        self._paths.boxes.mkdir(parents=True, exist_ok=True)
        self._folder = BoxFolder(self._paths.boxes, settings.host, say)
        self._runs: dict[int, OpenRun] = {}
        self._cloud_states: dict[str, str] = {}
        self._asked: list[str] = []
        self._booted = hltd_date(time.time()).replace("T", " ") + " +0000"

    async def serve(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._look()
                self._sum_up()
                tasks.create_task(self._keep_looking())
                tasks.create_task(self._keep_summing_up())
                tasks.create_task(self._listen(stop))
                tasks.create_task(_raise_at(stop))
                say(f"ready: BU {self._settings.host} over {self._settings.ramdisk}, pid {os.getpid()}")
                for number in self._settings.runs:
                    say(self._start(number))
        except* _Stopped:
            say("ended")

    async def obey(self, line: str, stop: asyncio.Event) -> str:
        """Does what a line of stdin asks and returns the answer."""
        verb, _, argument = line.strip().partition(" ")
        if verb == "quit":
            stop.set()
            return "ok quit"
        if verb not in ("start", "stop") or not argument.isdecimal() or parse_run(run_name(int(argument))) is None:
            return f"no {line.strip()[:80]}: write start N, stop N or quit, N a run number"
        return self._start(int(argument)) if verb == "start" else await self._stop(int(argument))

    def _start(self, number: int) -> str:
        if self._paths.run_dir(number).exists():
            return f"no start {number}: {self._paths.run_dir(number)} exists already"
        self._paths.run_dir(number).mkdir()
        run = self._runs[number] = OpenRun(number)
        self._tasks.create_task(self._take_data(run))
        self._notify_all(f"start of run {number}", start_path(number, self._buname))
        return f"ok start {number}"

    async def _stop(self, number: int) -> str:
        run = self._runs.get(number)
        if run is None:
            return f"no stop {number}: no such run is open"
        run.stopping.set()
        await run.over.wait()
        self._notify_all(f"end of run {number}", stop_path(number))
        return f"ok stop {number} after lumisection {run.closed}"

    async def _take_data(self, run: OpenRun) -> None:
        """Closes one lumisection after the other, on a grid that lateness doesn't shift, then writes EoR."""
        begin_s = time.monotonic()
        while not run.stopping.is_set():
            self._look()
            hosts = asked(self._folder.boxes, time.time())
            left_s = begin_s + (run.closed + 1) * self._settings.lumisection_s - time.monotonic()
            await _sleep_or(run.stopping, left_s)
            run.closed += 1
            content = EndOfLumisection(run.number, run.closed, hosts, EVENTS_PER_FU * len(hosts))
            _put(self._paths.eols(run.number, run.closed), msgspec.json.encode(content))
        _put(self._paths.eor(run.number), msgspec.json.encode({"run": run.number, "lumisections": run.closed}))
        del self._runs[run.number]
        run.over.set()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._settings.box_poll_s)
            self._look()

    def _look(self) -> None:
        """Reads the boxes, says whom it asks from now on, and notifies those again that came back empty-handed."""
        self._folder.read()
        now_s = time.time()
        hosts = asked(self._folder.boxes, now_s)
        for host in sorted(set(hosts) ^ set(self._asked)):
            say(f"asks {host} {'for data' if host in hosts else 'no more'}")
        self._asked = hosts
        newest = max(self._runs, default=0)
        for host, reported in self._folder.boxes.items():
            if not is_counted(reported, now_s):
                continue
            box = reported.box
            # A unit seen for the first time has not turned to off, so it hears of the next run only, as with hltd.
            before, self._cloud_states[host] = self._cloud_states.get(host, OFF), box.cloudState
            if newest and before != OFF and box.cloudState == OFF and not box.activeRuns:
                self._notify(host, box.ip, f"start of run {newest} again", start_path(newest, self._buname))

    async def _keep_summing_up(self) -> None:
        while True:
            await asyncio.sleep(self._settings.period_s)
            self._sum_up()

    def _sum_up(self) -> None:
        """Writes the BU's own box, in place as every box, and its summary, by rename."""
        disk = os.statvfs(self._settings.ramdisk)
        used_bytes, total_bytes = (disk.f_blocks - disk.f_bavail) * disk.f_frsize, disk.f_blocks * disk.f_frsize
        box = BuBox(
            fm_date=hltd_date(time.time()),
            usedRamdisk=used_bytes // MB,
            totalRamdisk=total_bytes // MB,
            usedOutput=used_bytes // MB,
            totalOutput=total_bytes // MB,
            activeRuns=sorted(self._runs),
            version=VERSION,
            boot_id=self._booted,
            cpuName="Simulated",
            daqSystem="simulator",
        )
        write_box(self._paths.boxes / self._settings.host, box)
        summary = summarise(
            self._folder.boxes,
            bu=box,
            active_run=max(self._runs, default=0),
            ramdisk_occupancy=used_bytes / total_bytes if total_bytes else 0.0,
            now_s=time.time(),
        )
        _put(self._paths.summary, msgspec.json.format(msgspec.json.encode(summary), indent=1))

    @property
    def _buname(self) -> str:
        return self._settings.host if self._settings.buname else ""

    def _notify_all(self, what: str, path: str) -> None:
        """Notifies every unit that reports, those in cloud too: they refuse a run themselves."""
        self._look()
        now_s = time.time()
        for host, reported in self._folder.boxes.items():
            if is_counted(reported, now_s):
                self._notify(host, reported.box.ip, what, path)

    def _notify(self, host: str, ip: str, what: str, path: str) -> None:
        notice = Notice(host, ip, self._settings.port, what, path)
        self._tasks.create_task(_say_later(send(notice, self._settings.notice_timeout_s)))

    async def _listen(self, stop: asyncio.Event) -> None:
        """Obeys stdin line by line; nobody is there to be obeyed when it is /dev/null or a file."""
        kind = os.fstat(sys.stdin.fileno()).st_mode
        if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or sys.stdin.isatty()):
            return
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line.strip():
                say(await self.obey(line.decode(errors="replace"), stop))
        stop.set()


class _Stopped(Exception):
    """Not an error: how a task group is told to end."""


def say(text: str) -> None:
    """Prints one line at once."""
    print(text, flush=True)


async def _raise_at(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _Stopped


async def _say_later(line: Coroutine[None, None, str]) -> None:
    say(await line)


async def _sleep_or(event: asyncio.Event, seconds: float) -> None:
    """Waits `seconds`, or less when `event` is set."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        return


def _put(path: Path, content: bytes) -> None:
    temporary = path.with_name(f"{path.name}_temp")
    temporary.write_bytes(content)
    temporary.rename(path)


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Bu(settings).serve(stop)


def run(settings: Settings) -> None:
    """Serves until SIGTERM, SIGINT or quit. Raises Surroundings when the ramdisk fails."""
    try:
        asyncio.run(_main(settings))
    except* OSError as group:
        first = next(_leaves(group))
        raise Surroundings(f"{first.filename or settings.ramdisk}: {first.strerror}; see --ramdisk") from None


def _leaves(group: BaseExceptionGroup[OSError]) -> Iterator[OSError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
