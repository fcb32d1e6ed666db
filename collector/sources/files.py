"""What the collector reads: mode file, journal, core tokens, and the box file behind a mount that may hang."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import msgspec

from collector.documents import Sighting, dated
from collector.facts import JournalView, Published, fold
from collector.sources.slow_files import SlowFiles
from collector.trouble import Trouble
from contract.box import Box, BuBox, read_box
from contract.errors import HltmodeError, Unreadable
from contract.journal import SwitchRecord, read_journal
from contract.modefile import read_mode
from contract.paths import CORE_TOKEN, NodePaths

log = logging.getLogger("collector")

# The words of hltd's box file for the folders of core tokens (hltd-contract: Node layout).
CORE_STATES: Final = {
    "idle": "idle",
    "online": "used",
    "except": "broken",
    "quarantined": "quarantined",
    "cloud": "cloud",
}
SWITCHES_AT_ONCE: Final = 500

Signature = tuple[int, int, int] | None


def signature(path: Path) -> Signature:
    """Returns what changes whenever the file at `path` is replaced or written; None without a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class ModeSource:
    """The mode file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Signature = None
        self._trouble = Trouble(f"{path}: legible again")

    def changed(self) -> bool:
        """Returns whether the file has changed since it was read."""
        return signature(self._path) != self._seen

    def read(self) -> Published | None:
        """Returns the published mode, None without a legible one."""
        self._seen = signature(self._path)
        if self._seen is None:
            self._trouble.say("")
            return None
        try:
            mode = read_mode(self._path)
        except Unreadable as error:
            self._trouble.say(str(error))
            return None
        self._trouble.say("")
        return Published(mode, self._seen[1] / 1e9)


class NewSwitches(msgspec.Struct, frozen=True):
    """Switches that ended after a cursor, and the record number up to which the journal is read with them."""

    records: tuple[SwitchRecord, ...]
    upto: int


class JournalSource:
    """The switcher's journal; `view` is what it says of the present."""

    def __init__(self, path: Path) -> None:
        self.view = JournalView()
        self._path = path
        self._seen: Signature = None
        self._upto = 0
        self._trouble = Trouble(f"{path}: readable again")

    def changed(self) -> bool:
        """Returns whether the journal has changed since it was read."""
        return signature(self._path) != self._seen

    def read(self, cursor: int) -> NewSwitches:
        """Brings `view` up to date and returns the switches after record `cursor`, a bounded number at once."""
        seen = signature(self._path)
        if seen is None or (seen == self._seen and cursor == self._upto == self.view.seq):
            return NewSwitches((), cursor)
        if self._seen is None or seen[0] != self._seen[0] or seen[2] < self._seen[2]:
            self.view = JournalView()
        try:
            found = self._scan(cursor)
            if self.view.seq < cursor:
                log.warning("%s: ends at record %d, %d were read before: it was begun anew, so is its reading",
                            self._path, self.view.seq, cursor)  # fmt: skip
                found = self._scan(0)
        except Unreadable as error:
            self._trouble.say(f"journal not read: {error}")
            return NewSwitches((), cursor)
        self._trouble.say("")
        self._seen, self._upto = seen, found.upto
        return found

    def _scan(self, cursor: int) -> NewSwitches:
        fresh: list[SwitchRecord] = []
        for record in read_journal(self._path, after=min(cursor, self.view.seq)):
            if record.seq > self.view.seq:
                self.view = fold(self.view, record)
            if record.seq <= cursor or not isinstance(record, SwitchRecord) or len(fresh) == SWITCHES_AT_ONCE:
                continue
            if dated(record):
                fresh.append(record)
            else:
                log.warning("%s: record %d passed over, for its times are none", self._path, record.seq)
        full = len(fresh) == SWITCHES_AT_ONCE
        return NewSwitches(tuple(fresh), fresh[-1].seq if full else self.view.seq)


class BoxSource:
    """The box file. A read that hangs goes on in its own thread; meanwhile the last good box is all there is."""

    def __init__(self, path: Path, hangs_after_s: float) -> None:
        self.failures = 0
        self.slow = SlowFiles(str(path), lambda: _read_dated(path), hangs_after_s)
        self._path = path
        self._seen = Sighting()
        self._trouble = Trouble(f"{path}: readable again")

    def read(self) -> Sighting:
        """Returns the newest box. Waits briefly; a slower answer is taken up by a later call."""
        try:
            answer = self.slow.answer()
        except HltmodeError as error:
            return self._failed(str(error))
        if answer is None:
            return self._seen
        box, changed_s = answer
        if isinstance(box, BuBox):
            return self._failed(f"{self._path}: the box of a BU; set node.host to the filter unit's name")
        self._trouble.say("")
        self._seen = Sighting(box=box, changed_s=changed_s)
        return self._seen

    def stop(self) -> None:
        """Lets the thread end, unless the mount holds it."""
        self.slow.stop()

    def _failed(self, words: str) -> Sighting:
        self.failures += 1
        self._trouble.say(words)
        self._seen = msgspec.structs.replace(self._seen, failed=True)
        return self._seen


def _read_dated(path: Path) -> tuple[Box | BuBox, float]:
    """Returns the box file and when it was written by the clock of its file system. Raises Unreadable."""
    box = read_box(path)
    try:
        return box, path.stat().st_mtime
    except OSError as error:
        raise Unreadable(f"{path}: no box file to read ({error.strerror})") from error


def cores(paths: NodePaths, box: Box | None) -> dict[str, int]:
    """Returns the number of core tokens in each state; without token folders, what the box says; else nothing.

    The folders come first for they are true while the box masks the node.
    """
    counts = {}
    for folder, state in CORE_STATES.items():
        try:
            counts[state] = sum(1 for entry in paths.tokens(folder).iterdir() if CORE_TOKEN.fullmatch(entry.name))
        except OSError:
            continue
    return counts if counts or box is None else box_cores(box)


def box_cores(box: Box) -> dict[str, int]:
    """Returns the number of core tokens in each state as the box says, which masks a node that leaves HLT."""
    return {
        "idle": box.idles,
        "used": box.used,
        "broken": box.broken,
        "quarantined": box.quarantined,
        "cloud": box.cloud,
    }
