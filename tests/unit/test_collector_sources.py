"""What the collector reads from real files: journals that grow, restart or tear, boxes that hang."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.sources import files as sources
from collector.sources.files import BoxSource, JournalSource, ModeSource, cores
from contract.box import parse_box, write_box
from contract.journal import Journal
from contract.modefile import write_mode
from contract.modes import Mode
from contract.paths import NodePaths
from tests.integration.node import wait_for
from tests.unit.test_collector_facts import NOW_S, ended, make_box, move


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.jsonl")
    yield journal
    journal.close()


def test_switches_after_the_cursor_come_once_and_the_view_follows(tmp_path: Path, journal: Journal) -> None:
    source = JournalSource(tmp_path / "journal.jsonl")
    journal.append([move(1, Mode.HLT, Mode.CLOUD, 1), ended(2, 2)])
    first = source.read(0)
    assert ([record.seq for record in first.records], first.upto) == ([2], 2)
    assert source.read(2).records == ()
    journal.append([move(3, Mode.CLOUD, Mode.HLT, 3), ended(4, 4)])
    second = source.read(2)
    assert ([record.seq for record in second.records], second.upto) == ([4], 4)
    assert source.view.mode is Mode.HLT


def test_switches_that_could_not_be_kept_come_again(tmp_path: Path, journal: Journal) -> None:
    source = JournalSource(tmp_path / "journal.jsonl")
    journal.append([ended(1, 1)])
    assert [record.seq for record in source.read(0).records] == [1]
    assert [record.seq for record in source.read(0).records] == [1]


def test_a_long_journal_is_taken_up_piece_by_piece(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SWITCHES_AT_ONCE", 3)
    journal.append([ended(seq, seq) for seq in range(1, 9)])
    source = JournalSource(tmp_path / "journal.jsonl")
    cursor, pieces = 0, []
    for _ in range(4):
        new = source.read(cursor)
        cursor = new.upto
        pieces.append([record.seq for record in new.records])
    assert pieces == [[1, 2, 3], [4, 5, 6], [7, 8], []]
    assert source.view.seq == 8


def test_a_torn_last_line_is_waited_for(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "journal.jsonl"
    source = JournalSource(path)
    journal.append([ended(1, 1)])
    line = msgspec.json.encode(ended(2, 2))
    with path.open("ab") as file:
        file.write(line[:20])
    assert source.read(0).upto == 1
    with path.open("ab") as file:
        file.write(line[20:] + b"\n")
    assert [record.seq for record in source.read(1).records] == [2]


def test_a_journal_begun_anew_is_read_from_its_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.jsonl"
    old = Journal(path)
    old.append([ended(seq, seq) for seq in range(1, 6)])
    old.close()
    source = JournalSource(path)
    assert source.read(0).upto == 5
    path.unlink()
    new = Journal(path)
    new.append([ended(1, 1, "other")])
    new.close()
    found = source.read(5)
    assert ([record.id for record in found.records], found.upto) == (["other"], 1)
    assert "begun anew" in caplog.text


def test_a_record_without_real_times_is_passed_over_and_said(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append([msgspec.structs.replace(ended(1, 1), started="soon"), ended(2, 2)])
    found = JournalSource(tmp_path / "journal.jsonl").read(0)
    assert [record.seq for record in found.records] == [2]
    assert "record 1 passed over" in caplog.text


def test_the_mode_file_is_changed_until_it_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = ModeSource(tmp_path / "mode")
    assert source.read() is None
    assert not source.changed()
    write_mode(tmp_path / "mode", Mode.CLOUD)
    assert source.changed()
    found = source.read()
    assert found is not None and found.mode is Mode.CLOUD
    assert not source.changed()
    (tmp_path / "mode").write_text("clout")
    assert source.read() is None
    assert source.read() is None
    assert caplog.text.count("is not a mode") == 1


@pytest.mark.usefixtures("files_answer")
def test_the_last_good_box_is_kept_while_its_file_is_missing_or_no_box(tmp_path: Path) -> None:
    path = tmp_path / "fu-1"
    source = BoxSource(path, 60.0)
    try:
        assert (source.read().box, source.read().failed) == (None, True)
        write_box(path, make_box(idles=3))
        seen = source.read()
        assert seen.box is not None and (seen.box.idles, seen.failed) == (3, False)
        os.utime(path, (NOW_S, NOW_S))
        assert source.read().changed_s == NOW_S
        path.write_text("{")
        seen = source.read()
        assert seen.box is not None and (seen.box.idles, seen.failed) == (3, True)
    finally:
        source.stop()


def test_a_box_that_hangs_costs_one_short_wait_and_is_taken_up_when_it_answers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder's mount hangs, which is as if one read a pipe into which nobody writes."""
    path = tmp_path / "fu-1"
    os.mkfifo(path)
    monkeypatch.setattr(sources, "read_box", lambda path: parse_box(path.read_bytes(), str(path)))
    source = BoxSource(path, 0.3)
    try:
        wait_for("the box is said to hang", lambda: source.read().failed)
        assert "no answer within 0.3 s" in caplog.text
        with path.open("wb") as held:
            held.write(msgspec.json.encode(make_box(idles=2)))
        wait_for("the box is taken up", lambda: not source.read().failed)
    finally:
        source.stop()


def test_cores_are_counted_where_they_lie_for_a_leaving_node_masks_them_in_its_box(tmp_path: Path) -> None:
    paths = NodePaths("fu-1", tmp_path, tmp_path / "resources", tmp_path, tmp_path)
    for state, core in (("idle", 0), ("online", 1), ("online", 2), ("except", 3), ("cloud", 4)):
        paths.tokens(state).mkdir(parents=True, exist_ok=True)
        (paths.tokens(state) / f"core{core}").touch()
    (paths.tokens("idle") / "README").touch()
    masked = make_box("starting", idles=0, cloud=5)
    assert cores(paths, masked) == {"idle": 1, "used": 2, "broken": 1, "cloud": 1}


def test_without_token_folders_the_box_says_how_many_cores(tmp_path: Path) -> None:
    paths = NodePaths("fu-1", tmp_path, tmp_path / "none", tmp_path, tmp_path)
    assert cores(paths, make_box(idles=3, quarantined=1)) == {
        "idle": 3, "used": 0, "broken": 0, "quarantined": 1, "cloud": 0,
    }  # fmt: skip
    assert cores(paths, None) == {}
