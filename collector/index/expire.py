"""Which daily indices are old enough to be deleted, by their names: for servers without lifecycle policies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

from collector.documents import BOX
from collector.index.templates import pattern

DAILY: Final = re.compile(rf"{re.escape(pattern(BOX).rstrip('*'))}.+-(\d{{4}}\.\d\d\.\d\d)")


def expired(indices: Iterable[str], today: date, keep_days: int) -> list[str]:
    """Returns the box indices all of whose documents are more than `keep_days` old, oldest first.

    A name that does not end with a day is nobody's business.
    """
    days = {index: day for index in indices if (day := _day(index)) is not None}
    return sorted(
        (index for index, day in days.items() if day < today - timedelta(days=keep_days)), key=days.__getitem__
    )


def _day(index: str) -> date | None:
    named = DAILY.fullmatch(index)
    try:
        return datetime.strptime(named[1], "%Y.%m.%d").date() if named else None  # noqa: DTZ007 - a day, not a time
    except ValueError:
        return None
