"""A damaged log: what can be read goes on, the rest is counted, and nothing is lost by looking after it."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.documents import BOX, KINDS, SWITCHOVER, Captured
from collector.log import rescue
from collector.log import upkeep as log_upkeep
from collector.log.schema import DROPPED_DAMAGED, MADE, LogTrouble
from collector.log.store import Keep, Log
from collector.shipping.bulk import Outcome
from collector.shipping.deliveries import Deliveries, Limits

EVER = Keep(days=1e6)
ALL = Limits(10_000, 1 << 30)
BOXES = 300


def box(time_s: float) -> Captured:
    return Captured(kind=BOX, host="fu-1", time_s=time_s, fields={"subsystem": "cdaq", "filling": "x" * 1000})


def switchover(number: int) -> Captured:
    return Captured(kind=SWITCHOVER, host="fu-1", time_s=0.0, fields={"subsystem": "cdaq"}, key=f"1-{number}")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Three hundred boxes, of which the sink has the newest hundred, and five switches."""
    log = Log(tmp_path / "log.sqlite", "fu-1", ("main",))
    log.open()
    log.append([switchover(number) for number in range(5)], 5, EVER, 0.0)
    log.append([box(float(time_s)) for time_s in range(BOXES)], 5, EVER, 0.0)
    deliveries = Deliveries(log.path, "main", log.doubt)
    newest = deliveries.newest(Limits(100, 1 << 30))
    deliveries.settle(newest, Outcome(delivered=tuple(row.number for row in newest.rows)))
    deliveries.close()
    log.close()
    yield log
    log.close()


def flip(path: Path, at: int, length: int = 64) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + length] = bytes(byte ^ 0xFF for byte in content[at : at + length])
    path.write_bytes(content)


def leaf(path: Path, share: float) -> int:
    """Returns where the page with boxes begins that has such a share of them before it."""
    content = path.read_bytes()
    size = int.from_bytes(content[16:18], "big")
    leaves = [at for at in range(size, len(content), size) if content[at] == 0x0D and b"xxx" in content[at : at + size]]
    return leaves[int(share * len(leaves))]


