"""What a journal says of a request, page by page and however often it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.modes import Wanted
from contract.request import Verdict
from fleet.journal_lines import JournalLine, Told, told

START = JournalLine(kind="start", seq=0)
MOVE = JournalLine(kind="move", seq=0)
OURS = JournalLine(kind="request", seq=0, id="op-1", to="cloud", verdict="accepted")
NEEDLESS = replace(OURS, verdict="already", why="since r1")
DONE = JournalLine(kind="switch", seq=0, id="op-1", to="cloud", outcome="done")
THEIRS = JournalLine(kind="request", seq=0, id="r2", to="HLT", who="ben", verdict="accepted")
THEIR_SWITCH = JournalLine(kind="switch", seq=0, id="r1", to="cloud", outcome="vms_failed", why="no VM")
OTHER_WAY = JournalLine(kind="switch", seq=0, id="r2", to="HLT", who="ben", outcome="done")


def numbered(*lines: JournalLine, first: int = 1) -> list[JournalLine]:
    return [replace(line, seq=seq) for seq, line in enumerate(lines, first)]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], Told(upto=0)),
        ([START, MOVE], Told(upto=2)),
        ([OURS, MOVE], Told(heard=Verdict.ACCEPTED, upto=2)),
        ([THEIR_SWITCH, OURS, THEIRS, MOVE, DONE], Told(heard=Verdict.ACCEPTED, outcome="done", upto=5)),
        ([THEIR_SWITCH, NEEDLESS], Told(heard=Verdict.ALREADY, why="since r1", upto=1)),
        ([NEEDLESS, MOVE, THEIR_SWITCH], Told(heard=Verdict.ALREADY, outcome="vms_failed", why="no VM", upto=3)),
        ([NEEDLESS, THEIRS], Told(heard=Verdict.ALREADY, outcome="superseded", why="ben asked for HLT", upto=2)),
        (
            [NEEDLESS, OTHER_WAY],
            Told(heard=Verdict.ALREADY, outcome="superseded", why="ben had it go elsewhere", upto=2),
        ),
        ([NEEDLESS, replace(THEIRS, verdict="already")], Told(heard=Verdict.ALREADY, why="since r1", upto=0)),
        ([replace(OURS, verdict="postponed")], Told(upto=1)),
    ],
)  # fmt: skip
def test_what_the_lines_say(lines: list[JournalLine], found: Told) -> None:
    assert told(numbered(*lines), 0, "op-1", Wanted.CLOUD) == found


@given(st.lists(st.sampled_from([START, MOVE, OURS, NEEDLESS, DONE, THEIRS, THEIR_SWITCH, OTHER_WAY]), max_size=12),
       st.lists(st.integers(0, 12), max_size=4))  # fmt: skip
def test_reading_in_pieces_finds_the_same_end(lines: list[JournalLine], cuts: list[int]) -> None:
    whole = numbered(*lines)
    if sum(line.kind == "request" and line.id == "op-1" for line in whole) > 1:
        return  # a node writes a request down once
    upto, last, outcomes = 0, Told(upto=0), []
    for cut in [*sorted(cuts), len(whole)]:
        last = told([line for line in whole[:cut] if line.seq > upto], upto, "op-1", Wanted.CLOUD)
        assert last.upto >= upto
        upto = last.upto
        outcomes += [last.outcome] if last.outcome else []
        if last.outcome:
            break
    assert outcomes[:1] == ([found] if (found := told(whole, 0, "op-1", Wanted.CLOUD).outcome) else [])
