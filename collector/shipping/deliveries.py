"""What a sink has still to get, as its shipper reads it from the log and writes back what became of it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from collector.log import ledger
from collector.log.pending import Pending, Span, with_numbers, without_span
from collector.log.schema import LogTrouble, inode, is_damage, join, transaction
from collector.shipping.bulk import Outcome, Row

log = logging.getLogger("collector")

COLUMNS = "number, id, index_name, kind, host, time, body"


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

    With `more` there are others that were too many. `damaged` are numbers within `spans` that cannot be read any more.
    """

    rows: tuple[Row, ...] = ()
    spans: Pending = ()
    more: bool = False
    mark: Mark = Mark()
    damaged: tuple[int, ...] = ()


class Deliveries:
    """The backlog of `sink` in the log at `path`. One thread uses it; the log may go away and come back meanwhile."""

    def __init__(self, path: Path, sink: str) -> None:
        self._path = path
        self._sink = sink
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def newest(self, limits: Limits, beside: Pending = ()) -> Batch:
        """Returns the newest of the backlog, within `limits`, but for the spans `beside`. Raises LogTrouble.

        A damaged page takes away the documents in it and no others: those are looked for one by one.
        """
        with self._opened() as connection:
            mark = self._mark(connection)
            left = ledger.pending(connection, self._sink)
            for span in beside:
                left = without_span(left, span)
            try:
                batch = _newest(connection, left, limits, _all_at_once)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                batch = _newest(connection, left, limits, _one_by_one)
            return batch._replace(mark=mark)

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
            if batch.damaged and batch.mark.inode == self._inode:
                log.error("%s: damaged; %d documents cannot be read any more", self._path, len(batch.damaged))
                # Some of the numbers may have had no document.
                connection.execute(
                    "UPDATE sinks SET dropped = dropped + min(?, captured - delivered - dead - dropped) WHERE name = ?",
                    (len(batch.damaged), self._sink),
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
        except sqlite3.Error as error:
            self.close()
            raise LogTrouble(f"{self._path}: cannot be used ({error})") from error


Reader = Callable[[sqlite3.Connection, Span, int], Iterator[Row | int]]  # yields a number for what can't be read


def _newest(connection: sqlite3.Connection, pending: Pending, limits: Limits, read: Reader) -> Batch:
    rows: list[Row] = []
    spans: list[Span] = []
    damaged: list[int] = []
    size = older = 0
    for low, high in reversed(pending):
        for row in read(connection, Span(low, high), limits.documents + 1 - len(rows)):
            if isinstance(row, int):
                damaged.append(row)
                continue
            size += len(row.body)
            older += row.time_s < limits.since_s
            full = len(rows) == limits.documents or (bool(rows) and size > limits.bytes)
            if full or older > limits.older:
                if row.number < high:
                    spans.append(Span(row.number + 1, high))
                return Batch(tuple(rows), tuple(spans), more=full, damaged=tuple(damaged))
            rows.append(row)
        spans.append(Span(low, high))
    return Batch(tuple(rows), tuple(spans), damaged=tuple(damaged))


def _all_at_once(connection: sqlite3.Connection, span: Span, most: int) -> Iterator[Row]:
    found = connection.execute(
        f"SELECT {COLUMNS} FROM documents WHERE number BETWEEN ? AND ? ORDER BY number DESC LIMIT ?",  # noqa: S608 - constants
        (*span, most),
    )
    return map(Row._make, found)


def _one_by_one(connection: sqlite3.Connection, span: Span, _most: int) -> Iterator[Row | int]:
    for number in range(span.high, span.low - 1, -1):
        try:
            found = connection.execute(
                f"SELECT {COLUMNS} FROM documents WHERE number = ?",  # noqa: S608 - constants
                (number,),
            ).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            yield number
        else:
            if found is not None:
                yield Row._make(found)
