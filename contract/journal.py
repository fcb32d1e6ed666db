"""The journal of a node: what was asked, every transition once and in order, and each switch as a whole.

JSON lines, numbered from 1 without a gap. A record is appended and synced before its effect is seen outside. A line
torn by a power cut can only be the last one; opening the journal for writing cuts it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from contract.durable import sync_folder
from contract.errors import Unreadable
from contract.modes import Mode, Vms, Wanted
from contract.undecodable import UNDECODABLE

# Of a switch; the first four on the way to the cloud, the others on the way back.
PHASES: Final = ("check", "drain", "hand_over", "start_vms", "stop_vms", "take_back")

TAIL_BYTES: Final = 1 << 20


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
    done, refused, superseded or vms_failed. Times of day are wall clock; durations are not, so a clock that is set
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
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        sync_folder(path.parent)
        self.last_seq = self._mend()

    def append(self, records: Iterable[AnyRecord]) -> None:
        """Puts on disk those of `records` that are not there yet (by number). Raises OSError."""
        new = [record for record in records if record.seq > self.last_seq]
        if not new:
            return
        size = os.fstat(self._descriptor).st_size
        try:
            view = memoryview(b"".join(msgspec.json.encode(record) + b"\n" for record in new))
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self.last_seq = new[-1].seq

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _mend(self) -> int:
        """Cuts a torn last line off and returns the number of the last whole record, 0 with none."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - TAIL_BYTES)
        tail = os.pread(self._descriptor, size - start, start)
        whole = tail.rfind(b"\n") + 1
        os.ftruncate(self._descriptor, start + whole)
        for line in reversed(tail[:whole].splitlines()):
            try:
                return _decoder.decode(line).seq
            except UNDECODABLE:
                continue
        return 0


def read_journal(path: Path, *, after: int = 0) -> Iterator[AnyRecord]:
    """Yields the records numbered above `after`, oldest first; a line that is no record is passed over.

    Raises Unreadable when the file is there but can't be opened; without a file there is nothing to yield.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    with file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                record = _decoder.decode(line)
            except UNDECODABLE:
                continue
            if record.seq > after:
                yield record
