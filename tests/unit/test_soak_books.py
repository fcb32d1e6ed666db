"""The books of a soak find every kind of fault in a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from benchmarks.footprint import growth
from benchmarks.soak_books import Asked, balance
from contract.journal import AnyRecord, MoveRecord, RequestRecord, SwitchRecord
from contract.modes import Mode, Vms, Wanted

TIME = "2026-11-25T07:00:00.000000Z"


def request(seq: int, identity: str, verdict: str = "accepted") -> RequestRecord:
    return RequestRecord(seq=seq, time=TIME, id=identity, to=Wanted.CLOUD, who="", reason="", verdict=verdict)


def move(seq: int, source: tuple[Mode, str], to: tuple[Mode, str]) -> MoveRecord:
    return MoveRecord(
        seq=seq,
        time=TIME,
        switch_id="a",
        from_mode=source[0],
        mode=to[0],
        from_position=source[1],
        position=to[1],
        wanted=Wanted.CLOUD,
        vms=Vms.DOWN,
    )


def switch(seq: int, identity: str, outcome: str = "done") -> SwitchRecord:
    return SwitchRecord(
        seq=seq,
        time=TIME,
        id=identity,
        who="",
        reason="",
        from_mode=Mode.HLT,
        to=Wanted.CLOUD,
        outcome=outcome,
        started=TIME,
        duration_s=2.0,
        phases={"check": 0.5, "drain": 1.5},
    )


HLT, LEAVING, CLOUD = (Mode.HLT, "hlt"), (Mode.ACTIVATING_CLOUD, "draining"), (Mode.CLOUD, "cloud")
GOOD: tuple[AnyRecord, ...] = (
    request(1, "a"),
    move(2, HLT, LEAVING),
    request(3, "b", "already"),
    move(4, LEAVING, CLOUD),
    switch(5, "a"),
)
ASKED = (Asked("a", Wanted.CLOUD, "api", 202), Asked("b", Wanted.CLOUD, "file"))


def test_a_journal_in_order_has_no_fault() -> None:
    books = balance(GOOD, ASKED)
    assert books.faults == ()
    assert (books.requests, books.accepted, books.outcomes) == (2, 1, {"done": 1})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda good: good[:4], "accepted request a has not exactly one switch"),
        (lambda good: [*good, switch(6, "a")], "accepted request a has not exactly one switch"),
        (lambda good: [*good, switch(6, "c")], "switch c has no accepted request"),
        (lambda good: [*good, request(6, "b", "already")], "request b stands 2 times"),
        (lambda good: [*good, request(6, "x", "already")], "request x is in the journal, but nobody asked"),
        (lambda good: [*good[:4], replace(good[4], seq=6)], "record 5 has number 6"),
        (lambda good: [*good[:3], move(4, CLOUD, HLT), good[4]], "move 4 leaves cloud, but move 2 went to draining"),
        (lambda good: [*good[:4], switch(5, "a", "lost")], "switch a ended as lost"),
        (lambda good: [*good[:4], replace(good[4], duration_s=1.0)], "switch a took 1.0 s, its phases more"),
        (lambda good: [replace(good[0], id="hand-1"), *good[1:4], switch(5, "hand-1")], "request a (api, answer 202)"),
    ],
)
def test_every_fault_is_named(spoil: Callable[[Sequence[AnyRecord]], Sequence[AnyRecord]], words: str) -> None:
    assert any(fault.startswith(words) for fault in balance(spoil(GOOD), ASKED).faults)


@pytest.mark.parametrize("status", [200, 412, 409])
def test_an_answer_that_the_journal_contradicts_is_named(status: int) -> None:
    (fault,) = balance(GOOD, [ASKED[0]._replace(status=status), ASKED[1]]).faults
    assert fault.startswith(f"request a was answered {status}")


def test_growth_is_the_slope_of_a_straight_line() -> None:
    assert growth([5.0]).over_all == 0
    assert growth([1.0, 2.0, 3.0, 4.0]) == pytest.approx((1000, 3))
    assert growth([7.0] * 10) == pytest.approx((0, 0))
