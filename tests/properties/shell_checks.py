"""What must hold of a node at every moment, as its files tell it: each check yields what is wrong, in a line."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, StartRecord, SwitchRecord
from contract.modes import Mode, Wanted
from contract.request import Verdict

BEGINS: Final = frozenset({"started", "joined"})
OUTCOMES: Final = frozenset({"done", "refused", "superseded", "vms_failed"})


def journal_faults(records: Sequence[AnyRecord]) -> Iterator[str]:
    """Numbers without a gap, moves that follow on each other, each request once, each accepted one ended at most once.

    All accepted requests but the last have ended, for a node makes one journey at a time.
    """
    if [record.seq for record in records] != list(range(1, len(records) + 1)):
        yield f"numbers of the journal: {[record.seq for record in records]}"
    moves = [record for record in records if isinstance(record, MoveRecord)]
    for before, after in itertools.pairwise(moves):
        if (before.mode, before.position) != (after.from_mode, after.from_position):
            yield f"move {after.seq} does not follow on move {before.seq}"
    requests = [record for record in records if isinstance(record, RequestRecord)]
    for identity, times in Counter(request.id for request in requests).items():
        if times > 1:
            yield f"request {identity} stands {times} times in the journal"
    accepted = [request.id for request in requests if request.verdict == Verdict.ACCEPTED]
    switches = [record for record in records if isinstance(record, SwitchRecord)]
    ended = [switch.id for switch in switches]
    if ended not in (accepted, accepted[:-1]):
        yield f"accepted {accepted}, ended {ended}"
    yield from (f"{switch.id} ended as {switch.outcome}" for switch in switches if switch.outcome not in OUTCOMES)


def run_faults(records: Sequence[AnyRecord]) -> Iterator[str]:
    """No run is begun twice without having finished, or having been left by a daemon that ended, in between."""
    at_work: set[int] = set()
    for record in records:
        if isinstance(record, StartRecord):
            at_work.clear()
        if not isinstance(record, RunRecord):
            continue
        if record.what in BEGINS and record.run in at_work:
            yield f"record {record.seq}: run {record.run} {record.what}, though it is at work"
        if record.what in BEGINS:
            at_work.add(record.run)
        elif record.what == "finished":
            at_work.discard(record.run)


def wanted(records: Sequence[AnyRecord]) -> Wanted:
    """Returns what the last accepted request asked for; a refused one asks for nothing any more."""
    last, asked = "", Wanted.HLT
    for record in records:
        if isinstance(record, RequestRecord) and record.verdict == Verdict.ACCEPTED:
            last, asked = record.id, record.to
        elif isinstance(record, SwitchRecord) and record.id == last and record.outcome == "refused":
            asked = Wanted.HLT
    return asked


def newest_left(records: Sequence[AnyRecord]) -> int | None:
    """Returns the newest run that the node refused or left when it last left HLT; None when it has ended since.

    A newer one that was waited for in vain takes its place in the node's memory: then None as well.
    """
    left_at = max((i for i, record in enumerate(records) if _leaves(record)), default=None)
    if left_at is None:
        return None
    known: set[int] = set()
    for record in records[:left_at]:
        if isinstance(record, RunRecord) and record.what in BEGINS:
            known.add(record.run)
        elif isinstance(record, RunRecord) and record.what in ("finished", "dropped"):
            known.discard(record.run)
    since = [record for record in records[left_at:] if isinstance(record, RunRecord)]
    known |= {run.run for run in since if run.what == "refused"}
    newest = max(known, default=None)
    over = {run.run for run in records if isinstance(run, RunRecord) and run.what in ("ended", "vanished")}
    if newest is None or newest in over:
        return None
    in_vain = any(run.run > newest and run.what in ("dropped", "ended") for run in since)
    return None if in_vain else newest


def _leaves(record: AnyRecord) -> bool:
    return isinstance(record, MoveRecord) and record.from_mode is Mode.HLT and record.mode is not Mode.HLT


def joined_last(records: Sequence[AnyRecord]) -> Counter[int]:
    """Returns how often each run was joined since the node came back to HLT."""
    back = max(
        (i for i, record in enumerate(records) if isinstance(record, MoveRecord) and record.mode is Mode.HLT), default=0
    )
    return Counter(record.run for record in records[back:] if isinstance(record, RunRecord) and record.what == "joined")
