"""Operations in one SQLite file, so that one may look away, come back, and lose nothing with the tool's process.

A node's state is on disk before the request that follows from it is sent. Who runs an operation holds a lock of the
kernel on a byte of the file beside it, so that whoever dies lets go of it, however long its pid lives on in another.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
import stat
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.errors import HltmodeError, Surroundings
from contract.undecodable import UNDECODABLE
from fleet.operation import Operation
from fleet.standing import Held, NodeState, Standing, step

log = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS operations (id TEXT PRIMARY KEY, created_s REAL, over INTEGER, body BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operations_by_time ON operations (created_s, over);
CREATE TABLE IF NOT EXISTS nodes (operation TEXT, host TEXT, body BLOB, PRIMARY KEY (operation, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (operation TEXT, host TEXT, seq INT, PRIMARY KEY (operation, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runners (operation TEXT PRIMARY KEY, pid INTEGER, alive_s REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS called_off (operation TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (host TEXT PRIMARY KEY, who TEXT, reason TEXT, since_s REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (operation TEXT PRIMARY KEY) WITHOUT ROWID;
"""
LOCK: Final = "hhqqi4x"  # struct flock of Linux: kind, whence, start, length, pid


# What is called off is called off by others than who runs the operation, so it has a place of its own.
NAMES: Final = "SELECT id FROM operations"
SELECT: Final = "SELECT id, body, id IN (SELECT operation FROM called_off) FROM operations"


# What is over stays over: whoever still runs it may not have heard that it was given up.
PUT_OPERATION: Final = """
INSERT INTO operations VALUES (?, ?, ?, ?) ON CONFLICT (id)
DO UPDATE SET created_s = excluded.created_s, over = excluded.over, body = excluded.body WHERE excluded.over OR NOT over
"""
BROKEN: Final = (*UNDECODABLE, TypeError)  # the last: a row that holds no bytes
NEWEST: Final = "last"  # instead of an id


class NoSuchOperation(HltmodeError):
    """There is no operation of that `name` in the store."""

    exit_code = 2

    def __init__(self, name: str, store: Path) -> None:
        super().__init__(f"{name}: no such operation in {store}; `hltmode fleet history` lists them")
        self.name = name


class UnreadableRow(Surroundings):
    """A row that holds nothing that can be read; the message says of which operation."""


class Taken(HltmodeError):
    """Another one has what is wanted: a running tool the operation, or an operation the nodes."""

    exit_code = 4


class Hold(msgspec.Struct, frozen=True):
    """Why nobody may switch a node."""

    host: str
    who: str
    reason: str
    since_s: float

    @property
    def words(self) -> str:
        """Who holds it and why."""
        return f"{self.who}: {self.reason}"

    @property
    def event(self) -> Held:
        """What it is for a node that waits in an operation."""
        return Held(f"on hold: {self.words}")


