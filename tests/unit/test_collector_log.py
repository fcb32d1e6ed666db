"""The log: nothing twice, nothing lost in silence, and always a log, whatever is found on disk."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.documents import BOX, SWITCHOVER, Captured
from collector.history.logs import switchovers
from collector.log.schema import DROPPED_AGE, DROPPED_BYTES, DROPPED_UNWRITTEN, MADE, LogTrouble
from collector.log.store import Keep, Log
from contract.errors import Surroundings, Unreadable

EVER = Keep(days=1e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    log = Log(path)
    log.open()
    yield log
    log.close()


def box(time_s: float = 0.0, size: int = 10) -> Captured:
    return Captured(kind=BOX, host="fu-1", time_s=time_s, fields={"filling": "x" * size})


def switchover(seq: int, time_s: float = 0.0) -> Captured:
    fields = {
        "host": "fu-1", "switch_id": f"r{seq}", "from_mode": "HLT", "to": "cloud", "outcome": "done",
        "started": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:00:01Z", "duration_s": 1.0, "phases": {},
    }  # fmt: skip
    return Captured(kind=SWITCHOVER, host="fu-1", time_s=time_s, fields=dict(fields), key=f"{seq}-1")


def rows(path: Path) -> list[tuple[int, str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT number, id, kind FROM documents ORDER BY number").fetchall()


def kept(path: Path) -> Counter[str]:
    return Counter(kind for _, _, kind in rows(path))


def balance_holds(log: Log) -> bool:
    counts, left = log.counts, kept(log.path)
    reasons = (DROPPED_AGE, DROPPED_BYTES, DROPPED_UNWRITTEN)
    return all(
        counts[kind, MADE] == left[kind] + sum(counts[kind, why] for why in reasons) for kind in (BOX, SWITCHOVER)
    )


def test_documents_cursor_and_counts_are_there_after_a_restart(path: Path, log: Log) -> None:
    log.append([switchover(3), box()], 5, EVER, 0.0)
    log.close()
    again = Log(path)
    again.open()
    assert (again.cursor, again.counts[BOX, MADE], again.counts[SWITCHOVER, MADE]) == (5, 1, 1)
    assert [identity for _, identity, kind in rows(path) if kind == SWITCHOVER] == ["fu-1-switchover-3-1"]
    again.close()


def test_a_switch_that_comes_again_is_neither_stored_nor_counted_twice(log: Log) -> None:
    log.append([switchover(1)], 1, EVER, 0.0)
    log.append([switchover(1), switchover(2)], 2, EVER, 0.0)
    assert kept(log.path)[SWITCHOVER] == 2
    assert log.counts[SWITCHOVER, MADE] == 2


def test_an_append_that_fails_leaves_nothing_behind(log: Log) -> None:
    log.append([box()], 1, EVER, 0.0)
    with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER no BEFORE INSERT ON documents WHEN new.kind = 'box' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        with pytest.raises(LogTrouble, match="not written"):
            log.append([switchover(1), box()], 2, EVER, 0.0)
        other.execute("DROP TRIGGER no")
    log.open()
    assert (log.cursor, kept(log.path)) == (1, Counter({BOX: 1}))
    assert log.counts[BOX, DROPPED_UNWRITTEN] == 1
    log.append([switchover(1), box()], 2, EVER, 0.0)
    assert (log.cursor, kept(log.path)) == (2, Counter({BOX: 2, SWITCHOVER: 1}))
    assert balance_holds(log)


def test_boxes_go_by_age_and_switchovers_stay(log: Log) -> None:
    day_s = 86400.0
    log.append([box(0.0), switchover(1, 0.0), box(9.5 * day_s)], 1, EVER, 0.0)
    log.append([box(10 * day_s)], 1, Keep(days=7), 10 * day_s)
    assert kept(log.path) == Counter({BOX: 2, SWITCHOVER: 1})
    assert log.counts[BOX, DROPPED_AGE] == 1
    assert balance_holds(log)


def test_a_full_log_lets_the_oldest_boxes_go_and_stays_within_its_bytes(log: Log) -> None:
    keep = Keep(days=1e6, bytes=200_000)
    for at in range(60):
        log.append([box(at * 10 + n, 1000) for n in range(10)] + [switchover(at, 0.0)], at, keep, 0.0)
    assert log.used_bytes <= keep.bytes
    assert kept(log.path)[SWITCHOVER] == 60
    assert log.counts[BOX, DROPPED_BYTES] > 0
    numbers = [number for number, _, kind in rows(log.path) if kind == BOX]
    newest = max(number for number, _, _ in rows(log.path))
    assert newest - numbers[0] < 600 - 100, "what is left must be the newest"
    assert balance_holds(log)


def test_switchovers_go_when_there_is_nothing_else_to_drop(log: Log) -> None:
    keep = Keep(days=1e6, bytes=120_000)
    for at in range(40):
        log.append([switchover(at * 20 + n, at * 20.0 + n) for n in range(20)], at, keep, 0.0)
    assert log.used_bytes <= keep.bytes
    assert log.counts[SWITCHOVER, DROPPED_BYTES] > 0
    assert balance_holds(log)


def test_a_clock_far_ahead_takes_away_little_at_once(log: Log) -> None:
    log.append([box(float(at)) for at in range(1000)], 0, EVER, 0.0)
    log.append([box()], 0, Keep(days=1), time.time())
    assert kept(log.path)[BOX] > 900


@pytest.mark.parametrize("content", [b"not a database, but long enough to be taken for one" * 40, b"SQLite format 3\0"])
def test_a_damaged_file_is_moved_aside_and_the_log_begun_anew(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    log = Log(path)
    log.open()
    log.append([box()], 1, EVER, 0.0)
    log.close()
    assert kept(path) == Counter({BOX: 1})
    assert path.with_name("telemetry.sqlite.damaged").read_bytes() == content
    assert "moved to telemetry.sqlite.damaged" in caplog.text


def test_a_database_of_something_else_is_moved_aside_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE treasure (what TEXT)")
        other.execute("PRAGMA user_version = 9")
    log = Log(path)
    log.open()
    log.append([box()], 1, EVER, 0.0)
    log.close()
    with closing(sqlite3.connect(path.with_name("telemetry.sqlite.damaged"))) as other:
        assert other.execute("SELECT count(*) FROM treasure").fetchone() == (0,)


def test_a_log_taken_away_is_begun_anew_and_gives_out_no_number_twice(path: Path, log: Log) -> None:
    log.append([box()], 4, EVER, 0.0)
    before = rows(path)
    path.rename(path.with_name("taken"))
    time.sleep(0.01)
    log.open()
    assert log.cursor == 0
    log.append([box()], 1, EVER, 0.0)
    after = rows(path)
    assert len(after) == 1
    assert not {identity for _, identity, _ in after} & {identity for _, identity, _ in before}


def test_without_a_folder_the_log_says_why_and_counts_what_is_lost(tmp_path: Path) -> None:
    log = Log(tmp_path / "later" / "telemetry.sqlite")
    log.open()
    with pytest.raises(LogTrouble, match="cannot be opened"):
        log.append([box(), switchover(1)], 1, EVER, 0.0)
    (tmp_path / "later").mkdir()
    log.open()
    log.append([box()], 0, EVER, 0.0)
    assert (log.counts[BOX, MADE], log.counts[BOX, DROPPED_UNWRITTEN]) == (2, 1)
    assert balance_holds(log)
    log.close()


def test_a_log_is_read_while_it_is_written(log: Log) -> None:
    log.append([switchover(1)], 1, EVER, 0.0)
    reading = switchovers(log.path)
    assert next(reading)[0] == "fu-1-switchover-1-1"
    log.append([switchover(2)], 2, EVER, 0.0)
    reading.close()  # type: ignore[attr-defined]  # it is a generator
    assert [found.switch_id for _, found in switchovers(log.path)] == ["r1", "r2"]


def test_reading_a_log_that_nobody_writes_leaves_no_file_beside_it(path: Path, log: Log) -> None:
    log.append([switchover(1)], 1, EVER, 0.0)
    log.close()
    assert len(list(switchovers(path))) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(Surroundings, match="no such log"):
        list(switchovers(tmp_path / "none"))
    (tmp_path / "text").write_text("hello, this is a text" * 100)
    with pytest.raises(Unreadable, match="cannot be read as a log"):
        list(switchovers(tmp_path / "text"))
