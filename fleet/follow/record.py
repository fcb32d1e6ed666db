"""What the follower keeps in the store of operations: its decisions, the hold, and where it was."""

from __future__ import annotations

import logging
import time
from typing import Final, TypeVar

import msgspec

from fleet.follow.beam import Beam
from fleet.follow.decision import Course
from fleet.store import BROKEN, Store

log: Final = logging.getLogger(__name__)
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS decisions (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_s REAL, body BLOB);
CREATE TABLE IF NOT EXISTS policy_hold (one INTEGER PRIMARY KEY CHECK (one = 1), who TEXT, reason TEXT, since_s REAL);
CREATE TABLE IF NOT EXISTS follower (name TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
"""
Kept = TypeVar("Kept", bound=msgspec.Struct)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log: what was decided or done, when (Unix seconds), why, and by which operation.

    `kind` is an Act's word, or one of: started, hold, release, warning, warning over, ended, failed.
    """

    at_s: float
    kind: str
    reason: str
    beam: str = ""
    operation: str = ""
    who: str = ""
    seq: int = 0


class PolicyHold(msgspec.Struct, frozen=True):
    """Who has the policy send nobody to the cloud, why, and since when (Unix seconds)."""

    who: str
    reason: str
    since_s: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.who}: {self.reason}"


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """How the follower stands, as it said at `at_s` (Unix seconds): of each mode how many nodes; `silent` ones not."""

    at_s: float
    pid: int
    policy: str
    beam: str
    wanted: str
    words: str
    modes: dict[str, int] = {}
    silent: int = 0
    own: int = 0
    operation: str = ""


class Record:
    """The tables of the follower in the file of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.connection.executescript(SCHEMA)

    def add(self, entry: Entry) -> None:
        """Adds to the log."""
        body = msgspec.json.encode(entry)
        with self._store.transaction():
            self._store.connection.execute("INSERT INTO decisions (at_s, body) VALUES (?, ?)", (entry.at_s, body))

    def entries(self, last: int = -1) -> list[Entry]:
        """Returns the newest `last` of the log (-1: all), oldest first."""
        rows = self._store.connection.execute("SELECT seq, body FROM decisions ORDER BY seq DESC LIMIT ?", (last,))
        found = [(seq, _decoded(body, Entry, f"decision {seq}")) for seq, body in rows]
        return [msgspec.structs.replace(entry, seq=seq) for seq, entry in found if entry is not None][::-1]

    def hold(self, who: str, reason: str) -> None:
        """Has the policy send nobody to the cloud from now on."""
        now_s = time.time()
        with self._store.transaction():
            self._store.connection.execute(
                "INSERT OR REPLACE INTO policy_hold VALUES (1, ?, ?, ?)", (who, reason, now_s)
            )
            self.add(Entry(at_s=now_s, kind="hold", reason=reason, who=who))

    def release(self, who: str) -> PolicyHold | None:
        """Ends the hold and returns what it was; None when there was none."""
        with self._store.transaction():
            held = self.held()
            if held:
                self._store.connection.execute("DELETE FROM policy_hold")
                self.add(Entry(at_s=time.time(), kind="release", reason=f"held by {held.words}", who=who))
        return held

    def held(self) -> PolicyHold | None:
        """Returns the hold; None when there is none."""
        row = self._store.connection.execute("SELECT who, reason, since_s FROM policy_hold").fetchone()
        return PolicyHold(*row) if row else None

    def keep(self, *states: Beam | Course | Now) -> None:
        """Keeps each for the next start and for those who look."""
        rows = [(type(state).__name__, msgspec.json.encode(state)) for state in states]
        with self._store.transaction():
            self._store.connection.executemany("INSERT OR REPLACE INTO follower VALUES (?, ?)", rows)

    def kept(self, kind: type[Kept]) -> Kept | None:
        """Returns what was kept of that kind."""
        row = self._store.connection.execute("SELECT body FROM follower WHERE name = ?", (kind.__name__,)).fetchone()
        return _decoded(row[0], kind, kind.__name__) if row else None


def _decoded(body: bytes, kind: type[Kept], what: str) -> Kept | None:
    """Returns what was kept; None, and a line in the log, for what can't be read any more."""
    try:
        return msgspec.json.decode(body, type=kind)
    except BROKEN as error:
        log.warning("%s: what the store holds of it cannot be read (%s); passed over", what, error)
        return None
