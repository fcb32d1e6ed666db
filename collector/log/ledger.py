"""Who still has to get what: the log's accounts of its sinks, inside the transactions of whoever changes them.

At any moment, for each sink, the documents captured for it are those delivered, dead, dropped and in its backlog.
What is asked for again counts as captured again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from collector.log.pending import Pending, Span, holds, with_span

DEAD_AT_MOST: Final = 10_000


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One sink. `dead` were ever given up, `dead_letters` are those still listed.

    `oldest_s` is the time of the oldest document of the backlog in Unix seconds, None without one.
    """

    captured: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: int = 0
    dead_letters: int = 0
    oldest_s: float | None = None

    @property
    def backlog(self) -> int:
        """How many documents the sink has still to get."""
        return self.captured - self.delivered - self.dead - self.dropped


def register(connection: sqlite3.Connection, sinks: Iterable[str]) -> None:
    """Opens an account for each of `sinks` that has none: everything in the log is captured for it."""
    for sink in sinks:
        if connection.execute("INSERT OR IGNORE INTO sinks (name, captured) VALUES (?, 0)", (sink,)).rowcount:
            low, high, n = connection.execute("SELECT min(number), max(number), count(*) FROM documents").fetchone()
            if n:
                capture(connection, sink, Span(low, high), n)


def names(connection: sqlite3.Connection) -> list[str]:
    """Returns the sinks that have an account, whether they are configured or not."""
    return [name for (name,) in connection.execute("SELECT name FROM sinks ORDER BY name")]


def capture(connection: sqlite3.Connection, sink: str, span: Span, n: int) -> None:
    """Puts `n` documents, the only ones within `span`, on the list of `sink`."""
    put_pending(connection, sink, with_span(pending(connection, sink), span))
    connection.execute("UPDATE sinks SET captured = captured + ? WHERE name = ?", (n, sink))


def drop(connection: sqlite3.Connection, numbers: Collection[int]) -> None:
    """Counts the documents of `numbers`, which have gone from the log, for each sink that has not got them."""
    if not numbers:
        return
    for sink in names(connection):
        left = pending(connection, sink)
        n = sum(holds(left, number) for number in numbers)
        connection.execute("UPDATE sinks SET dropped = dropped + ? WHERE name = ?", (n, sink))


def pending(connection: sqlite3.Connection, sink: str) -> Pending:
    """Returns the numbers among which the backlog of `sink` is found; there may be no document of some of them."""
    rows = connection.execute("SELECT low, high FROM pending WHERE sink = ? ORDER BY low", (sink,))
    return tuple(Span(low, high) for low, high in rows)


def put_pending(connection: sqlite3.Connection, sink: str, after: Pending) -> None:
    """Replaces the numbers of the backlog of `sink`."""
    before = set(pending(connection, sink))
    connection.executemany("DELETE FROM pending WHERE sink = ? AND low = ?", [(sink, s.low) for s in before - {*after}])
    connection.executemany("INSERT INTO pending VALUES (?, ?, ?)", [(sink, *span) for span in {*after} - before])


def existing(connection: sqlite3.Connection, numbers: Collection[int]) -> set[int]:
    """Returns those of `numbers` whose documents are in the log."""
    found = connection.execute(
        "SELECT number FROM documents WHERE number IN (SELECT value FROM json_each(?))", (json.dumps(list(numbers)),)
    )
    return {number for (number,) in found}


def bury(connection: sqlite3.Connection, sink: str, dead: Sequence[tuple[int, str]], now_s: float) -> None:
    """Lists the documents of these numbers and reasons as dead letters of `sink`; the oldest beyond a bound go."""
    connection.executemany(
        "INSERT OR REPLACE INTO dead SELECT ?, number, id, index_name, ?, ? FROM documents WHERE number = ?",
        [(sink, reason, now_s, number) for number, reason in dead],
    )
    connection.execute(
        "DELETE FROM dead WHERE sink = ? AND number <= (SELECT number FROM dead WHERE sink = ?"
        " ORDER BY number DESC LIMIT 1 OFFSET ?)",
        (sink, sink, DEAD_AT_MOST),
    )


def accounts(connection: sqlite3.Connection) -> dict[str, Account]:
    """Returns the account of each sink."""
    rows = connection.execute(
        "SELECT name, captured, delivered, sinks.dead, dropped, (SELECT count(*) FROM dead WHERE sink = name)"
        " FROM sinks ORDER BY name"
    ).fetchall()
    return {
        name: Account(
            captured=captured,
            delivered=delivered,
            dead=dead,
            dropped=dropped,
            dead_letters=letters,
            oldest_s=_oldest_s(connection, name),
        )
        for name, captured, delivered, dead, dropped, letters in rows
    }


def counted(connection: sqlite3.Connection, sink: str) -> int:
    """Returns how many documents the backlog of `sink` has, by looking at each; the account must say the same."""
    return sum(
        connection.execute("SELECT count(*) FROM documents WHERE number BETWEEN ? AND ?", span).fetchone()[0]
        for span in pending(connection, sink)
    )


def _oldest_s(connection: sqlite3.Connection, sink: str) -> float | None:
    for span in pending(connection, sink):
        row = connection.execute(
            "SELECT time FROM documents WHERE number BETWEEN ? AND ? ORDER BY number LIMIT 1", span
        ).fetchone()
        if row:
            return float(row[0])
    return None
