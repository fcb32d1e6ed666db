"""The log as a file: its tables, and how it is opened, whoever opens it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contract.errors import Surroundings

VERSION: Final = 1
SCHEMA: Final = f"""
CREATE TABLE documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    index_name TEXT NOT NULL,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    time REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX documents_by_age ON documents (kind, time);
CREATE TABLE positions (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
CREATE TABLE counts (kind TEXT, what TEXT, n INTEGER NOT NULL, PRIMARY KEY (kind, what)) STRICT;
CREATE TABLE sinks (
    name TEXT PRIMARY KEY,
    captured INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE pending (sink TEXT, low INTEGER, high INTEGER NOT NULL, PRIMARY KEY (sink, low)) STRICT;
CREATE TABLE dead (
    sink TEXT,
    number INTEGER,
    id TEXT NOT NULL,
    index_name TEXT NOT NULL,
    reason TEXT NOT NULL,
    time REAL NOT NULL,
    PRIMARY KEY (sink, number)
) STRICT;
PRAGMA user_version = {VERSION};
"""
COLUMNS: Final = "number, id, index_name, kind, host, time, body"  # of documents

# What is counted of each kind of document.
MADE: Final = "made"
DROPPED_AGE: Final = "age"
DROPPED_BYTES: Final = "bytes"
DROPPED_UNWRITTEN: Final = "unwritten"
DROPPED_DAMAGED: Final = "damaged"

TABLES: Final = frozenset({"documents", "positions", "counts", "sinks", "pending", "dead"})

# What a damaged file may raise: the module's own message about it may hold bytes that are no text.
BROKEN: Final = (sqlite3.Error, UnicodeDecodeError)

# SQLITE_ERROR is what damage to the schema looks like: our questions fit ours.
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


class LogTrouble(Surroundings):
    """The log can't be used now; the message says why."""


class Torn(sqlite3.DatabaseError):
    """A document that no log wrote like this."""


class Foreign(Exception):
    """A database that is not a log of this version."""


def is_damage(error: Exception) -> bool:
    """Returns whether `error` says that the file, or some of it, is no log and won't be one again."""
    if isinstance(error, Foreign | Torn | UnicodeDecodeError):
        return True
    # Python's own error for a text that is not UTF-8 has no code.
    code = getattr(error, "sqlite_errorcode", None)
    return str(error).startswith("Could not decode to UTF-8") if code is None else code & 0xFF in _DAMAGED


def inode(path: Path) -> int:
    """Returns what tells a file from another in its place; 0 without a file."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def begin(path: Path) -> sqlite3.Connection:
    """Returns a connection to the log at `path`, which is begun when there is none. Raises sqlite3.Error, Foreign."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            _make(connection)
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def join(path: Path) -> sqlite3.Connection:
    """Returns a second connection to the log at `path`, which must be there. Raises LogTrouble.

    Its commits are not synced: a power cut may take the newest back, all of one transaction or nothing.
    """
    if not path.is_file():
        raise LogTrouble(f"{path}: no such log; has a collector run here?")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=2.0)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            _check(connection)
        except BaseException:
            connection.close()
            raise
    except (*BROKEN, Foreign) as error:
        raise LogTrouble(f"{path}: cannot be used ({error})") from error
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Makes what happens within all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _make(connection: sqlite3.Connection) -> None:
    # Numbers start at the time, so that a log begun anew gives out none that its predecessor gave out.
    first = int(time.time() * 1000)
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    positions = [("number", first), ("journal", 0), ("begun", first)]
    connection.executemany("INSERT INTO positions VALUES (?, ?)", positions)
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise Foreign(f"a database of version {version}, not a log of version {VERSION}")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables >= TABLES:
        raise Foreign("a database of something else")
