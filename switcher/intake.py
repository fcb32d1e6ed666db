"""What others put into the watch directory: command files, run directories, end files. Found by looking, not by events.

Looking is level-triggered, so a lost notification costs time but never a request.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from contract.beneath import opened
from contract.durable import sync_folder
from contract.modes import Wanted
from contract.paths import COMMANDS, END_FILE, NodePaths, RunRef, parse_run
from contract.request import BadRequest, Request, checked
from contract.undecodable import UNDECODABLE
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
    """What lies in the watch directory: commands oldest first, run directories and end files by name.

    `strange` has the names of commands that are no regular files: links, pipes, directories.
    """

    commands: tuple[str, ...]
    runs: dict[str, RunRef]
    ended: dict[str, int]
    strange: tuple[str, ...] = ()


def look(paths: NodePaths) -> Seen:
    """Returns what lies in the watch directory. Raises OSError."""
    commands: list[tuple[int, bool, str]] = []  # sorts by time; of one moment, `include` counts as the later
    runs: dict[str, RunRef] = {}
    ended: dict[str, int] = {}
    strange: list[str] = []
    with os.scandir(paths.watch_dir) as entries:
        for entry in entries:
            name = entry.name
            command = name.removeprefix(".").removesuffix(".taken")
            if command in COMMANDS:
                if not entry.is_file(follow_symlinks=False):
                    strange.append(name)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    commands.append((entry.stat(follow_symlinks=False).st_mtime_ns, command == "include", name))
            elif (ref := parse_run(name)) and entry.is_dir(follow_symlinks=False):
                runs[name] = ref
            elif match := END_FILE.fullmatch(name):
                ended[name] = int(match[1])
    return Seen(tuple(name for _, _, name in sorted(commands)), runs, ended, tuple(strange))


def take(paths: NodePaths, name: str) -> Command | None:
    """Takes a command file out of the way and returns its request; None when it is gone or makes no sense.

    Whoever writes the same name meanwhile makes a new file, so no request is lost between reading and removing. Nor
    does one overtake another: a file that was made anew since it was seen waits for those that are older now.
    """
    command = name.removeprefix(".").removesuffix(".taken")
    taken = paths.watch_dir / f".{command}.taken"
    try:
        if name == command:
            (paths.watch_dir / name).rename(taken)
            sync_folder(paths.watch_dir)  # after a power cut it must not come back as another request
        content, found = _read(taken)
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            log.error("%s: command file can't be taken (%s)", paths.watch_dir / name, error.strerror)
        return None
    if name == command and look(paths).commands[:1] != (taken.name,):
        return None
    try:
        said = _said(content)
        request = Request(
            id=said.id or f"file-{found.st_ino}-{found.st_ctime_ns}",
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


def clear_away(path: Path) -> None:
    """Removes what stands in the place of a command file, but nothing that somebody may miss. Raises OSError."""
    log.error("%s: neither a command file nor anything else of use; removed", path)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def drop(path: Path) -> None:
    """Removes a file whose meaning is on disk elsewhere by now, for good."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    with opened(path) as (descriptor, found):
        return os.read(descriptor, LARGEST_COMMAND_BYTES + 1), found


def _said(content: bytes) -> CommandFile:
    if not content.strip():
        return CommandFile()
    if len(content) > LARGEST_COMMAND_BYTES:
        raise BadRequest(f"larger than {LARGEST_COMMAND_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=CommandFile)
    except UNDECODABLE:
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
