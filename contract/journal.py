"""The journal of a node: what was asked, every transition once and in order, and each switch as a whole.

JSON lines, numbered from 1 without a gap. A record is appended and synced before its effect is seen outside. A line
torn by a power cut can only be the last one; opening the journal for writing cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from contract.durable import named, sync_folder
from contract.errors import Unreadable
from contract.modes import Mode, Vms, Wanted
from contract.undecodable import UNDECODABLE

# Of a switch; the first four on the way to the cloud, the others on the way back.
PHASES: Final = ("check", "drain", "hand_over", "start_vms", "stop_vms", "take_back")

# How a switch ends.
OUTCOMES: Final = ("done", "refused", "superseded", "vms_failed")

TAIL_BYTES: Final = 1 << 20
HALVED_TO_BYTES: Final = 1 << 16


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all records carry: the number and the time (UTC, ISO 8601)."""

    seq: int
    time: str


class StartRecord(Record, frozen=True, kw_only=True, tag="start"):
    """The switcher started and found this."""

    pid: int
    mode: Mode
    position: str
    wanted: Wanted
    facts: str


class RequestRecord(Record, frozen=True, kw_only=True, tag="request"):
    """A request and its answer."""

    id: str
    to: Wanted
    who: str
    reason: str
    verdict: str
    why: str = ""


class MoveRecord(Record, frozen=True, kw_only=True, tag="move"):
    """The node went from one position, mode or state of its VMs to another."""

    switch_id: str | None
    from_mode: Mode
    mode: Mode
    from_position: str
    position: str
    wanted: Wanted
    vms: Vms


class SwitchRecord(Record, frozen=True, kw_only=True, tag="switch"):
    """One journey from its request to its end.

    `phases` holds the seconds spent in each of PHASES, in the order in which they were first entered. `outcome` is
    one of OUTCOMES. Times of day are wall clock; durations are not, so a clock that is set
    doesn't bend them.
    """

    id: str
    who: str
    reason: str
    from_mode: Mode
    to: Wanted
    outcome: str
    why: str = ""
    started: str
    duration_s: float
    phases: dict[str, float]
    was_stuck: bool = False


class RunRecord(Record, frozen=True, kw_only=True, tag="run"):
    """What happened to a run on this node: started, refused, joined, dropped, told to stop, ended, vanished."""

    run: int
    what: str
    detail: str = ""


AnyRecord = StartRecord | RequestRecord | MoveRecord | SwitchRecord | RunRecord

_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


class Journal:
    """The journal opened for writing; `last_seq` is the number of the newest record on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = self._open()
        self.last_seq = self._mend()

    def append(self, records: Iterable[AnyRecord]) -> None:
        """Puts on disk those of `records` that are not there yet (by number). Raises OSError."""
        new = [record for record in records if record.seq > self.last_seq]
        if not new:
            return
        if self._replaced():
            # In this order: while no other can be opened, the number must stay ours.
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh
            self._size = os.fstat(self._descriptor).st_size
        lines = _lines(new)
        with named(self._path):
            os.ftruncate(self._descriptor, self._size)  # what a write that failed may have left
            view = memoryview(lines)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        self._size += len(lines)
        self.last_seq = new[-1].seq

    def complete(self, records: list[AnyRecord]) -> None:
        """Sees to it that `records`, of the last step before a kill or a power cut, are the end of the journal.

        A power cut may leave zeros or one half of them where they should be: what follows the record before them is
        then written anew. A journal that knows newer ones is left as it is. Raises OSError.
        """
        if not records or self.last_seq > records[-1].seq:
            return
        start = max(0, self._size - TAIL_BYTES)
        tail = os.pread(self._descriptor, self._size - start, start)
        end, before = 0, 0
        for line in tail.splitlines(keepends=True):
            end += len(line)
            record = _record(line)
            if record is not None and record.seq < records[0].seq:
                before = end
        if tail[before:] == _lines(records) or (start and not before):
            return
        os.ftruncate(self._descriptor, start + before)
        self._size, self.last_seq = start + before, records[0].seq - 1
        self.append(records)

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            sync_folder(self._path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _replaced(self) -> bool:
        """Whether somebody has removed the file, or put another one in its place."""
        try:
            there, ours = self._path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _mend(self) -> int:
        """Cuts a torn last line off and returns the number of the last whole record, 0 with none."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - TAIL_BYTES)
        tail = os.pread(self._descriptor, size - start, start)
        whole = tail.rfind(b"\n") + 1
        self._size = start + whole
        os.ftruncate(self._descriptor, self._size)
        records = (_record(line) for line in reversed(tail[:whole].splitlines(keepends=True)))
        return next((record.seq for record in records if record is not None), 0)


def _lines(records: Iterable[AnyRecord]) -> bytes:
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def _record(line: bytes) -> AnyRecord | None:
    """Returns the record of a whole line, None for anything else."""
    try:
        return _decoder.decode(line) if line.endswith(b"\n") else None
    except UNDECODABLE:
        return None


def read_journal(path: Path, *, after: int = 0) -> Iterator[AnyRecord]:
    """Yields the records numbered above `after`, oldest first; a line that is no record is passed over.

    Where they begin is found by halving, so that a question about what is new costs the same after ten years.
    Raises Unreadable when the file is there but can't be opened; without a file there is nothing to yield.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    with file:
        if after > 0:
            _skip(file, after)
        for line in file:
            record = _record(line)
            if record is not None and record.seq > after:
                yield record


def _skip(file: BinaryIO, after: int) -> None:
    """Moves on to a line that has only records up to `after` before it, and not many of them behind it."""
    low, high = 0, os.fstat(file.fileno()).st_size
    while high - low > HALVED_TO_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        seq, start = None, middle
        while seq is None and file.tell() < high:
            start = file.tell()
            record = _record(file.readline())
            seq = None if record is None else record.seq
        if seq is not None and seq <= after:
            low = start
        else:
            high = middle
    file.seek(low)
