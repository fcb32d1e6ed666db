"""Which numbers are still to be delivered: a few intervals, ascending, with nothing between two of them. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """The numbers from `low` to `high`, both included."""

    low: int
    high: int


Pending = tuple[Span, ...]


def with_span(pending: Pending, span: Span) -> Pending:
    """Returns `pending` and the numbers of `span`."""
    joined = span
    apart: list[Span] = []
    for other in pending:
        if other.high < joined.low - 1 or other.low > joined.high + 1:
            apart.append(other)
        else:
            joined = Span(min(other.low, joined.low), max(other.high, joined.high))
    return tuple(sorted([*apart, joined]))


def without_span(pending: Pending, span: Span) -> Pending:
    """Returns `pending` but for the numbers of `span`."""
    left: list[Span] = []
    for other in pending:
        below = Span(other.low, min(other.high, span.low - 1))
        above = Span(max(other.low, span.high + 1), other.high)
        left.extend(part for part in {below, above} if part.low <= part.high)
    return tuple(sorted(set(left)))


def with_numbers(pending: Pending, numbers: Iterable[int]) -> Pending:
    """Returns `pending` and each of `numbers`."""
    for number in numbers:
        pending = with_span(pending, Span(number, number))
    return pending


def holds(pending: Pending, number: int) -> bool:
    """Returns whether `number` is among `pending`."""
    place = bisect_right(pending, number, key=lambda span: span.low)
    return place > 0 and number <= pending[place - 1].high
