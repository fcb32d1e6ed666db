"""Operations in one SQLite file, so that one may look away, come back, and lose nothing with the tool's process.

A node's state is on disk before the request that follows from it is sent.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from contract.errors import HltmodeError, Surroundings
from fleet.operation import Operation
from fleet.standing import NodeState

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS operations (id TEXT PRIMARY KEY, created_s REAL, over INTEGER, body BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nodes (operation TEXT, host TEXT, body BLOB, PRIMARY KEY (operation, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (operation TEXT, host TEXT, seq INT, PRIMARY KEY (operation, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runners (operation TEXT PRIMARY KEY, pid INTEGER, alive_s REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (host TEXT PRIMARY KEY, who TEXT, reason TEXT, since_s REAL) WITHOUT ROWID;
"""
ALIVE_S: Final = 10.0


class NoSuchOperation(HltmodeError):
    """There is no operation of that name."""

    exit_code = 2


class Taken(HltmodeError):
    """Another one has what is wanted: a running tool the operation, or an operation the nodes."""

    exit_code = 4


class Hold(msgspec.Struct, frozen=True):
    """Why nobody may switch a node."""

    host: str
    who: str
    reason: str
    since_s: float


class Store:
    """The file at `path`; raises Surroundings when it can't be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise Surroundings(f"{path}: cannot be used ({error}); name another with --store") from error

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def begin(self, operation: Operation, nodes: Iterable[NodeState], cursors: dict[str, int]) -> None:
        """Puts a new operation there. Raises Taken when another one that is not over has some of its nodes."""
        with self.transaction():
            for other in self.operations(over=False):
                if both := set(other.order) & set(operation.order):
                    some = ", ".join(sorted(both)[:3])
                    raise Taken(
                        f"{other.id} of {other.who or 'somebody'} has {len(both)} of these nodes ({some}); "
                        f"`hltmode fleet watch {other.id}` shows it, `cancel` ends it"
                    )
            self._put_operation(operation)
            self._put_nodes(operation.id, nodes)
            self._put_cursors(operation.id, cursors)

    def save(self, operation: Operation, nodes: Iterable[NodeState], cursors: dict[str, int] | None = None) -> None:
        """Puts what has changed on disk."""
        with self.transaction():
            if not operation.called_off and self.operation(operation.id).called_off:
                operation = msgspec.structs.replace(operation, called_off=True)  # by another process, a moment ago
            self._put_operation(operation)
            self._put_nodes(operation.id, nodes)
            self._put_cursors(operation.id, cursors or {})

    def operation(self, name: str) -> Operation:
        """Returns the operation of that id; `last` is the newest. Raises NoSuchOperation."""
        if name == "last":
            row = self._connection.execute("SELECT body FROM operations ORDER BY created_s DESC LIMIT 1").fetchone()
        else:
            row = self._connection.execute("SELECT body FROM operations WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise NoSuchOperation(f"{name}: no such operation in {self.path}; `hltmode fleet history` lists them")
        return msgspec.json.decode(row[0], type=Operation)

    def operations(self, *, over: bool | None = None) -> list[Operation]:
        """Returns the operations, oldest first."""
        where = "" if over is None else f" WHERE over = {int(over)}"
        rows = self._connection.execute(f"SELECT body FROM operations{where} ORDER BY created_s")  # noqa: S608 - a number
        return [msgspec.json.decode(body, type=Operation) for (body,) in rows]

    def nodes(self, operation: Operation) -> dict[str, NodeState]:
        """Returns how each node of an operation stands, in the operation's order."""
        rows = self._connection.execute("SELECT host, body FROM nodes WHERE operation = ?", (operation.id,))
        found = {host: msgspec.json.decode(body, type=NodeState) for host, body in rows}
        return {host: found[host] for host in operation.order}

    def cursors(self, operation: Operation) -> dict[str, int]:
        """Returns up to which journal record each node's journal is read."""
        return dict(self._connection.execute("SELECT host, seq FROM cursors WHERE operation = ?", (operation.id,)))

    def call_off(self, name: str) -> Operation:
        """Has an operation ask nobody any more, whoever runs it."""
        with self.transaction():
            operation = msgspec.structs.replace(self.operation(name), called_off=True)
            self._put_operation(operation)
        return operation

    def run(self, operation: Operation) -> None:
        """Takes the operation for this process. Raises Taken while another one runs it."""
        with self.transaction():
            row = self._connection.execute(
                "SELECT pid, alive_s FROM runners WHERE operation = ?", (operation.id,)
            ).fetchone()
            if row and row[0] != os.getpid() and time.time() - row[1] < ALIVE_S and _lives(row[0]):
                raise Taken(f"{operation.id}: process {row[0]} runs it; `hltmode fleet watch {operation.id}` shows it")
            self._connection.execute(
                "INSERT OR REPLACE INTO runners VALUES (?, ?, ?)", (operation.id, os.getpid(), time.time())
            )

    def runs(self, operation: Operation) -> bool:
        """Returns whether some process runs it."""
        row = self._connection.execute(
            "SELECT pid, alive_s FROM runners WHERE operation = ?", (operation.id,)
        ).fetchone()
        return bool(row) and time.time() - row[1] < ALIVE_S and _lives(row[0])

    def leave(self, operation: Operation) -> None:
        """Lets go of an operation that this process ran."""
        self._connection.execute("DELETE FROM runners WHERE operation = ? AND pid = ?", (operation.id, os.getpid()))

    def hold(self, hosts: Iterable[str], who: str, reason: str) -> None:
        """Has no operation take these nodes."""
        with self.transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?)", [(host, who, reason, time.time()) for host in hosts]
            )

    def release(self, hosts: Iterable[str]) -> int:
        """Lets operations take these nodes again; returns how many were held."""
        with self.transaction():
            done = self._connection.executemany("DELETE FROM holds WHERE host = ?", [(host,) for host in hosts])
        return done.rowcount

    def holds(self) -> dict[str, Hold]:
        """Returns the nodes that are held."""
        rows = self._connection.execute("SELECT host, who, reason, since_s FROM holds ORDER BY host")
        return {row[0]: Hold(*row) for row in rows}

    def _put_operation(self, operation: Operation) -> None:
        row = (operation.id, operation.created_s, int(operation.over), msgspec.json.encode(operation))
        self._connection.execute("INSERT OR REPLACE INTO operations VALUES (?, ?, ?, ?)", row)

    def _put_nodes(self, operation: str, nodes: Iterable[NodeState]) -> None:
        rows = [(operation, node.host, msgspec.json.encode(node)) for node in nodes]
        self._connection.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", rows)

    def _put_cursors(self, operation: str, cursors: dict[str, int]) -> None:
        rows = [(operation, host, seq) for host, seq in cursors.items()]
        self._connection.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", rows)

    @property
    def connection(self) -> sqlite3.Connection:
        """The file, for what others keep in tables of their own."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Has all that is written within it be there, or none; one within another is part of that one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
