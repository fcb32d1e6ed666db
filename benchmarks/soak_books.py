"""Holds a node's journal against what was asked of the node: every request once, every switch ended once. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, SwitchRecord
from contract.modes import Wanted
from contract.request import Verdict

OUTCOMES: Final = frozenset({"done", "refused", "superseded", "vms_failed"})


class Asked(NamedTuple):
    """One request under an id of its own; `status` is the HTTP answer, None where the entrance gives none."""

    id: str
    to: Wanted
    entrance: str
    status: int | None = None


class Books(NamedTuple):
    """What a journal says in numbers, and every `fault` in it as a line for people."""

    records: int
    requests: int
    accepted: int
    outcomes: dict[str, int]
    joined: int
    faults: tuple[str, ...]


def balance(records: Sequence[AnyRecord], diary: Iterable[Asked]) -> Books:
    """Returns the books of a whole journal and everything that was asked meanwhile."""
    requests = [record for record in records if isinstance(record, RequestRecord)]
    switches = [record for record in records if isinstance(record, SwitchRecord)]
    faults = (
        *_numbers(records),
        *_moves([record for record in records if isinstance(record, MoveRecord)]),
        *_journeys(requests, switches),
        *_asked(requests, switches, diary),
    )
    return Books(
        records=len(records),
        requests=len(requests),
        accepted=sum(request.verdict == Verdict.ACCEPTED for request in requests),
        outcomes=dict(Counter(switch.outcome for switch in switches)),
        joined=sum(isinstance(record, RunRecord) and record.what == "joined" for record in records),
        faults=faults,
    )


def _numbers(records: Sequence[AnyRecord]) -> Iterator[str]:
    for expected, record in enumerate(records, 1):
        if record.seq != expected:
            yield f"record {expected} has number {record.seq}"
            return


def _moves(moves: Sequence[MoveRecord]) -> Iterator[str]:
    for before, after in itertools.pairwise(moves):
        if (before.mode, before.position) != (after.from_mode, after.from_position):
            yield f"move {after.seq} leaves {after.from_position}, but move {before.seq} went to {before.position}"


def _journeys(requests: Sequence[RequestRecord], switches: Sequence[SwitchRecord]) -> Iterator[str]:
    """Every accepted request has one switch, which ended; no other switch is there."""
    for identity, count in Counter(request.id for request in requests).items():
        if count > 1:
            yield f"request {identity} stands {count} times"
    ended = Counter(switch.id for switch in switches)
    accepted = [request.id for request in requests if request.verdict == Verdict.ACCEPTED]
    for identity in accepted:
        if ended.pop(identity, 0) != 1:
            yield f"accepted request {identity} has not exactly one switch"
    yield from (f"switch {identity} has no accepted request" for identity in ended)
    for switch in switches:
        if switch.outcome not in OUTCOMES:
            yield f"switch {switch.id} ended as {switch.outcome}"
        if sum(switch.phases.values()) > switch.duration_s + 0.001:
            yield f"switch {switch.id} took {switch.duration_s} s, its phases more: {switch.phases}"
    if [switch.id for switch in switches] != accepted:
        yield "switches did not end in the order of their requests"


def _asked(
    requests: Sequence[RequestRecord], switches: Sequence[SwitchRecord], diary: Iterable[Asked]
) -> Iterator[str]:
    """What callers were told is what the journal says."""
    found = {request.id: request for request in requests}
    outcomes = {switch.id: switch.outcome for switch in switches}
    for asked in diary:
        record = found.pop(asked.id, None)
        if record is None:
            yield f"request {asked.id} ({asked.entrance}, answer {asked.status}) is not in the journal"
            continue
        told = {200: Verdict.ALREADY, 202: Verdict.ACCEPTED, 409: Verdict.ACCEPTED, 412: Verdict.ACCEPTED}
        if record.to is not asked.to or (asked.status is not None and told.get(asked.status) != record.verdict):
            yield f"request {asked.id} was answered {asked.status}, the journal has {record.verdict} to {record.to}"
        wanted = {409: "superseded", 412: "refused"}.get(asked.status or 0)
        if wanted and outcomes.get(asked.id) != wanted:
            yield f"request {asked.id} was answered {asked.status}, but ended as {outcomes.get(asked.id)}"
    # What nobody asked under an id of his own: tokens moved by hand, and the switcher itself at its start.
    strangers = [identity for identity in found if not identity.startswith(("hand-", "file-"))]
    yield from (f"request {identity} is in the journal, but nobody asked" for identity in strangers)
