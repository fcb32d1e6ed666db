"""Events with numbers, and where a reader is in them. Pure.

There is one list for all readers and none has a queue of its own: a reader has a place in the list, and one that falls
behind its oldest event must load everything anew. So the memory is bounded however slow a reader is. An id is
`EPOCH-NUMBER`; the epoch is another one in each process, so an id of an earlier server is known to be none of ours.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

KEPT: Final = 4096
KEPT_BYTES: Final = 8 << 20
LARGEST_PART_BYTES: Final = 256 << 10


class Event(NamedTuple):
    """One event; `text` is how it goes over the line."""

    number: int
    text: bytes


class Events:
    """The newest events of this process."""

    def __init__(self, epoch: str, *, kept: int = KEPT, kept_bytes: int = KEPT_BYTES) -> None:
        self.number = 0
        self._epoch = epoch
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._events: deque[Event] = deque()

    @property
    def newest(self) -> str:
        """The id of the newest event."""
        return f"{self._epoch}-{self.number}"

    def add(self, kind: str, data: bytes) -> None:
        """Adds an event; `data` is a line of JSON."""
        self.number += 1
        text = _text(kind, self.newest, data)
        self._events.append(Event(self.number, text))
        self._bytes += len(text)
        while len(self._events) > self._kept or (self._bytes > self._kept_bytes and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().text)

    def place(self, name: str) -> int | None:
        """Returns the number in an id; None when events after it are not known to be here."""
        epoch, _, number = name.rpartition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
            return None
        return int(number) if self.has(int(number)) else None

    def has(self, number: int) -> bool:
        """Returns whether every event after `number` is still here."""
        oldest = self._events[0].number if self._events else self.number + 1
        return oldest - 1 <= number <= self.number

    def after(self, number: int) -> tuple[int, bytes]:
        """Returns the events after `number`, as many as go in one part, and the number of the last of them."""
        skip = number - (self._events[0].number - 1) if self._events else 0
        parts: list[bytes] = []
        size = 0
        for place in range(skip, len(self._events)):
            event = self._events[place]
            if parts and size + len(event.text) > LARGEST_PART_BYTES:
                break
            parts.append(event.text)
            size += len(event.text)
            number = event.number
        return number, b"".join(parts)

    def reload(self) -> bytes:
        """Returns what tells a reader to load everything anew; it goes on after the newest event."""
        return _text("reload", self.newest, b"{}")


def _text(kind: str, name: str, data: bytes) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (name.encode(), kind.encode(), data)
