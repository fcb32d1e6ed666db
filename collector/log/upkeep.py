"""What people ask the log and do to it by hand, while a collector writes it or not."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path

import msgspec

from collector.documents import KINDS
from collector.log import ledger
from collector.log.ledger import Account
from collector.log.pending import Pending, Span, holds, with_numbers, with_span
from collector.log.reading import opened
from collector.log.schema import BROKEN, LogTrouble, join, transaction


class Kept(msgspec.Struct, frozen=True):
    """The documents of a kind in the log, and the times of the oldest and the newest in Unix seconds."""

    n: int
    oldest_s: float | None = None
    newest_s: float | None = None


class SinkStanding(msgspec.Struct, frozen=True):
    """The account of a sink, and its backlog as counted document by document."""

    account: Account
    counted: int

    @property
    def adds_up(self) -> bool:
        """Whether captured = delivered + dead + dropped + backlog."""
        return self.account.backlog == self.counted


class Standing(msgspec.Struct, frozen=True):
    """What the log holds by kind, and how each sink stands."""

    kept: dict[str, Kept]
    sinks: dict[str, SinkStanding]


class DeadLetter(msgspec.Struct, frozen=True):
    """A document that a sink refused for good, when (Unix seconds) and why; `kept` while the log still has it."""

    number: int
    id: str
    index_name: str
    reason: str
    time_s: float
    kept: bool


def standing(path: Path) -> Standing:
    """Returns how the log at `path` stands, at one moment. Raises Surroundings or Unreadable."""
    with opened(path) as connection:
        connection.execute("BEGIN")
        question = "SELECT count(*), min(time), max(time) FROM documents WHERE kind = ?"
        kept = {kind: Kept(*connection.execute(question, (kind,)).fetchone()) for kind in KINDS}
        sinks = {
            name: SinkStanding(account, ledger.counted(connection, name))
            for name, account in ledger.accounts(connection).items()
        }
        return Standing(kept, sinks)


def sink_named(path: Path, name: str | None) -> str:
    """Returns `name`, or without one the only sink of the log. Raises Surroundings or Unreadable."""
    if name is not None:
        return name
    with opened(path) as connection:
        known = ledger.names(connection)
    if len(known) != 1:
        raise LogTrouble(f"{path}: has {', '.join(known) or 'no sink'}; name one with --sink")
    return known[0]


def replay(path: Path, sink: str, since_s: float, until_s: float = math.inf) -> int:
    """Captures what was made in a time range (Unix seconds) for `sink` once more, and returns how many documents.

    Those that it has still to get are not captured twice. Raises LogTrouble.
    """
    with _changing(path, sink) as connection:
        rows = connection.execute(
            "SELECT number, time >= ? AND time < ? FROM documents ORDER BY number", (since_s, until_s)
        )
        before = after = ledger.pending(connection, sink)
        n = 0
        for span, count in _spans(rows, before):
            after = with_span(after, span)
            n += count
        ledger.put_pending(connection, sink, after)
        connection.execute("UPDATE sinks SET captured = captured + ? WHERE name = ?", (n, sink))
        return n


def dead_letters(path: Path, sink: str) -> list[DeadLetter]:
    """Returns the dead letters of `sink`, oldest first. Raises Surroundings or Unreadable."""
    with opened(path) as connection:
        _must_know(connection, path, sink)
        rows = connection.execute(
            "SELECT number, id, index_name, reason, time, EXISTS (SELECT 1 FROM documents WHERE number = dead.number)"
            " FROM dead WHERE sink = ? ORDER BY number",
            (sink,),
        )
        return [
            DeadLetter(number, identity, index_name, reason, time_s, bool(kept))
            for number, identity, index_name, reason, time_s, kept in rows
        ]


def retry(path: Path, sink: str) -> int:
    """Captures the dead letters of `sink` that the log still has once more, and returns how many. Raises LogTrouble."""
    with _changing(path, sink) as connection:
        listed = [number for (number,) in connection.execute("SELECT number FROM dead WHERE sink = ?", (sink,))]
        left = ledger.pending(connection, sink)
        again = {number for number in ledger.existing(connection, listed) if not holds(left, number)}
        ledger.put_pending(connection, sink, with_numbers(left, again))
        connection.execute("UPDATE sinks SET captured = captured + ? WHERE name = ?", (len(again), sink))
        connection.executemany("DELETE FROM dead WHERE sink = ? AND number = ?", [(sink, n) for n in again])
        return len(again)


def forget(path: Path, sink: str) -> int:
    """Takes all dead letters of `sink` off its list and returns how many. Raises LogTrouble."""
    with _changing(path, sink) as connection:
        return connection.execute("DELETE FROM dead WHERE sink = ?", (sink,)).rowcount


@contextmanager
def _changing(path: Path, sink: str) -> Iterator[sqlite3.Connection]:
    """Gives the log within one transaction, if `sink` has an account in it."""
    with closing(join(path)) as connection:
        try:
            with transaction(connection):
                _must_know(connection, path, sink)
                yield connection
        except BROKEN as error:
            raise LogTrouble(f"{path}: cannot be used ({error})") from error


def _must_know(connection: sqlite3.Connection, path: Path, sink: str) -> None:
    known = ledger.names(connection)
    if sink not in known:
        raise LogTrouble(f"{path}: has no sink {sink}; it has {', '.join(known) or 'none'}. See [[sink]] name")


def _spans(rows: Iterable[tuple[int, int]], pending: Pending) -> Iterator[tuple[Span, int]]:
    """Yields spans of wanted documents that have no other between them, and how many of each are not pending yet."""
    for wanted, group in groupby(rows, key=lambda row: bool(row[1])):
        if wanted:
            numbers = [number for number, _ in group]
            yield Span(numbers[0], numbers[-1]), sum(not holds(pending, number) for number in numbers)
