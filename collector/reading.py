"""Reads logs without disturbing the collectors that write them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from collector.documents import SWITCHOVER
from contract.errors import Surroundings, Unreadable
from contract.modes import Mode, Wanted


class Switchover(msgspec.Struct, frozen=True, kw_only=True):
    """One switchover document, as collector.documents makes it. Times are UTC, durations seconds."""

    host: str
    appliance: str = ""
    switch_id: str
    who: str = ""
    reason: str = ""
    from_mode: Mode
    to: Wanted
    outcome: str
    why: str = ""
    started: str
    ended: str
    duration_s: float
    phases: dict[str, float] = {}
    was_stuck: bool = False


def switchovers(path: Path) -> Iterator[tuple[str, Switchover]]:
    """Yields id and content of every switchover in the log at `path`. Raises Surroundings or Unreadable."""
    if not path.is_file():
        raise Surroundings(f"{path}: no such log; has a collector run here? Name another with --log or --config")
    try:
        with closing(sqlite3.connect(_read_only(path), uri=True, timeout=5.0)) as connection:
            rows = connection.execute("SELECT id, body FROM documents WHERE kind = ? ORDER BY time", (SWITCHOVER,))
            for identity, body in rows:
                yield identity, msgspec.json.decode(body, type=Switchover)
    except sqlite3.DatabaseError as error:
        raise Unreadable(f"{path}: cannot be read as a log ({error})") from error
    except msgspec.MsgspecError as error:
        raise Unreadable(f"{path}: holds a switchover of another form ({error})") from error


def _read_only(path: Path) -> str:
    # Without a -wal file nobody writes: then nothing but the file itself is wanted, not even a writable folder.
    written = path.with_name(f"{path.name}-wal").exists()
    return f"{path.absolute().as_uri()}?{'mode=ro' if written else 'immutable=1'}"
