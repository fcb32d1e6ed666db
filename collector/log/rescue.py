"""A damaged log: what can be read of it goes into a new one, and the rest is counted as dropped.

The new log is made beside the damaged one and takes its place when it is whole and on disk. Whatever moment the
collector is killed at, the next look finds the damaged log as it was, or a new one that has only to be put in place.
What is doubtful stays in the backlog of every sink: ids never change, so a document that is sent twice is there once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from collector.documents import KINDS, SWITCHOVER, Document, document_id
from collector.index.names import index_of
from collector.log import ledger
from collector.log.pending import Span
from collector.log.schema import BROKEN, COLUMNS, DROPPED_DAMAGED, MADE, begin, is_damage
from contract.durable import sync_folder
from contract.undecodable import UNDECODABLE

BEYOND: Final = 1 << 62

Values = tuple[Any, ...]


class Rescued(NamedTuple):
    """How many documents of a damaged log could be read, and how many were lost."""

    kept: int
    lost: int


def rescue(path: Path) -> Rescued:
    """Puts a new log in the place of the damaged one at `path`, which stays beside it as `.damaged`.

    Raises sqlite3.Error or OSError when the new one can't be written; then all is as before.
    """
    part = _beside(path, ".part")
    _remove(part)
    try:
        with closing(begin(part)) as new, closing(_open(path)) as old:
            new.execute("BEGIN IMMEDIATE")
            rescued = _carry_over(old, new)
            new.execute("COMMIT")
    except BaseException:
        _remove(part)
        raise
    part.replace(_beside(path, ".rescued"))
    put_in_place(path)
    return rescued


def put_in_place(path: Path) -> None:
    """Puts a new log that is whole in the place of the damaged one at `path`, if there is one. Raises OSError."""
    new = _beside(path, ".rescued")
    if new.exists():
        move_aside(path)
        new.replace(path)
        sync_folder(path.parent)


def move_aside(path: Path) -> None:
    """Renames the log at `path` to `.damaged`, in the place of an earlier one: damage must not fill the disk.

    Raises OSError.
    """
    aside = _beside(path, ".damaged")
    for suffix in ("", "-wal"):
        part = _beside(path, suffix)
        if part.exists():
            part.replace(_beside(aside, suffix))
    _beside(path, "-shm").unlink(missing_ok=True)


def _carry_over(old: sqlite3.Connection, new: sqlite3.Connection) -> Rescued:
    old.text_factory = lambda text: text.decode(errors="replace")  # a flipped byte may have made a text that is none
    old.execute("BEGIN")  # shippers go on writing down what they deliver
    kept = _documents(old, new)
    counts = Counter({(kind, what): n for kind, what, n in _table(old, "SELECT kind, what, n FROM counts") or []})
    lost: Counter[str] = Counter()
    for kind in KINDS:
        known = sum(n if what == MADE else -n for (of, what), n in counts.items() if of == kind)
        lost[kind] = max(0, known - kept[kind])
        counts[kind, MADE] += max(0, kept[kind] - known)
        counts[kind, DROPPED_DAMAGED] += lost[kind]
    _put(new, "counts", [(*key, n) for key, n in counts.items()])
    positions: dict[str, int] = dict(_table(old, "SELECT name, position FROM positions") or [])
    (highest,) = new.execute("SELECT coalesce(max(number), 0) FROM documents").fetchone()
    new.execute(
        "UPDATE positions SET position = max(position, ?) WHERE name = 'number'",
        (max(highest, positions.get("number", 0)),),
    )
    if "journal" in positions and counts and not lost[SWITCHOVER]:
        # Otherwise the journal is read from its beginning: it has them all.
        new.execute("UPDATE positions SET position = ? WHERE name = 'journal'", (positions["journal"],))
    _accounts(old, new)
    return Rescued(kept.total(), lost.total())


def _accounts(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Opens the accounts of the sinks anew; what can't be read of the backlogs is taken for the whole log."""
    sinks = _table(old, "SELECT name, captured, delivered, dead, dropped FROM sinks") or []
    pending = _table(old, "SELECT sink, low, high FROM pending")
    dead = _table(old, "SELECT sink, number, id, index_name, reason, time FROM dead") or []
    _put(new, "sinks", sinks)
    _put(new, "pending", pending or [])
    _put(new, "dead", dead)
    (low, high) = new.execute("SELECT min(number), max(number) FROM documents").fetchone()
    for name, captured, delivered, refused, dropped in sinks:
        if pending is None and low is not None:
            ledger.put_pending(new, name, (Span(low, high),))
        missing = captured - delivered - refused - dropped - ledger.counted(new, name)
        new.execute(
            "UPDATE sinks SET dropped = dropped + ?, captured = captured + ? WHERE name = ?",
            (max(0, missing), max(0, -missing), name),
        )


def _documents(old: sqlite3.Connection, new: sqlite3.Connection) -> Counter[str]:
    """Copies the documents that can be read; returns how many of each kind."""
    kept: Counter[str] = Counter()
    for row in _readable(old):
        if _is_sound(row):
            kept[row[3]] += _put(new, "documents", [row])
    return kept


def _put(new: sqlite3.Connection, table: str, rows: Iterable[Values]) -> int:
    """Writes rows but for those that the table does not take, and returns how many it took."""
    taken = 0
    for row in rows:
        with suppress(sqlite3.IntegrityError):  # damage may have made two of one, or a number of a text
            values = ", ".join("?" * len(row))
            taken += new.execute(f"INSERT INTO {table} VALUES ({values})", row).rowcount  # noqa: S608 - constants
    return taken


def _readable(old: sqlite3.Connection) -> Iterator[Values]:
    """Yields the documents that can be read, newest first."""
    high: int | None = BEYOND
    while high is not None:
        try:
            for row in _below(old, high):
                if row[0] <= high:  # in a damaged tree they need not come in order
                    yield row
                    high = row[0] - 1
        except BROKEN as error:
            if not is_damage(error):
                raise
            high = _past_damage(old, high)
        else:
            return


def _past_damage(old: sqlite3.Connection, high: int) -> int | None:
    """Returns the highest number below `high` from which downwards something can be read again; None without one."""
    bad, step = high, 1
    while not _can_read(old, good := max(0, high - step)):
        if good == 0:
            return None
        bad, step = good, step * 2
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if _can_read(old, middle) else (good, middle)
    return good


def _can_read(old: sqlite3.Connection, number: int) -> bool:
    try:
        next(_below(old, number), None)
    except BROKEN as error:
        if not is_damage(error):
            raise
        return False
    return True


def _below(old: sqlite3.Connection, number: int) -> Iterator[Values]:
    return old.execute(
        f"SELECT {COLUMNS} FROM documents WHERE number <= ? ORDER BY number DESC",  # noqa: S608 - constants
        (number,),
    )


def _is_sound(row: Values) -> bool:
    """Returns whether a row says what the log once wrote: a page may be damaged and still read."""
    _, identity, index_name, kind, host, time_s, body = row
    try:
        fields = msgspec.json.decode(body, type=Document)
        return (
            kind in KINDS
            and b"\n" not in body
            and identity.startswith(document_id(host, kind, ""))
            and index_name == index_of(kind, str(fields.get("subsystem", "")), time_s)
        )
    except (*UNDECODABLE, AttributeError, TypeError, ValueError, OverflowError):
        return False


def _table(old: sqlite3.Connection, question: str) -> list[Values] | None:
    """Returns all rows; None when not all of them can be read."""
    try:
        return old.execute(question).fetchall()
    except BROKEN as error:
        if not is_damage(error):
            raise
        return None


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=2.0)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            _beside(path, suffix).unlink()
