"""Reads logs without disturbing the collectors that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from collector.documents import BOX, Document
from contract.errors import Surroundings, Unreadable
from contract.undecodable import UNDECODABLE

# More than an hour of an appliance of twenty.
RECENT_BOXES: Final = 20_000


def newest_boxes(path: Path) -> dict[str, Document]:
    """Returns the newest box document of each host in the log at `path`. Raises Surroundings or Unreadable.

    Hosts that are not among the newest `RECENT_BOXES` documents have not been seen for long.
    """
    with opened(path) as connection:
        newest = connection.execute(
            "SELECT host, max(number) FROM (SELECT number, kind, host FROM documents ORDER BY number DESC LIMIT ?)"
            " WHERE kind = ? GROUP BY host",
            (RECENT_BOXES, BOX),
        ).fetchall()
        bodies = (connection.execute("SELECT body FROM documents WHERE number = ?", (n,)) for _, n in newest)
        found = (body.fetchone() for body in bodies)  # None for one that was dropped a moment ago
        return {
            host: msgspec.json.decode(row[0], type=Document)
            for (host, _), row in zip(newest, found, strict=True)
            if row is not None
        }


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Gives the log at `path` for reading. Raises Surroundings, and Unreadable when it is no log."""
    if not path.is_file():
        raise Surroundings(f"{path}: no such log; has a collector run here? Name another with --log or --config")
    try:
        with closing(sqlite3.connect(_read_only(path), uri=True, timeout=5.0)) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise Unreadable(f"{path}: cannot be read as a log ({error})") from error
    except UNDECODABLE as error:
        raise Unreadable(f"{path}: holds a document of another form ({error})") from error


def _read_only(path: Path) -> str:
    # Without a -wal file nobody writes: then nothing but the file itself is wanted, not even a writable folder.
    written = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?{'mode=ro' if written else 'immutable=1'}"
