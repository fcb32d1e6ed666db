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
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from collector.documents import BOX, SWITCHOVER, Captured, Document, document_id
from contract.errors import Surroundings

log = logging.getLogger("collector")

VERSION: Final = 1
SCHEMA: Final = f"""
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    time REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_by_age ON documents (kind, time);
CREATE TABLE positions (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
CREATE TABLE counts (kind TEXT, what TEXT, n INTEGER NOT NULL, PRIMARY KEY (kind, what)) STRICT;
PRAGMA user_version = {VERSION};
"""

# What goes first when the log is full; by age only the first kind goes, for switches are few and asked about late.
LEAST_WORTH_FIRST: Final = (BOX, SWITCHOVER)

AT_ONCE: Final = 64  # bounds the work of one append; also what a wildly wrong clock can take away at once
ROUNDS: Final = 16

MADE: Final = "made"
DROPPED_AGE: Final = "age"
DROPPED_BYTES: Final = "bytes"
DROPPED_UNWRITTEN: Final = "unwritten"

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class LogTrouble(Surroundings):
    """The log takes no documents now; the message says why. What was to be appended is not in it."""


class _Foreign(Exception):
    """A database that is not a log of this version."""


class Keep(msgspec.Struct, frozen=True):
    """How long box documents are kept, and how many bytes all documents may take."""

    days: float
    bytes: int = 1 << 30


class Log:
    """The log at `path`. One thread uses it, and opens it before every append: after trouble it is closed.

    `cursor` is the number of the last journal record whose switch is in the log. At any moment the documents made
    are those kept and those dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cursor = 0
        self.used_bytes = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unwritten = 0
        self._closed_for = "not opened"
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """Documents of a kind that were made, and dropped for a reason, since the log was begun."""
        lost = {(BOX, MADE): self._unwritten, (BOX, DROPPED_UNWRITTEN): self._unwritten}
        return self._counts + Counter(lost)

    def open(self) -> None:
        """Opens the log unless it is open, moving a damaged one aside; if it can't, `append` says why."""
        if self._connection is not None and self._moved():
            log.warning("%s: was taken away; the log is begun anew", self.path)
            self.close()
        if self._connection is not None:
            return
        try:
            self._connection = self._connect()
        except (sqlite3.Error, OSError, _Foreign) as error:
            self._closed_for = f"cannot be opened ({error})"
            if isinstance(error, _Foreign) or _damaged(error):
                self._move_aside(error)

    def append(self, documents: Sequence[Captured], cursor: int, keep: Keep, now_s: float) -> None:
        """Puts `documents` and the journal's `cursor` on disk, all or nothing, and drops what is too much.

        Raises LogTrouble. Boxes that can't be written are counted as dropped; switches come again from the journal.
        """
        if self._connection is None:
            self._unwritten += _boxes(documents)
            raise LogTrouble(f"{self.path}: {self._closed_for}")
        try:
            self._commit(self._connection, documents, cursor, keep, now_s)
        except sqlite3.Error as error:
            self._unwritten += _boxes(documents)
            self.close()
            if _damaged(error):
                self._move_aside(error)
            raise LogTrouble(f"{self.path}: not written ({error})") from error

    def newest(self, kind: str) -> Document | None:
        """Returns the newest document of `kind`, None without one or without a log."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? ORDER BY number DESC LIMIT 1", (kind,)
            ).fetchone()
        except sqlite3.Error:
            return None
        return msgspec.json.decode(row[0], type=Document) if row else None

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
        (number,) = connection.execute("SELECT position FROM positions WHERE name = 'number'").fetchone()
        for document in documents:
            number += 1
            key = document.key or str(number)
            row = (
                number,
                document_id(document.host, document.kind, key),
                document.kind,
                document.host,
                document.time_s,
                msgspec.json.encode(document.fields),
            )
            written = connection.execute("INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?, ?, ?)", row)
            counts[document.kind, MADE] += written.rowcount
        counts.update(_drop(connection, keep, now_s))
        connection.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?)", [("number", number), ("journal", cursor)]
        )
        connection.executemany(
            "INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", [(*key, n) for key, n in counts.items()]
        )
        used_bytes = _used_bytes(connection)
        connection.execute("COMMIT")
        self.cursor, self.used_bytes, self._counts, self._unwritten = cursor, used_bytes, counts, 0

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=2.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 4194304")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                _begin(connection)
            _check(connection)
            (self.cursor,) = connection.execute("SELECT position FROM positions WHERE name = 'journal'").fetchone()
            counts = connection.execute("SELECT kind, what, n FROM counts").fetchall()
            self._counts = Counter({(kind, what): n for kind, what, n in counts})
            self.used_bytes = _used_bytes(connection)
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def _moved(self) -> bool:
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    def _move_aside(self, error: Exception) -> None:
        """Renames the file to `<name>.damaged`, in the place of an earlier one: damage must not fill the disk."""
        aside = self.path.with_name(f"{self.path.name}.damaged")
        log.error("%s: damaged (%s); moved to %s, the log is begun anew", self.path, error, aside.name)
        try:
            for suffix in ("", "-wal"):
                part = self.path.with_name(self.path.name + suffix)
                if part.exists():
                    part.replace(aside.with_name(aside.name + suffix))
            self.path.with_name(f"{self.path.name}-shm").unlink(missing_ok=True)
        except OSError as stuck:
            log.error("%s: cannot be moved aside (%s); nothing is kept until it is", self.path, stuck.strerror)
            return
        self.cursor = 0
        try:
            self._connection = self._connect()
        except (sqlite3.Error, OSError, _Foreign) as again:
            self._closed_for = f"cannot be begun anew ({again})"


def _begin(connection: sqlite3.Connection) -> None:
    # Numbers start at the time, so that a log begun anew gives out none that its predecessor gave out.
    first = int(time.time() * 1000)
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.executemany("INSERT INTO positions VALUES (?, ?)", [("number", first), ("journal", 0)])
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    """Raises _Foreign unless the database is a log of this version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise _Foreign(f"a database of version {version}, not a log of version {VERSION}")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"documents", "positions", "counts"} <= tables:
        raise _Foreign("a database of something else")


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


def _damaged(error: Exception) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def _delete(connection: sqlite3.Connection, rows: Iterable[tuple[int]]) -> int:
    numbers = list(rows)
    connection.executemany("DELETE FROM documents WHERE number = ?", numbers)
    return len(numbers)


def _used_bytes(connection: sqlite3.Connection) -> int:
    values = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    pages, free, size = values
    return int((pages - free) * size)
