"""The log: every document in one SQLite file, on disk before anyone else sees it; without sinks, the store itself.

Documents and the position in the journal they came from are committed together, so a switch is in the log exactly
once whatever moment the collector is killed at.

`synchronous = FULL`: a commit is on disk when it returns. NORMAL would survive a kill of the process too, but a power
cut could take back the newest commits; a number given out again would then name two documents, of which an index
keeps one. One sync every few seconds is a cheap price.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from collector.documents import BOX, SWITCHOVER, Captured, document_id
from collector.index.names import index_of
from collector.log import ledger, rescue
from collector.log.ledger import Account
from collector.log.pending import Span
from collector.log.schema import (
    BROKEN,
    DROPPED_AGE,
    DROPPED_BYTES,
    DROPPED_UNWRITTEN,
    MADE,
    Foreign,
    LogTrouble,
    begin,
    inode,
    is_damage,
)

log = logging.getLogger("collector")

# What goes first when the log is full; by age only the first kind goes, for switches are few and asked about late.
LEAST_WORTH_FIRST: Final = (BOX, SWITCHOVER)

AT_ONCE: Final = 64  # bounds the work of one append; also what a wildly wrong clock can take away at once
ROUNDS: Final = 16


class Keep(msgspec.Struct, frozen=True):
    """How long box documents are kept, and how many bytes all documents may take."""

    days: float
    bytes: int = 1 << 30


class Log:
    """The log at `path`. One thread uses it, and opens it before every append: after trouble it is closed.

    `origin` is the host that keeps it, `sinks` those that documents are captured for, and `accounts` how each of them
    stood after the last append. `cursor` is the number of the last journal record whose switch is in the log, `begun_s`
    when the log was begun (Unix seconds). At any moment the documents made are those kept and those dropped.
    """

    def __init__(self, path: Path, origin: str = "", sinks: Iterable[str] = ()) -> None:
        self.path = path
        self.origin = origin
        self.sinks = tuple(sinks)
        self.accounts: Mapping[str, Account] = {}
        self.cursor = 0
        self.begun_s = 0.0
        self.used_bytes = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unwritten = 0
        self._closed_for = "not opened"
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._doubted = 0

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Documents of a kind that were made, and dropped for a reason, since the log was begun."""
        lost = {(BOX, MADE): self._unwritten, (BOX, DROPPED_UNWRITTEN): self._unwritten}
        return self._counts + Counter(lost)

    def doubt(self, which: int) -> None:
        """Says, from any thread, that the file with the inode `which` can't be read in full; `open` looks after it."""
        self._doubted = which

    def open(self) -> None:
        """Opens the log unless it is open, making a damaged one anew; if it can't, `append` says why."""
        if self._connection is not None and self._moved():
            log.warning("%s: was taken away; the log is begun anew", self.path)
            self.close()
        doubted, self._doubted = self._doubted, 0
        if doubted and doubted == inode(self.path):
            self.close()
            self._make_anew(LogTrouble("a sink cannot read all of it"))
        if self._connection is not None:
            return
        try:
            rescue.put_in_place(self.path)
            self._connection = self._connect()
        except (*BROKEN, OSError, Foreign) as error:
            self._closed_for = f"cannot be opened ({error})"
            if is_damage(error):
                self._make_anew(error)

    def append(self, documents: Sequence[Captured], cursor: int, keep: Keep, now_s: float) -> None:
        """Puts `documents` and the journal's `cursor` on disk, all or nothing, and drops what is too much.

        Raises LogTrouble. Boxes that can't be written are counted as dropped; switches come again from the journal.
        """
        if self._connection is None:
            self._unwritten += _boxes(documents)
            raise LogTrouble(f"{self.path}: {self._closed_for}")
        try:
            before = self.cursor
            try:
                self._commit(self._connection, documents, cursor, keep, now_s)
            except BROKEN as error:
                self.close()
                if not is_damage(error) or not self._make_anew(error):
                    raise
                # Switches that were lost with the old one come again from the journal.
                cursor = cursor if self.cursor == before else 0
                self._commit(self._connection, documents, cursor, keep, now_s)
        except BROKEN as error:
            self._unwritten += _boxes(documents)
            self.close()
            raise LogTrouble(f"{self.path}: not written ({error})") from error

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            try:
                self._connection.close()
            except sqlite3.Error as error:
                log.warning("%s: not closed in order (%s)", self.path, error)
        self._connection = None

    def _commit(
        self, connection: sqlite3.Connection, documents: Sequence[Captured], cursor: int, keep: Keep, now_s: float
    ) -> None:
        counts = self.counts
        connection.execute("BEGIN IMMEDIATE")
        ledger.register(connection, self.sinks)
        (before,) = connection.execute("SELECT position FROM positions WHERE name = 'number'").fetchone()
        made = 0
        for number, document in enumerate(documents, start=before + 1):
            row = self._row(number, document)
            written = connection.execute("INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            counts[document.kind, MADE] += written.rowcount
            made += written.rowcount
        number = before + len(documents)
        if made:
            for sink in ledger.names(connection):
                ledger.capture(connection, sink, Span(before + 1, number), made)
        counts.update(_drop(connection, keep, now_s))
        connection.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?)", [("number", number), ("journal", cursor)]
        )
        connection.executemany(
            "INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", [(*key, n) for key, n in counts.items()]
        )
        used_bytes, accounts = _used_bytes(connection), ledger.accounts(connection)
        connection.execute("COMMIT")
        self.cursor, self.used_bytes, self.accounts = cursor, used_bytes, accounts
        self._counts, self._unwritten = counts, 0

    def _row(self, number: int, document: Captured) -> tuple[object, ...]:
        # An agent of its own may tell of the same node: each numbers its documents, so the id says whose number it is.
        own = "" if document.host == self.origin or not self.origin else f"{self.origin}-"
        return (
            number,
            document_id(document.host, document.kind, document.key or f"{own}{number}"),
            index_of(document.kind, str(document.fields.get("subsystem", "")), document.time_s),
            document.kind,
            document.host,
            document.time_s,
            msgspec.json.encode(document.fields),
        )

    def _connect(self) -> sqlite3.Connection:
        connection = begin(self.path)
        try:
            positions = dict(connection.execute("SELECT name, position FROM positions").fetchall())
            self.cursor, self.begun_s = positions["journal"], positions["begun"] / 1000
            counts = connection.execute("SELECT kind, what, n FROM counts").fetchall()
            self._counts = Counter({(kind, what): n for kind, what, n in counts})
            self.accounts = ledger.accounts(connection)
            self.used_bytes = _used_bytes(connection)
            self._inode = inode(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _moved(self) -> bool:
        return inode(self.path) != self._inode

    def _make_anew(self, error: Exception) -> bool:
        """Makes a new log of what can be read of the damaged one, and opens it; returns whether it could."""
        try:
            if isinstance(error, Foreign):
                rescue.move_aside(self.path)
                left = "nothing in it is ours"
            else:
                log.error("%s: damaged (%s); looking for what can be read", self.path, error)
                kept, lost = rescue.rescue(self.path)
                left = f"{kept} documents could be read, {lost} are lost"
            self._connection = self._connect()
        except (*BROKEN, OSError, Foreign) as stuck:
            self._closed_for = f"damaged ({error}) and cannot be made anew ({stuck})"
            log.error("%s: %s", self.path, self._closed_for)
            return False
        log.error("%s: damaged (%s); moved to %s.damaged: %s", self.path, error, self.path.name, left)
        return True


def _drop(connection: sqlite3.Connection, keep: Keep, now_s: float) -> Counter[tuple[str, str]]:
    """Deletes what is too old or too much, a bounded number at once, and returns how many of what."""
    dropped: Counter[tuple[str, str]] = Counter()
    old = connection.execute(
        "SELECT number FROM documents WHERE kind = ? AND time < ? ORDER BY time LIMIT ?",
        (BOX, now_s - keep.days * 86400, AT_ONCE),
    )
    dropped[BOX, DROPPED_AGE] += _delete(connection, old)
    for _ in range(ROUNDS):
        if _used_bytes(connection) <= keep.bytes:
            break
        for kind in LEAST_WORTH_FIRST:
            oldest = connection.execute(
                "SELECT number FROM documents WHERE kind = ? ORDER BY time LIMIT ?", (kind, AT_ONCE)
            )
            gone = _delete(connection, oldest)
            dropped[kind, DROPPED_BYTES] += gone
            if gone:
                break
    return dropped


def _boxes(documents: Iterable[Captured]) -> int:
    return sum(1 for document in documents if document.kind == BOX)


def _delete(connection: sqlite3.Connection, rows: Iterable[tuple[int]]) -> int:
    numbers = list(rows)
    connection.executemany("DELETE FROM documents WHERE number = ?", numbers)
    ledger.drop(connection, [number for (number,) in numbers])
    return len(numbers)


def _used_bytes(connection: sqlite3.Connection) -> int:
    values = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    pages, free, size = values
    return int((pages - free) * size)
