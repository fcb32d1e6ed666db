"""The documents: which fields they have and how they come about. Pure.

A `box` document is what the node looked like at one moment: the box file's fields under hltd's names, and ours. A
`switchover` document is one switch as a whole, from the journal.
"""

from __future__ import annotations

from typing import Final

import msgspec

from collector.facts import ModeNow
from contract.box import OLD_AFTER_S, Box, written_s
from contract.config import Node
from contract.journal import SwitchRecord
from contract.times import iso, unix

BOX: Final = "box"
SWITCHOVER: Final = "switchover"
KINDS: Final = (BOX, SWITCHOVER)


# Of use to the BU only; hltd leaves them out of its index as well (hltd-contract: The central index).
LEFT_OUT: Final = ("version", "ip")

Document = dict[str, object]


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """The newest box file that could be read (None: never) and whether the last look failed.

    `changed_s` is when the file was written by the clock of who keeps it, which is the BU (Unix seconds).
    """

    box: Box | None = None
    changed_s: float | None = None
    failed: bool = False

    def date_s(self) -> float | None:
        """Returns when the box was written (Unix seconds), as it says itself."""
        return written_s(self.box)

    def ahead_s(self) -> float | None:
        """Returns how far the clock of who wrote the box is ahead of the BU's; behind, it is negative."""
        date_s = self.date_s()
        return None if date_s is None or self.changed_s is None else date_s - self.changed_s

    def age_s(self, now_s: float) -> float | None:
        """Returns how old the box is; a clock that was set back doesn't make it negative."""
        date_s = self.date_s()
        return max(0.0, now_s - date_s) if date_s is not None else None


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A document as the log takes it. One without `key` is numbered by the log."""

    kind: str
    host: str
    time_s: float
    fields: Document
    key: str = ""


def document_id(host: str, kind: str, key: str) -> str:
    """Returns the id that a document keeps wherever it goes."""
    return f"{host}-{kind}-{key}"


def box_document(seen: Sighting, now: ModeNow, node: Node, now_s: float) -> Captured:
    """Returns what the node looks like at `now_s`. Fields that nothing is known about are absent.

    `mode_age_s` and `box_age_s` are seconds; `box_old` marks box fields that no longer hold.
    """
    box: Document = msgspec.to_builtins(seen.box) if seen.box else {}
    age_s = seen.age_s(now_s)
    ours: Document = {
        "@timestamp": iso(now_s),
        "host": node.host,
        "appliance": node.appliance,
        "subsystem": node.subsystem,
        "mode": now.mode,
        "mode_since": iso(now.since_s) if now.since_s is not None else None,
        "mode_age_s": round(max(0.0, now_s - now.since_s), 3) if now.since_s is not None else None,
        "switch_id": now.switch_id,
        "vms": now.vms,
        "box_age_s": round(age_s, 3) if age_s is not None else None,
        "box_old": seen.failed or age_s is None or age_s > OLD_AFTER_S,
    }
    known = {name: value for name, value in (box | ours).items() if value is not None and name not in LEFT_OUT}
    return Captured(kind=BOX, host=node.host, time_s=now_s, fields=known)


def dated(record: SwitchRecord) -> bool:
    """Returns whether the times of `record` are times."""
    try:
        unix(record.started), unix(record.time)
    except ValueError:
        return False
    return True


def switchover_document(record: SwitchRecord, node: Node) -> Captured:
    """Returns one switch: `@timestamp` and `ended` are its end, `phases` the seconds of each phase it went through.

    The key is made of the journal's number and the start, so that a log begun anew yields the same id for the same
    switch, and a journal begun anew another one.
    """
    started_s = unix(record.started)
    fields: Document = {
        "@timestamp": record.time,
        "host": node.host,
        "appliance": node.appliance,
        "subsystem": node.subsystem,
        "switch_id": record.id,
        "who": record.who,
        "reason": record.reason,
        "from_mode": record.from_mode,
        "to": record.to,
        "outcome": record.outcome,
        "why": record.why,
        "started": record.started,
        "ended": record.time,
        "duration_s": record.duration_s,
        "phases": record.phases,
        "was_stuck": record.was_stuck,
        "journal_seq": record.seq,
    }
    key = f"{record.seq}-{started_s * 1e6:.0f}"
    return Captured(kind=SWITCHOVER, host=node.host, time_s=unix(record.time), fields=fields, key=key)
