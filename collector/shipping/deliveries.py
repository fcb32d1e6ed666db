"""What a sink has still to get, as its shipper reads it from the log and writes back what became of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from collector.log import ledger
from collector.log.pending import Pending, Span, with_numbers, without_span
from collector.log.schema import BROKEN, COLUMNS, LogTrouble, Torn, inode, is_damage, join, transaction
from collector.shipping.bulk import Outcome, Row


class Limits(NamedTuple):
    """Of a batch: documents, bytes (one may have more), and how many may be `older` than `since_s` (Unix seconds)."""

    documents: int
    bytes: int
    since_s: float = 0.0
    older: int = 0


class Mark(NamedTuple):
    """When the log was read: which file it was, and how many documents it had dropped before the sink had them."""

    inode: int = 0
    dropped: int = 0


class Batch(NamedTuple):
    """Documents, newest first, and the spans of numbers in which there are no others to deliver.

    With `more` there are others that were too many.
    """

    rows: tuple[Row, ...] = ()
    spans: Pending = ()
    more: bool = False
    mark: Mark = Mark()


class Deliveries:
    """The backlog of `sink` in the log at `path`. One thread uses it; the log may go away and come back meanwhile.

    `doubt` is told which file it is that can't be read in full: the one who writes it has to make it anew.
    """

    def __init__(self, path: Path, sink: str, doubt: Callable[[int], None]) -> None:
        self._path = path
        self._sink = sink
        self._doubt = doubt
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def newest(self, limits: Limits, beside: Pending = ()) -> Batch:
        """Returns the newest of the backlog, within `limits`, but for the spans `beside`. Raises LogTrouble."""
        with self._opened() as connection:
            mark = self._mark(connection)
            left = ledger.pending(connection, self._sink)
            for span in beside:
                left = without_span(left, span)
            return _newest(connection, left, limits)._replace(mark=mark)

    def settle(self, batch: Batch, outcome: Outcome) -> None:
        """Writes down what became of `batch`; what is to be sent again stays in the backlog. Raises LogTrouble."""
        with self._opened() as connection, transaction(connection):
            there = {row.number for row in batch.rows}
            if self._mark(connection) != batch.mark:
                # What the log dropped while it was on its way is counted as dropped already.
                there = ledger.existing(connection, there)
            left = ledger.pending(connection, self._sink)
            for span in batch.spans:
                left = without_span(left, span)
            ledger.put_pending(connection, self._sink, with_numbers(left, there.intersection(outcome.again)))
            dead = [(number, reason) for number, reason in outcome.dead if number in there]
            ledger.bury(connection, self._sink, dead, time.time())
            connection.execute(
                "UPDATE sinks SET delivered = delivered + ?, dead = dead + ? WHERE name = ?",
                (len(there.intersection(outcome.delivered)), len(dead), self._sink),
            )

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _mark(self, connection: sqlite3.Connection) -> Mark:
        row = connection.execute("SELECT dropped FROM sinks WHERE name = ?", (self._sink,)).fetchone()
        return Mark(self._inode, row[0] if row else 0)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self._connection is not None and inode(self._path) != self._inode:
            self.close()
        if self._connection is None:
            self._inode = inode(self._path)
            self._connection = join(self._path)
        try:
            yield self._connection
        except BROKEN as error:
            self.close()
            if is_damage(error):
                self._doubt(self._inode)
            raise LogTrouble(f"{self._path}: cannot be used ({error})") from error


def _newest(connection: sqlite3.Connection, pending: Pending, limits: Limits) -> Batch:
    rows: list[Row] = []
    spans: list[Span] = []
    size = older = 0
    for low, high in reversed(pending):
        found = connection.execute(
            f"SELECT {COLUMNS} FROM documents WHERE number BETWEEN ? AND ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - constants
            (low, high, limits.documents + 1 - len(rows)),
        )
        for row in map(Row._make, found):
            if b"\n" in row.body:  # it would be two lines of the request, and take the others with it
                raise Torn(f"document {row.number} is torn")
            size += len(row.body)
            older += row.time_s < limits.since_s
            full = len(rows) == limits.documents or (bool(rows) and size > limits.bytes)
            if full or older > limits.older:
                if row.number < high:
                    spans.append(Span(row.number + 1, high))
                return Batch(tuple(rows), tuple(spans), more=full)
            rows.append(row)
        spans.append(Span(low, high))
    return Batch(tuple(rows), tuple(spans))
