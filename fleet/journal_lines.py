"""What the lines of a node's journal say of one request. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contract.modes import Wanted
from contract.request import Verdict

# The verdicts that a journal may name; another one is a newer switcher's, and settles nothing.
VERDICTS = {verdict.value: verdict for verdict in Verdict}


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a journal's record."""

    kind: str
    seq: int
    time: str = ""
    mode: str = ""
    id: str = ""
    to: str = ""
    who: str = ""
    outcome: str = ""
    why: str = ""
    verdict: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How the request was heard, and its outcome: None where the lines say nothing.

    `upto` is the last line that need not be read again. It lies before a request that an earlier one had made needless,
    for how that one ends is told by the first switch after it.
    """

    heard: Verdict | None = None
    outcome: str | None = None
    why: str = ""
    upto: int


def told(lines: Sequence[JournalLine], after: int, request_id: str, to: Wanted) -> Told:
    """Returns what `lines`, which follow the record `after`, say of the request `request_id` for `to`."""
    found = Told(upto=after)
    for line in lines:
        if line.id == request_id and line.kind == "switch":
            return Told(heard=found.heard, outcome=line.outcome, why=line.why, upto=line.seq)
        if line.id == request_id and line.kind == "request" and line.verdict in VERDICTS:
            found = Told(heard=VERDICTS[line.verdict], why=line.why, upto=found.upto)
        elif found.heard is Verdict.ALREADY and (end := _end(line, to)):
            outcome, why = end
            return Told(heard=found.heard, outcome=outcome, why=why, upto=line.seq)
        if found.heard is not Verdict.ALREADY:
            found = msgspec.structs.replace(found, upto=line.seq)
    return found


def _end(line: JournalLine, to: Wanted) -> tuple[str, str] | None:
    """Returns how what had made our request needless ends by this line, and why; None when it doesn't."""
    if line.kind == "switch":
        return (line.outcome, line.why) if line.to == to.value else ("superseded", f"{line.who} had it go elsewhere")
    if line.kind == "request" and line.verdict == Verdict.ACCEPTED.value and line.to != to.value:
        return "superseded", f"{line.who or 'somebody'} asked for {line.to}"
    return None
