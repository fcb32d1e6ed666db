"""The box files of an appliance, as they lie in one folder of the BU's ramdisk.

Each is rewritten in place by its node, so one may be caught half-written: it is read again after a short pause, which
all such files share. Nothing in the folder can hold a look up: what is no plain file, or too large, is not opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from collector.documents import Sighting
from collector.sources.slow_files import SlowFiles
from collector.trouble import Trouble
from contract.beneath import opened
from contract.box import LARGEST_BYTES, Box, parse_box
from contract.errors import HltmodeError, Unreadable
from contract.value_types import HostName

PAUSES_S: Final = (0.005, 0.02)
ROOM_BYTES: Final = 4096  # a file may grow between the question how large it is and its reading

Signature = tuple[int, int, int]


class BoxFile(msgspec.Struct, frozen=True):
    """One file as it was read: what changes with its content, and its box, or why it is none.

    With neither it is the BU's own box.
    """

    signature: Signature
    box: Box | None = None
    trouble: str = ""


Files = Mapping[str, BoxFile]


def read_boxes(folder: Path, before: Files) -> dict[str, BoxFile]:
    """Returns the box files of `folder` by host; those that have not changed since `before` are not opened.

    Raises Unreadable when the folder can't be read.
    """
    try:
        found = dict(_read(folder, before))
    except OSError as error:
        raise Unreadable(f"{folder}: no box files to read ({error.strerror}); see node.bu_dir") from error
    for pause_s in PAUSES_S:
        again = [name for name, file in found.items() if file.trouble and file != before.get(name)]
        if not again:
            break
        time.sleep(pause_s)
        found |= {name: file for name in again if (file := _read_one(folder / name)) is not None}
    return found


def _read(folder: Path, before: Files) -> Iterator[tuple[str, BoxFile]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            known = before.get(entry.name)
            try:
                signature = _signature(entry.stat(follow_symlinks=False))
            except OSError:
                continue  # gone since the folder was read
            same = known is not None and not known.trouble and known.signature == signature
            file = known if same else _read_one(folder / entry.name)
            if file is not None:
                yield entry.name, file


def _read_one(path: Path) -> BoxFile | None:
    """Returns the file at `path`, None when it has gone."""
    if not _is_host(path.name):
        return BoxFile((0, 0, 0), trouble=f"{path}: its name is no host name, so it is no box file; remove it")
    try:
        with opened(path) as (descriptor, found):
            return _read_open(descriptor, found, path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return BoxFile((0, 0, 0), trouble=f"{path}: no box file to read ({error.strerror})")


def _read_open(descriptor: int, found: os.stat_result, path: Path) -> BoxFile:
    signature = _signature(found)
    if found.st_size > LARGEST_BYTES:
        return BoxFile(signature, trouble=f"{path}: larger than {LARGEST_BYTES} bytes; not a box file")
    try:
        box = parse_box(os.read(descriptor, found.st_size + ROOM_BYTES), str(path))
    except OSError as error:
        return BoxFile(signature, trouble=f"{path}: cannot be read ({error.strerror})")
    except Unreadable as error:
        return BoxFile(signature, trouble=str(error))
    return BoxFile(signature, box if isinstance(box, Box) else None)


def _is_host(name: str) -> bool:
    try:
        msgspec.convert(name, HostName)
    except msgspec.ValidationError:
        return False
    return True


def _signature(found: os.stat_result) -> Signature:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _sighting(file: BoxFile) -> Sighting:
    _, changed_ns, _ = file.signature
    return Sighting(box=file.box, changed_s=changed_ns / 1e9)


class BoxFolder:
    """The folder, read in a thread of its own; while it hangs, the last good boxes are all there is."""

    def __init__(self, folder: Path, hangs_after_s: float) -> None:
        self.failures = 0
        self.slow = SlowFiles(str(folder), lambda: read_boxes(folder, self._files), hangs_after_s)
        self._folder = folder
        self._files: dict[str, BoxFile] = {}
        self._seen: dict[str, Sighting] = {}
        self._trouble = Trouble(f"{folder}: readable again")
        self._troubles: dict[str, Trouble] = {}

    def read(self) -> Mapping[str, Sighting]:
        """Returns the newest box of each filter unit whose file is there and has been a box file before."""
        try:
            files = self.slow.answer()
        except HltmodeError as error:
            self.failures += 1
            self._trouble.say(str(error))
            self._seen = {host: replace(seen, failed=True) for host, seen in self._seen.items()}
            return self._seen
        if files is None:
            return self._seen
        self._trouble.say("")
        self._say(files)
        self._files = files
        self._seen = {host: seen for host, file in files.items() if (seen := self._sighting(host, file))}
        return self._seen

    def stop(self) -> None:
        """Lets the thread end, unless the folder holds it."""
        self.slow.stop()

    def _sighting(self, host: str, file: BoxFile) -> Sighting | None:
        before = self._seen.get(host)
        if file.box is not None:
            return before if before and before.box is file.box and not before.failed else _sighting(file)
        # Whatever else lies in the folder never was a node.
        return replace(before, failed=True) if before and file.trouble else None

    def _say(self, files: Files) -> None:
        for host, file in files.items():
            self.failures += bool(file.trouble)
            if file.trouble or host in self._troubles:
                self._troubles.setdefault(host, Trouble(f"{self._folder / host}: readable again")).say(file.trouble)
        self._troubles = {host: trouble for host, trouble in self._troubles.items() if host in files}