class Store:
    """The file at `path`; raises Surroundings when it can't be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._running: dict[str, int] = {}
        self._known: dict[str, Operation] = {}
        self._passed_over: set[str] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):  # SQLite would never let a group write, whatever the umask says
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise Surroundings(f"{path}: cannot be used ({error}); name another with --store") from error

    def close(self) -> None:
        """Closes the file and lets go of what is run."""
        while self._running:
            os.close(self._running.popitem()[1])
        self._connection.close()

    def begin(self, operation: Operation, nodes: Iterable[NodeState], cursors: dict[str, int]) -> None:
        """Puts a new operation there; nodes that are on hold by now are left out.

        Raises Taken when another one, neither over nor called off, has some of its nodes, or when one has its id.
        """
        with self.transaction():
            if self._read("SELECT 1 FROM operations WHERE id = ?", operation.id):
                raise Taken(f"{operation.id}: there is an operation of that id; take another id")
            for other in self.operations(over=False):
                if other.called_off:
                    continue
                if both := set(other.order) & set(operation.order):
                    some = ", ".join(sorted(both)[:3])
                    raise Taken(
                        f"{other.id} of {other.who or 'somebody'} has {len(both)} of these nodes ({some}); "
                        f"`hltmode fleet watch {other.id}` shows it, `cancel` ends it"
                    )
            holds, now_s = self.holds(), time.time()
            states = [
                step(node, holds[node.host].event, operation.to, now_s) if node.host in holds else node
                for node in nodes
            ]
            self._put_operation(operation)
            self._put_nodes(operation.id, states)
            self._put_cursors(operation.id, cursors)
        self._known[operation.id] = operation

    def save(self, operation: Operation, nodes: Iterable[NodeState], cursors: dict[str, int] | None = None) -> None:
        """Puts what has changed on disk."""
        with self.transaction():
            if self._known.get(operation.id) != operation:
                self._put_operation(operation)
            self._put_nodes(operation.id, nodes)
            self._put_cursors(operation.id, cursors or {})
        self._known[operation.id] = operation

    def operation(self, name: str) -> Operation:
        """Returns the operation of that id; `last` is the newest. Raises NoSuchOperation."""
        if name == NEWEST:
            rows = self._read(f"{SELECT} ORDER BY created_s DESC LIMIT 1")
        else:
            rows = self._read(f"{SELECT} WHERE id = ?", name)
        if not rows:
            raise NoSuchOperation(name, self.path)
        return self._operation(*rows[0])

    def readable(self, names: Iterable[str]) -> Iterator[Operation]:
        """Yields those operations whose rows can be read; one whose row can't is named in the log and passed over."""
        for name in names:
            try:
                yield self.operation(name)
            except UnreadableRow as error:
                self._pass_over(name, error)

    def operations(self, *, over: bool | None = None, newest: int = -1, host: str = "") -> list[Operation]:
        """Returns operations, oldest first: those that are `over` or not, that have `host`, so many of the newest."""
        which, values = ["TRUE"], []
        if over is not None:
            which.append(f"over = {int(over)}")
        if host:
            which.append("EXISTS (SELECT 1 FROM nodes WHERE operation = id AND host = ?)")
            values.append(host)
        query = f"{NAMES} WHERE {' AND '.join(which)} ORDER BY created_s DESC LIMIT {newest}"
        names = [name for (name,) in reversed(self._read(query, *values))]
        return list(self.readable(names))

    def is_called_off(self, operation: Operation) -> bool:
        """Returns whether somebody has called it off."""
        return bool(self._read("SELECT 1 FROM called_off WHERE operation = ?", operation.id))

    def ids(self) -> list[tuple[str, bool]]:
        """Returns of each operation its id and whether it is over, oldest first."""
        return [(name, bool(over)) for name, over in self._read("SELECT id, over FROM operations ORDER BY created_s")]

    def nodes(self, operation: Operation) -> dict[str, NodeState]:
        """Returns how each node of an operation stands, in the operation's order."""
        rows = self._read("SELECT host, body FROM nodes WHERE operation = ?", operation.id)
        found = {host: node for host, body in rows if (node := self._node(operation.id, host, body))}
        return {host: found.get(host) or _asked_perhaps(operation, host) for host in operation.order}

    def cursors(self, operation: Operation) -> dict[str, int]:
        """Returns up to which journal record each node's journal is read."""
        return dict(self._read("SELECT host, seq FROM cursors WHERE operation = ?", operation.id))

    def call_off(self, name: str) -> Operation:
        """Has an operation ask nobody any more, whoever runs it."""
        with self.transaction():
            operation = self.operation(name)
            self._connection.execute("INSERT OR REPLACE INTO called_off VALUES (?)", (operation.id,))
        return msgspec.structs.replace(operation, called_off=True)

    def run(self, operation: Operation) -> None:
        """Takes the operation until `leave`. Raises Taken while somebody runs it, in this process or another."""
        descriptor = self._lock_file()
        if operation.id in self._running or not _lock(descriptor, operation.id):
            os.close(descriptor)
            who = self._read("SELECT pid FROM runners WHERE operation = ?", operation.id)
            pid = who[0][0] if who else "unknown"
            raise Taken(f"{operation.id}: process {pid} runs it; `hltmode fleet watch {operation.id}` shows it")
        try:
            with self.transaction():
                row = (operation.id, os.getpid(), time.time())
                self._connection.execute("INSERT OR REPLACE INTO runners VALUES (?, ?, ?)", row)
        except BaseException:
            os.close(descriptor)
            raise
        self._running[operation.id] = descriptor

    def runs(self, operation: Operation) -> bool:
        """Returns whether somebody runs it, in this process or another."""
        if operation.id in self._running:
            return True
        descriptor = self._lock_file()
        try:
            return _is_locked(descriptor, operation.id)
        finally:
            os.close(descriptor)

    def leave(self, operation: Operation) -> None:
        """Lets go of an operation that was taken by `run`."""
        self._known.pop(operation.id, None)
        try:
            with self.transaction():
                self._connection.execute("DELETE FROM runners WHERE operation = ?", (operation.id,))
        finally:
            os.close(self._running.pop(operation.id))

    def serve(self, name: str) -> None:
        """Has the server carry on this operation until it is over, also after it was killed."""
        with self.transaction():
            self._connection.execute("INSERT OR REPLACE INTO served VALUES (?)", (name,))

    def served(self) -> set[str]:
        """Returns the operations that are the server's to carry on."""
        rows = self._read("SELECT operation FROM served JOIN operations ON id = operation WHERE NOT over")
        return {name for (name,) in rows}

    def version(self) -> int:
        """Returns a number that is another one after each change that others have made."""
        ((found,),) = self._read("PRAGMA data_version")
        return int(found)

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
        rows = self._read("SELECT host, who, reason, since_s FROM holds ORDER BY host")
        return {row[0]: Hold(*row) for row in rows}

    def _operation(self, name: str, body: bytes, called_off: int) -> Operation:
        try:
            found = msgspec.json.decode(body, type=Operation)
        except BROKEN as error:
            raise UnreadableRow(f"{name}: its row in {self.path} cannot be read ({error})") from error
        return msgspec.structs.replace(found, called_off=True) if called_off else found

    def _node(self, operation: str, host: str, body: bytes) -> NodeState | None:
        try:
            return msgspec.json.decode(body, type=NodeState)
        except BROKEN as error:
            self._pass_over(
                f"{operation} {host}", f"{host}: its row of {operation} in {self.path} cannot be read ({error})"
            )
            return None

    def _pass_over(self, what: str, why: object) -> None:
        """Says once that something is passed over."""
        if what not in self._passed_over:
            self._passed_over.add(what)
            log.warning("%s; passed over", why)

    def _read(self, query: str, *values: str) -> list[Any]:
        """Returns all rows. Raises Surroundings when the file can't be read."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise Surroundings(f"{self.path}: cannot be read ({error}); see to the disk, or name another") from error

    def _lock_file(self) -> int:
        """Returns the open file whose bytes are locked; a group that may write the store may lock it."""
        path = self.path.with_name(f"{self.path.name}.lock")
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with suppress(FileNotFoundError):
                return os.open(path, flags)
            mode = self.path.stat().st_mode & (stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IWGRP)
            descriptor = os.open(path, flags | os.O_CREAT, mode)
            with suppress(PermissionError):  # another one was quicker, and it is that one's
                os.fchmod(descriptor, mode)  # whatever the umask of who happens to be the first
        except OSError as error:
            raise Surroundings(
                f"{path}: cannot be written ({error.strerror}); name another file with --store"
            ) from error
        return descriptor

    def _put_operation(self, operation: Operation) -> None:
        row = (operation.id, operation.created_s, int(operation.over), msgspec.json.encode(operation))
        self._connection.execute(PUT_OPERATION, row)

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
        """Has all that is written within it be there, or none; one within another is part of that one.

        Raises Surroundings when the file can't be used.
        """
        if self._connection.in_transaction:
            yield
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()  # nothing if the failure has done so by itself
                raise
        except sqlite3.Error as error:
            raise Surroundings(f"{self.path}: cannot be written ({error}); see to the disk") from error


def _asked_perhaps(operation: Operation, host: str) -> NodeState:
    """Returns a node of which nothing is known any more: its own journal says what it made of the operation's id."""
    words = "its row in the store is lost"
    return NodeState(host=host, request_id=operation.id, standing=Standing.ASKED, tries=1, words=words)


def _lock(descriptor: int, operation: str) -> bool:
    """Locks the operation's byte for as long as the descriptor is open; returns whether it was free."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _byte_of(operation))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_locked(descriptor: int, operation: str) -> bool:
    """Returns whether another descriptor has locked the operation's byte; whoever asks is in nobody's way."""
    found: int = struct.unpack(LOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _byte_of(operation)))[0]
    return found != fcntl.F_UNLCK


def _byte_of(operation: str) -> bytes:
    start = int.from_bytes(hashlib.blake2b(operation.encode(), digest_size=7).digest())
    return struct.pack(LOCK, fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
