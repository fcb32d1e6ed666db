"""What mode the node is in and since when, from the mode file, the journal and the box file. Pure.

The mode file is what the node publishes, so it wins; the journal is on disk before anything is published, so it knows
best since when; the box file comes last. A node of unmodified hltd has neither mode file nor journal: there the mode
follows from `cloudState`.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from contract.box import Box, box_mode
from contract.journal import AnyRecord, MoveRecord, RequestRecord, StartRecord, SwitchRecord
from contract.modes import Mode, Vms
from contract.request import Verdict
from contract.times import unix


class Published(msgspec.Struct, frozen=True):
    """The mode file: its word, and when it was written (Unix seconds)."""

    mode: Mode
    written_s: float


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """What the records up to number `seq` say of the present; None is unknown, or no switch under way."""

    seq: int = 0
    mode: Mode | None = None
    since: str | None = None
    switch_id: str | None = None
    vms: Vms | None = None


class ModeNow(msgspec.Struct, frozen=True, kw_only=True):
    """The mode of the node (None: nothing says it), since when (Unix seconds), the switch under way and the VMs."""

    mode: Mode | None = None
    since_s: float | None = None
    switch_id: str | None = None
    vms: Vms | None = None


def fold(view: JournalView, record: AnyRecord) -> JournalView:
    """Returns `view` after one more record."""
    view = replace(view, seq=record.seq)
    match record:
        case StartRecord():
            return _in_mode(view, record.mode, record.time)
        case MoveRecord():
            moved = _in_mode(view, record.mode, record.time)
            return replace(moved, switch_id=record.switch_id, vms=record.vms)
        case RequestRecord() if record.verdict == Verdict.ACCEPTED.value:
            return replace(view, switch_id=record.id)
        case SwitchRecord() if record.id == view.switch_id:
            return replace(view, switch_id=None)
        case _:
            return view


def _in_mode(view: JournalView, mode: Mode, time: str) -> JournalView:
    return view if view.mode is mode else replace(view, mode=mode, since=time)


def mode_now(
    before: ModeNow, published: Published | None, journal: JournalView, box: Box | None, now_s: float
) -> ModeNow:
    """Returns the mode of this moment; `before` is what was returned last, for the time when nothing else says it."""
    mode = published.mode if published else box_mode(box)
    if mode is None:
        return ModeNow()
    ours = published is not None or (box is not None and box.mode is not None)
    if not ours:
        # A journal that an earlier switcher left says nothing about unmodified hltd.
        journal = JournalView()
    since = journal.since if journal.mode is mode else box.mode_since if box and box.mode is mode else None
    return ModeNow(
        mode=mode,
        since_s=_unix(since) or _seen_since(mode, before, published, now_s),
        switch_id=journal.switch_id if journal.seq else box.switch_id if box else None,
        vms=journal.vms or (box.vms if box else None),
    )


def _seen_since(mode: Mode, before: ModeNow, published: Published | None, now_s: float) -> float:
    if before.mode is mode and before.since_s is not None:
        return before.since_s
    return published.written_s if published else now_s


def _unix(time: str | None) -> float | None:
    try:
        return unix(time) if time else None
    except ValueError:
        return None
