"""The names of the indices: fixed by a document's kind and its own time. Pure.

A document's id is unique within one index only. Since the name of its index never changes either, a document that is
sent twice, however late, meets itself: no rollover, no retry and no restart can double it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from collector.documents import BOX, SWITCHOVER
from contract.index_names import clean, stem

PERIODS: Final = {BOX: "%Y.%m.%d", SWITCHOVER: "%Y"}


def index_of(kind: str, subsystem: str, time_s: float) -> str:
    """Returns such as `hltmode-box-cdaq-2026.11.23`: a day of boxes, a year of switchovers."""
    return f"{stem(kind, subsystem)}-{datetime.fromtimestamp(time_s, UTC):{PERIODS[kind]}}"


def hltd_alias(subsystem: str) -> str:
    """Returns the alias under which hltd writes (hltd contract: The central index)."""
    return f"boxinfo_{clean(subsystem)}_write"
