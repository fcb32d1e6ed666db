"""Numbers still to be delivered: the same as a plain set would say, in few spans."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from collector.log.pending import Pending, Span, holds, with_numbers, with_span, without_span

SPANS = st.tuples(st.integers(0, 40), st.integers(0, 10)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
CHANGES = st.lists(st.tuples(st.booleans(), SPANS), max_size=25)


def numbers(pending: Pending) -> set[int]:
    return {number for span in pending for number in range(span.low, span.high + 1)}


@given(CHANGES)
def test_spans_are_what_a_set_would_be(changes: list[tuple[bool, Span]]) -> None:
    pending: Pending = ()
    model: set[int] = set()
    for adds, span in changes:
        pending = with_span(pending, span) if adds else without_span(pending, span)
        model = model | numbers((span,)) if adds else model - numbers((span,))
        assert numbers(pending) == model
        assert all(before.high + 1 < after.low for before, after in pairwise(pending))
    assert all(holds(pending, number) == (number in model) for number in range(-1, 60))


@given(st.sets(st.integers(0, 60)))
def test_single_numbers_are_joined(wanted: set[int]) -> None:
    pending = with_numbers((), wanted)
    assert numbers(pending) == wanted
    assert len(pending) == sum(number - 1 not in wanted for number in wanted)
