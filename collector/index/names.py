"""The names of the indices: fixed by a document's kind and its own time. Pure.

A document's id is unique within one index only. Since the name of its index never changes either, a document that is
sent twice, however late, meets itself: no rollover, no retry and no restart can double it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from collector.documents import BOX, SWITCHOVER
from collector.index.fields import CURRENT

PERIODS: Final = {BOX: "%Y.%m.%d", SWITCHOVER: "%Y"}


def index_of(kind: str, subsystem: str, time_s: float) -> str:
    """Returns such as `hltmode-box-cdaq-2026.11.23`: a day of boxes, a year of switchovers."""
    return f"{_stem(kind, subsystem)}-{datetime.fromtimestamp(time_s, UTC):{PERIODS[kind]}}"


def current_of(subsystem: str) -> str:
    """Returns the index that holds the newest box of each host."""
    return _stem(CURRENT, subsystem)


def hltd_alias(subsystem: str) -> str:
    """Returns the alias under which hltd writes (hltd contract: The central index)."""
    return f"boxinfo_{_clean(subsystem)}_write"


def _stem(kind: str, subsystem: str) -> str:
    return f"hltmode-{kind}-{_clean(subsystem)}"


def _clean(subsystem: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "_", subsystem.lower()) or "none"
