"""The cloud tool: called with start, stop or status, bounded in time, its exit code put into words."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import Final

from contract.config import Igniter as Settings
from contract.paths import NodePaths
from switcher import processes
from switcher.events import IgniterSaid, Said
from switcher.states import Verb

log = logging.getLogger(__name__)

ROLE: Final = "igniter"
KEPT_OUTPUT_BYTES: Final = 16 << 10
DIED: Final = b"Traceback (most recent call last)"  # a Python tool that dies of an exception exits with 1 as well

# Exit codes of `status` (hltd contract: Igniter exit codes).
STATUS_CODES: Final[dict[int, Said]] = {0: Said.RUNNING, 1: Said.NOT_RUNNING}
STATUS_ERRORS: Final[dict[int, str]] = {14: "exit 14, no answer for now", 66: "exit 66, no VM stack on this host"}


class Igniter:
    """The cloud tool of one node; `now` says what it is doing, for people."""

    def __init__(self, settings: Settings, paths: NodePaths) -> None:
        self.settings = settings
        self.now = ""
        self._paths = paths
        self._left: list[tuple[processes.Child, str]] = []

    @property
    def missing(self) -> str:
        """Why the tool can't be called at all, empty when it can."""
        program = self.settings.command[0]
        if shutil.which(program) is None:
            return f"{program} is not there or not executable; see igniter.command"
        return ""

    async def ask(self, verb: Verb) -> IgniterSaid:
        """Calls the tool and returns what its exit code means; a hanging one is killed with its process group."""
        try:
            await self._outlive_orphans()
        except OSError as error:
            return IgniterSaid(verb, Said.ERROR, f"an earlier call can't be waited for ({error.strerror})")
        if self.missing:
            return IgniterSaid(verb, Said.ERROR, self.missing)
        limit_s = self.settings.status_timeout_s if verb is Verb.STATUS else self.settings.timeout_s
        try:
            reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            return IgniterSaid(verb, Said.ERROR, f"no pipe for the cloud tool's output ({error.strerror})")
        os.set_blocking(writer, True)
        mark = {processes.NODE: str(self._paths.state_dir), processes.ROLE: ROLE}
        command = [*self.settings.command, verb.value]
        try:
            child = processes.spawn(command, mark=mark, output=writer, folder=self._paths.state_dir)
        except OSError as error:
            os.close(reader)
            return IgniterSaid(verb, Said.ERROR, f"{command[0]}: {error.strerror}")
        finally:
            os.close(writer)
        self.now = f"cloud tool {verb.value} (pid {child.pid})"
        try:
            with _Tail(reader) as tail:
                code = await _end_of(child, limit_s)
        except TimeoutError:
            return IgniterSaid(verb, Said.ERROR, f"timed out after {limit_s:g} s and was killed")
        except OSError as error:
            self._left.append((child, verb))
            return IgniterSaid(verb, Said.ERROR, f"can't be waited for now ({error.strerror}); the next call waits")
        finally:
            self.now = ""
        words = last_line(bytes(tail.output))
        if verb is Verb.STATUS and code == 1 and DIED in tail.output:
            return IgniterSaid(verb, Said.ERROR, f"exit {code}, it died: {words}")
        return meaning(verb, code, words)

    def find_orphans(self) -> None:
        """Finds calls of an earlier switcher that still run; VMs they started have other command lines.

        A question is killed. A start or stop is waited for before the tool is called again: killed half-way, it could
        leave VMs that nobody knows of.
        """
        for found in processes.marked(self._paths.state_dir):
            if found.mark.get(processes.ROLE) != ROLE or not self._is_call(found.command):
                continue
            if found.command[-1] == Verb.STATUS:
                log.warning("pid %d: a cloud tool call of an earlier switcher still runs; killed", found.pid)
                processes.kill_group(found.pid)
            else:
                self._left.append((processes.Child(found.pid, None), found.command[-1]))

    async def _outlive_orphans(self) -> None:
        while self._left:
            child, verb = self._left[0]
            whose = "" if child.popen else " of an earlier switcher"
            log.info("pid %d: cloud tool %s%s still runs; waited for", child.pid, verb, whose)
            self.now = f"cloud tool {verb}{whose} (pid {child.pid})"
            try:
                await _end_of(child, self.settings.timeout_s)
            except TimeoutError:
                log.warning("pid %d: cloud tool %s took too long and was killed", child.pid, verb)
            finally:
                self.now = ""
            self._left.pop(0)

    def _is_call(self, command: tuple[str, ...]) -> bool:
        """Returns whether `command` ends as a call of the tool does; before it there may be an interpreter."""
        program, *arguments = self.settings.command
        *called, verb = command[-len(arguments) - 2 :]
        names = [Path(part).name for part in called[:1]]
        return verb in set(Verb) and names == [Path(program).name] and called[1:] == arguments


def meaning(verb: Verb, code: int | None, words: str) -> IgniterSaid:
    """Returns what exit `code` of `verb` means; `words` is the tool's last line of output."""
    said = f": {words}" if words else ""
    if verb is Verb.STATUS and code in STATUS_CODES:
        return IgniterSaid(verb, STATUS_CODES[code])
    if verb is Verb.STATUS and code in STATUS_ERRORS:
        return IgniterSaid(verb, Said.ERROR, STATUS_ERRORS[code] + said)
    if code == 0 or (verb is Verb.STOP and code == 1):
        return IgniterSaid(verb, Said.DONE)
    return IgniterSaid(verb, Said.ERROR, f"exit {code}{said}")


def last_line(output: bytes) -> str:
    """Returns the last line of `output` that has text, printable and short."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return "".join(letter for letter in lines[-1] if letter.isprintable())[:200] if lines else ""


async def _end_of(child: processes.Child, limit_s: float) -> int | None:
    """Returns the exit code of `child`. After `limit_s` its whole group is killed and TimeoutError raised."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int | None] = loop.create_future()

    def note(code: int | None) -> None:
        if not ended.done():
            ended.set_result(code)

    processes.watch(child, loop, note)
    try:
        # Not wait_for: in Python 3.11 it swallows a cancellation that meets the result, and SIGTERM is one.
        async with asyncio.timeout(limit_s):
            return await ended
    except (TimeoutError, asyncio.CancelledError):
        processes.kill_group(child.pid)
        raise


class _Tail:
    """Reads a pipe as it fills and keeps the end of it, so that a tool that prints without end costs nothing."""

    def __init__(self, reader: int) -> None:
        self.output = bytearray()
        self._reader = reader
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Tail:
        self._loop.add_reader(self._reader, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._read()
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _read(self) -> None:
        try:
            chunk = os.read(self._reader, 1 << 20)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.remove_reader(self._reader)
        self.output = (self.output + chunk)[-KEPT_OUTPUT_BYTES:]
