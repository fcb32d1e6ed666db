"""What others put into the watch directory: command files, run directories, end files. Found by looking, not by events.

Looking is level-triggered, so a lost notification costs time but never a request.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from contract.modes import Wanted
from contract.paths import COMMANDS, END_FILE, NodePaths, RunRef, parse_run
from contract.request import BadRequest, Request, checked
from switcher import run_files

log = logging.getLogger(__name__)

LARGEST_COMMAND_BYTES = 4096


class CommandFile(msgspec.Struct, frozen=True):
    """What a command file may say about itself; an empty one, as old callers make it, says nothing."""

    id: str = ""
    who: str = ""
    reason: str = ""
    deadline_s: float | None = None


class Command(NamedTuple):
    """A command file that was taken: the request it makes, and the file to remove once that is on disk."""

    request: Request
    taken: Path


class Seen(NamedTuple):
    """What lies in the watch directory: commands oldest first, run directories and end files by name."""

    commands: tuple[str, ...]
    runs: dict[str, RunRef]
    ended: dict[str, int]


def look(paths: NodePaths) -> Seen:
    """Returns what lies in the watch directory. Raises OSError."""
    commands: list[tuple[int, bool, str]] = []
    runs: dict[str, RunRef] = {}
    ended: dict[str, int] = {}
    with os.scandir(paths.watch_dir) as entries:
        for entry in entries:
            name = entry.name
            command = name.removeprefix(".").removesuffix(".taken")
            if command in COMMANDS:
                taken = name != command
                commands.append((0 if taken else entry.stat(follow_symlinks=False).st_mtime_ns, taken, name))
            elif (ref := parse_run(name)) and entry.is_dir(follow_symlinks=False):
                runs[name] = ref
            elif match := END_FILE.fullmatch(name):
                ended[name] = int(match[1])
    # Of two files of the same moment, `include` counts as the later: HLT wins.
    commands.sort(key=lambda item: (item[0], item[2] == "include"))
    return Seen(tuple(name for _, _, name in commands), runs, ended)


def take(paths: NodePaths, name: str) -> Command | None:
    """Takes a command file out of the way and returns its request; None when it is gone or makes no sense.

    Whoever writes the same name meanwhile makes a new file, so no request is lost between reading and removing.
    """
    command = name.removeprefix(".").removesuffix(".taken")
    taken = paths.watch_dir / f".{command}.taken"
    try:
        if name == command:
            (paths.watch_dir / name).rename(taken)
        descriptor = os.open(taken, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.error("%s: command file can't be taken (%s)", paths.watch_dir / name, error.strerror)
        return None
    with os.fdopen(descriptor, "rb") as file:
        stat = os.fstat(descriptor)
        content = file.read(LARGEST_COMMAND_BYTES + 1)
    try:
        said = _said(content)
        request = Request(
            id=said.id or f"file-{stat.st_ino}-{stat.st_mtime_ns}",
            to=Wanted.HLT if command == "include" else Wanted.CLOUD,
            who=said.who or "file",
            reason=said.reason,
            hurry=command == "excludenow",
            deadline_s=said.deadline_s,
        )
        return Command(checked(request), taken)
    except BadRequest as error:
        log.error("%s: %s; the file is dropped", paths.watch_dir / command, error)
        taken.unlink(missing_ok=True)
        return None


def drop(path: Path) -> None:
    """Removes a file whose meaning is on disk elsewhere by now."""
    path.unlink(missing_ok=True)


def _said(content: bytes) -> CommandFile:
    if not content.strip():
        return CommandFile()
    if len(content) > LARGEST_COMMAND_BYTES:
        raise BadRequest(f"larger than {LARGEST_COMMAND_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=CommandFile)
    except msgspec.MsgspecError:
        return CommandFile(reason=content.decode(errors="replace"))


class RunDirectories:
    """Tells new run directories from those that have been dealt with."""

    def __init__(self) -> None:
        self._dealt_with: set[str] = set()

    def lying(self, paths: NodePaths, runs: dict[str, RunRef]) -> tuple[RunRef, ...]:
        """Returns the unfinished among `runs`, at start-up; all of them are dealt with then."""
        self._dealt_with = set(runs)
        return tuple(ref for name, ref in runs.items() if not run_files.is_finished(paths, name))

    def appeared(self, paths: NodePaths, runs: dict[str, RunRef]) -> list[RunRef]:
        """Returns the runs whose directories are new since the last call and not finished."""
        new = runs.keys() - self._dealt_with
        self._dealt_with = set(runs)
        return sorted(runs[name] for name in new if not run_files.is_finished(paths, name))