def rows(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT kind, id FROM documents").fetchall()


def drained(log: Log) -> set[float]:
    """Delivers all that is left, with a sample between two batches; returns the times of what was delivered."""
    deliveries = Deliveries(log.path, "main", log.doubt)
    times: set[float] = set()
    for _ in range(100):
        try:
            batch = deliveries.newest(Limits(50, 1 << 20, older=50))
            if not batch.rows and not batch.spans:
                break
            times.update(row.time_s for row in batch.rows if row.kind == BOX)
            deliveries.settle(batch, Outcome(delivered=tuple(row.number for row in batch.rows)))
        except LogTrouble:
            log.open()
            log.append((), log.cursor, EVER, 0.0)
    deliveries.close()
    return times


def assert_adds_up(log: Log) -> None:
    kept = Counter(kind for kind, _ in rows(log.path))
    for kind in KINDS:
        gone = sum(n for (of, what), n in log.counts.items() if of == kind and what != MADE)
        assert log.counts[kind, MADE] - gone == kept[kind]
    assert log_upkeep.standing(log.path).sinks["main"].adds_up


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
def test_a_damaged_page_takes_away_what_is_in_it_and_nothing_else(
    log: Log, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    flip(log.path, leaf(log.path, share))
    log.open()
    log.append([box(float(BOXES))], log.cursor, EVER, 0.0)
    times = drained(log)
    log.append((), log.cursor, EVER, 0.0)
    account = log.accounts["main"]
    lost = log.counts[BOX, DROPPED_DAMAGED]
    assert account.backlog == 0
    assert 0 < lost < 10
    assert log.counts[BOX, MADE] == BOXES + 1, "the count goes on where it was"
    assert len(times) >= 201 - lost
    assert float(BOXES) in times
    assert "documents could be read" in caplog.text
    assert_adds_up(log)


def test_damage_that_a_sink_meets_is_looked_after_at_the_next_sample(log: Log) -> None:
    log.open()
    log.append((), 5, EVER, 0.0)
    deliveries = Deliveries(log.path, "main", log.doubt)
    with closing(sqlite3.connect(log.path)) as connection:
        connection.execute("UPDATE documents SET body = CAST(body || x'0a' AS BLOB) WHERE time = 150.0")
        connection.commit()
    with pytest.raises(LogTrouble, match="torn"):
        deliveries.newest(ALL)
    log.open()
    log.append([box(float(BOXES))], log.cursor, EVER, 0.0)
    batch = deliveries.newest(ALL)
    assert (len(batch.rows), log.counts[BOX, DROPPED_DAMAGED]) == (205, 1)
    assert_adds_up(log)


def test_what_was_sampled_when_damage_is_found_is_kept(log: Log) -> None:
    with closing(sqlite3.connect(log.path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'pending'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    log.open()
    log.append((), 5, EVER, 0.0)
    log.close()
    flip(log.path, (root - 1) * size)
    log.open()
    log.append([box(float(BOXES)), switchover(5)], 6, EVER, 0.0)
    assert (log.cursor, log.counts[BOX, DROPPED_DAMAGED]) == (6, 0)
    assert Counter(kind for kind, _ in rows(log.path)) == {BOX: BOXES + 1, SWITCHOVER: 6}
    assert log.accounts["main"].backlog == BOXES + 7, "what was delivered is not known any more: all is sent again"
    assert_adds_up(log)


def test_lost_switches_come_again_from_the_journal(log: Log) -> None:
    flip(log.path, log.path.read_bytes().index(b"fu-1-switchover-1-2") - 300, 400)
    log.doubt(log.path.stat().st_ino)
    log.open()
    assert log.counts[SWITCHOVER, DROPPED_DAMAGED] > 0
    assert log.cursor == 0
    log.append([switchover(number) for number in range(5)], 5, EVER, 0.0)
    assert Counter(kind for kind, _ in rows(log.path))[SWITCHOVER] == 5
    assert_adds_up(log)


@pytest.mark.parametrize("seed", range(40))
def test_wherever_bytes_are_flipped_the_log_goes_on_and_adds_up(log: Log, seed: int) -> None:
    dice = random.Random(seed)
    size = log.path.stat().st_size
    for _ in range(dice.randint(1, 4)):
        flip(log.path, dice.randrange(size), dice.choice((1, 16, 200, 8192)))
    for at in range(4):
        log.open()
        try:
            log.append([box(1000.0 + at)], log.cursor, EVER, 0.0)
        except LogTrouble as error:
            pytest.fail(str(error))
    assert {1000.0, 1001.0, 1002.0, 1003.0} <= drained(log)
    log.doubt(log.path.stat().st_ino)  # what the sink had got already was not looked at
    log.open()
    log.append((), log.cursor, EVER, 0.0)
    assert_adds_up(log)


@pytest.mark.parametrize("step", ["begun", "whole", "moved"])
def test_a_kill_in_the_middle_loses_nothing(log: Log, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    flip(log.path, leaf(log.path, 0.5))
    numbers = len(rows_left := {identity for _, identity in _readable(log.path)})
    log.open()
    with monkeypatch.context() as broken:
        if step == "begun":
            broken.setattr(rescue, "_accounts", _die)
        elif step == "whole":
            broken.setattr(rescue, "put_in_place", _die)
        else:
            broken.setattr(rescue, "sync_folder", _die)
        with pytest.raises(SystemExit):
            log.doubt(log.path.stat().st_ino)
            log.open()
    log.close()
    again = Log(log.path, "fu-1", ("main",))
    again.open()
    again.append([box(float(BOXES))], again.cursor, EVER, 0.0)
    if step == "begun":
        again.doubt(log.path.stat().st_ino)
        again.open()
        again.append((), again.cursor, EVER, 0.0)
    assert numbers + 1 == len(rows_left | {identity for _, identity in rows(again.path)}) == len(rows(again.path))
    assert_adds_up(again)
    assert sorted(each.name for each in log.path.parent.iterdir() if "-" not in each.name) == [
        "log.sqlite",
        "log.sqlite.damaged",
    ]
    again.close()


def test_without_room_for_a_new_log_the_damaged_one_stays_where_it_is(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flip(log.path, leaf(log.path, 0.5))
    with monkeypatch.context() as full:
        full.setattr(rescue, "begin", _no_room)
        log.open()
        log.doubt(log.path.stat().st_ino)
        log.open()
        log.append([box(float(BOXES))], log.cursor, EVER, 0.0)
        assert "cannot be made anew (database or disk is full)" in caplog.text
    assert float(BOXES) in (times := drained(log))
    assert len(times) > 150
    assert_adds_up(log)


def _die(*_arguments: object) -> None:
    raise SystemExit


def _no_room(_path: Path) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def _readable(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return [(row[3], row[1]) for row in rescue._readable(connection)]
