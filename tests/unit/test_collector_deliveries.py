"""The backlog of a sink: whatever happens in whatever order, every document is delivered, dead, dropped or waiting."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from collector.documents import BOX, SWITCHOVER, Captured
from collector.log import ledger
from collector.log import upkeep as log_upkeep
from collector.log.pending import holds
from collector.log.reading import opened
from collector.log.schema import LogTrouble
from collector.log.store import Keep, Log
from collector.shipping.bulk import Fault, Outcome
from collector.shipping.deliveries import Batch, Deliveries, Limits

EVER = Keep(days=1e6)
ALL = Limits(10_000, 1 << 30)


def box(time_s: float = 0.0, size: int = 10) -> Captured:
    return Captured(kind=BOX, host="fu-1", time_s=time_s, fields={"subsystem": "cdaq", "filling": "x" * size})


def switchover(key: str) -> Captured:
    return Captured(kind=SWITCHOVER, host="fu-1", time_s=0.0, fields={}, key=key)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path / "log.sqlite", "fu-1", ("main",))
    log.open()
    return log


@pytest.fixture
def deliveries(log: Log) -> Deliveries:
    return Deliveries(log.path, "main", log.doubt)


def append(log: Log, *documents: Captured, keep: Keep = EVER, now_s: float = 0.0) -> None:
    log.append(documents, 0, keep, now_s)


def delivered(batch: Batch) -> Outcome:
    return Outcome(delivered=tuple(row.number for row in batch.rows))


def test_the_newest_go_first_and_the_rest_follows(log: Log, deliveries: Deliveries) -> None:
    append(log, *[box(float(time_s)) for time_s in range(10)])
    first = deliveries.newest(Limits(4, 1 << 20))
    assert [row.time_s for row in first.rows] == [9, 8, 7, 6]
    append(log, box(10.0))
    deliveries.settle(first, delivered(first))
    second = deliveries.newest(Limits(4, 1 << 20))
    assert [row.time_s for row in second.rows] == [10, 5, 4, 3]
    deliveries.settle(second, delivered(second))
    assert [row.time_s for row in deliveries.newest(ALL).rows] == [2, 1, 0]


def test_a_batch_is_bounded_by_bytes_but_for_one_document(log: Log, deliveries: Deliveries) -> None:
    append(log, box(1.0, 100), box(2.0, 100), box(3.0, 5000))
    batch = deliveries.newest(Limits(10, 1000))
    assert [row.time_s for row in batch.rows] == [3]
    deliveries.settle(batch, delivered(batch))
    assert [row.time_s for row in deliveries.newest(Limits(10, 1000)).rows] == [2, 1]


def test_of_what_is_old_no_more_comes_than_may(log: Log, deliveries: Deliveries) -> None:
    append(log, *[box(float(time_s)) for time_s in range(10)])
    assert [row.time_s for row in deliveries.newest(Limits(10, 1 << 20, since_s=8.0, older=1)).rows] == [9, 8, 7]
    batch = deliveries.newest(Limits(10, 1 << 20, since_s=8.0))
    deliveries.settle(batch, delivered(batch))
    assert deliveries.newest(Limits(10, 1 << 20, since_s=8.0)).rows == ()
    assert len(deliveries.newest(Limits(10, 1 << 20, since_s=8.0, older=100)).rows) == 8


def test_a_sink_that_comes_later_gets_all_that_the_log_has(log: Log) -> None:
    append(log, box(), box())
    log.sinks = ("main", "other")
    append(log, box())
    assert {name: account.backlog for name, account in log.accounts.items()} == {"main": 3, "other": 3}
    assert len(Deliveries(log.path, "other", log.doubt).newest(ALL).rows) == 3


def test_a_sink_that_is_not_configured_for_a_while_misses_nothing(log: Log, deliveries: Deliveries) -> None:
    append(log, box())
    log.sinks = ()
    append(log, box())
    log.sinks = ("main",)
    append(log, box())
    assert len(deliveries.newest(ALL).rows) == 3


def test_a_document_that_came_before_is_not_captured_again(log: Log, deliveries: Deliveries) -> None:
    append(log, switchover("1"), switchover("2"))
    append(log, switchover("2"), switchover("1"))
    assert log.accounts["main"].captured == 2
    batch = deliveries.newest(ALL)
    deliveries.settle(batch, delivered(batch))
    assert deliveries.newest(ALL).rows == ()


def test_what_the_log_drops_while_it_is_on_its_way_is_counted_once(log: Log, deliveries: Deliveries) -> None:
    append(log, box(0.0), box(1e9))
    batch = deliveries.newest(ALL)
    append(log, keep=Keep(days=1.0), now_s=1e9)
    deliveries.settle(batch, delivered(batch))
    append(log)
    account = log.accounts["main"]
    assert (account.captured, account.delivered, account.dropped, account.backlog) == (2, 1, 1, 0)


def test_what_is_on_its_way_is_not_read_again(log: Log, deliveries: Deliveries) -> None:
    append(log, *[box(float(time_s)) for time_s in range(6)])
    first = deliveries.newest(Limits(2, 1 << 20))
    second = deliveries.newest(Limits(2, 1 << 20), first.spans)
    assert [row.time_s for row in first.rows + second.rows] == [5, 4, 3, 2]
    assert (first.more, second.more) == (True, True)
    deliveries.settle(second, delivered(second))
    deliveries.settle(first, delivered(first))
    last = deliveries.newest(Limits(2, 1 << 20))
    assert ([row.time_s for row in last.rows], last.more) == ([1, 0], False)


def test_a_log_begun_anew_is_owed_nothing_for_what_was_read_from_its_predecessor(
    log: Log, deliveries: Deliveries
) -> None:
    append(log, box())
    batch = deliveries.newest(ALL)
    log.path.rename(log.path.with_name("gone"))
    log.open()
    append(log, box(), box())
    deliveries.settle(batch, delivered(batch))
    append(log)
    assert (log.accounts["main"].delivered, log.accounts["main"].backlog) == (0, 2)


def test_a_log_that_is_taken_away_and_one_in_its_place(log: Log, deliveries: Deliveries) -> None:
    append(log, box())
    assert len(deliveries.newest(ALL).rows) == 1
    log.path.rename(log.path.with_name("gone"))
    with pytest.raises(LogTrouble, match="no such log"):
        deliveries.newest(ALL)
    log.open()
    append(log, box(), box())
    assert len(deliveries.newest(ALL).rows) == 2


def test_another_agents_documents_of_a_host_have_other_ids(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.sqlite", "bu-1", ("main",))
    log.open()
    append(log, box())
    (row,) = Deliveries(log.path, "main", log.doubt).newest(ALL).rows
    assert row.id == f"fu-1-box-bu-1-{row.number}"
    assert row.index_name == "hltmode-box-cdaq-1970.01.01"


def test_dead_letters_are_bounded_and_the_newest_stay(
    log: Log, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "DEAD_AT_MOST", 3)
    append(log, *[box(float(time_s)) for time_s in range(5)])
    batch = deliveries.newest(ALL)
    deliveries.settle(batch, Outcome(dead=tuple((row.number, "bad") for row in batch.rows)))
    letters = log_upkeep.dead_letters(log.path, "main")
    assert [letter.number for letter in letters] == sorted(row.number for row in batch.rows)[-3:]
    append(log)
    account = log.accounts["main"]
    assert (account.dead, account.dead_letters, account.backlog) == (5, 3, 0)


class Backlog(RuleBasedStateMachine):
    """Appends, sends, loses, drops, replays and restarts in any order, beside a model of plain sets."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.log = Log(self.folder / "log.sqlite", "fu-1", ("main",))
        self.log.open()
        append(self.log)
        self.deliveries = Deliveries(self.log.path, "main", self.log.doubt)
        self.flying: Batch | None = None
        self.sent: set[int] = set()
        self.now_s = 0.0

    @rule(n=st.integers(1, 8))
    def append(self, n: int) -> None:
        self.now_s += 1.0
        append(self.log, *[box(self.now_s) for _ in range(n)])

    @rule(seconds=st.integers(0, 5))
    def drop(self, seconds: int) -> None:
        append(self.log, keep=Keep(days=seconds / 86400), now_s=self.now_s)

    @precondition(lambda self: self.flying is None)
    @rule(documents=st.integers(1, 6), age_s=st.integers(0, 5), older=st.integers(0, 6))
    def take(self, documents: int, age_s: int, older: int) -> None:
        self.flying = self.deliveries.newest(Limits(documents, 1 << 20, self.now_s - age_s, older))
        assert len(self.flying.rows) <= documents
        numbers = [row.number for row in self.flying.rows]
        assert numbers == sorted(numbers, reverse=True)

    @precondition(lambda self: self.flying is not None)
    @rule(fates=st.lists(st.sampled_from(["delivered", "dead", "again"]), min_size=6, max_size=6))
    def settle(self, fates: list[str]) -> None:
        assert self.flying is not None
        of = {fate: [row.number for row, each in zip(self.flying.rows, fates, strict=False) if each == fate]
              for fate in ("delivered", "dead", "again")}  # fmt: skip
        outcome = Outcome(
            tuple(of["delivered"]), tuple((number, "bad") for number in of["dead"]), tuple(of["again"]), Fault.BUSY
        )
        self.deliveries.settle(self.flying, outcome)
        self.sent |= {*of["delivered"], *of["dead"]}
        self.flying = None

    @rule()
    def lose_what_is_on_its_way(self) -> None:
        """Whether it arrived nobody knows: it is sent again."""
        self.flying = None

    @rule(age_s=st.integers(0, 5))
    def replay(self, age_s: int) -> None:
        log_upkeep.replay(self.log.path, "main", self.now_s - age_s)
        self.sent -= {number for number, time_s in self.rows() if time_s >= self.now_s - age_s}

    @rule()
    def retry(self) -> None:
        listed = {letter.number for letter in log_upkeep.dead_letters(self.log.path, "main") if letter.kept}
        log_upkeep.retry(self.log.path, "main")
        self.sent -= listed

    @rule()
    def restart(self) -> None:
        self.log.close()
        self.deliveries.close()
        self.log = Log(self.log.path, "fu-1", ("main",))
        self.log.open()
        self.deliveries = Deliveries(self.log.path, "main", self.log.doubt)

    def rows(self) -> list[tuple[int, float]]:
        with opened(self.log.path) as connection:
            return connection.execute("SELECT number, time FROM documents").fetchall()

    @invariant()
    def every_document_is_somewhere(self) -> None:
        standing = log_upkeep.standing(self.log.path).sinks["main"]
        assert standing.adds_up, standing
        with opened(self.log.path) as connection:
            pending = ledger.pending(connection, "main")
        for number, _ in self.rows():
            assert holds(pending, number) != (number in self.sent), (number, pending, self.sent)

    def teardown(self) -> None:
        self.log.close()
        self.deliveries.close()
        shutil.rmtree(self.folder)


Backlog.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBacklog = Backlog.TestCase
