"""Mode file, box file, journal, lock and paths, as others read and write them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract import lock
from contract.box import Box, BuBox, parse_box, read_box, write_box
from contract.errors import AlreadyRunning, Unreadable
from contract.journal import Journal, RunRecord, read_journal
from contract.modefile import read_mode, write_mode
from contract.modes import MODE_OF_CLOUD_STATE, MODES, Mode
from contract.paths import BuPaths, RunRef, parse_run, run_name
from contract.times import hltd_date, iso, unix

SAMPLES = Path(__file__).parent.parent / "samples" / "boxes"
WHEN = "2026-11-23T10:00:00.000000Z"


# Mode file


@pytest.mark.parametrize("mode", list(Mode))
def test_the_mode_file_holds_the_name_and_nothing_else(tmp_path: Path, mode: Mode) -> None:
    path = tmp_path / "mode"
    write_mode(path, mode)
    assert path.read_bytes() == mode.value.encode()
    assert read_mode(path) is mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["mode"]


@pytest.mark.parametrize("content", [b"", b"hlt", b"HLT cloud", b"\xff\xfe", b"x" * 100_000])
def test_a_word_that_is_no_mode_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mode"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match="is not a mode; known are HLT, activatingCloud, cloud, deactivatingCloud"):
        read_mode(path)


def test_a_mode_file_with_a_newline_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "mode").write_text("cloud\n")
    assert read_mode(tmp_path / "mode") is Mode.CLOUD


def test_every_mode_has_its_own_code_colour_and_cloud_state() -> None:
    assert [facts.code for facts in MODES.values()] == [0, 1, 2, 3]
    assert len({facts.colour for facts in MODES.values()}) == 4
    assert [facts.cloud_state for facts in MODES.values()] == ["off", "starting", "on", "stopping"]
    assert MODE_OF_CLOUD_STATE["resourcesMasked"] is Mode.HLT


# Box file


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda path: path.stem)
def test_every_sample_is_read(sample: Path) -> None:
    box = read_box(sample)
    assert isinstance(box, BuBox if sample.stem == "bu" else Box)


def test_a_box_is_rewritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "fu-1"
    box = read_box(SAMPLES / "fu-off-run.json")
    path.write_bytes(b"x" * 100_000)
    inode = path.stat().st_ino
    write_box(path, box)
    assert read_box(path) == box
    assert path.stat().st_ino == inode


def test_a_writer_caught_half_way_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "fu-1"
    path.write_bytes(b'{"version": 5, "idl')
    script = f"import time, shutil; time.sleep(0.2); shutil.copy({str(SAMPLES / 'fu-off-run.json')!r}, {str(path)!r})"
    with subprocess.Popen([sys.executable, "-S", "-c", script]):
        assert isinstance(read_box(path, attempts=500), Box)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a box file"),
        (b"[]", "not a box file"),
        (b'{"version": 4}', "version 4; this program reads version 5"),
        (b"{}", "version None"),
        (b'{"version": 5}', "missing required field"),
    ],
)
def test_what_is_no_box_is_said_to_be_none(content: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        parse_box(content, "boxes/fu-1")


# Journal


def run_record(seq: int) -> RunRecord:
    return RunRecord(seq=seq, time=WHEN, run=100, what="started")


def test_records_come_back_in_order_and_none_twice(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append([run_record(1), run_record(2)])
    journal.append([run_record(2), run_record(3)])
    journal.close()
    assert [record.seq for record in read_journal(path)] == [1, 2, 3]
    assert [record.seq for record in read_journal(path, after=2)] == [3]


def test_a_line_torn_by_a_power_cut_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append([run_record(1), run_record(2)])
    journal.close()
    os.truncate(path, path.stat().st_size - 7)
    assert [record.seq for record in read_journal(path)] == [1]
    journal = Journal(path)
    assert journal.last_seq == 1
    journal.append([run_record(2)])
    journal.close()
    assert [record.seq for record in read_journal(path)] == [1, 2]


def test_a_line_that_is_no_record_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append([run_record(1)])
    with path.open("ab") as file:
        file.write(b'{"kind": "from a later version", "seq": 2}\n\xff\xfe\n')
    journal.append([run_record(3)])
    journal.close()
    assert [record.seq for record in read_journal(path)] == [1, 3]


def test_without_a_journal_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "none")) == []


# Lock, names, times


def test_a_second_holder_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "switcher.lock"
    held = lock.hold(path, "a switcher")
    try:
        with pytest.raises(AlreadyRunning, match=f"a switcher already serves this node .pid {os.getpid()}."):
            lock.hold(path, "a switcher")
    finally:
        os.close(held)
    os.close(lock.hold(path, "a switcher"))


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("run000100", RunRef(100)),
        ("run000100_bu-c2f01", RunRef(100, "bu-c2f01")),
        ("run1234567", RunRef(1_234_567)),
        ("run100", None),
        ("run000100_", None),
        ("run000100_../x", None),
        ("run\u0660\u0660\u0660\u0661\u0660\u0660", None),
        ("run000100x", None),
        ("end000100", None),
    ],
)
def test_run_directories_are_told_from_others(name: str, run: RunRef | None) -> None:
    assert parse_run(name) == run


def test_a_run_goes_on_while_its_directory_is_there_without_an_eor(tmp_path: Path) -> None:
    bu = BuPaths(tmp_path)
    assert not bu.ongoing(100)
    bu.run_dir(100).mkdir()
    assert bu.ongoing(100)
    assert bu.last_lumisection(100) == 0
    for lumisection in (9, 10, 11):
        bu.eols(100, lumisection).touch()
    assert bu.last_lumisection(100) == 11
    bu.eor(100).touch()
    assert not bu.ongoing(100)
    assert run_name(100) == "run000100"


def test_a_bu_that_is_gone_is_no_end_of_a_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BuPaths(tmp_path / "unmounted").ongoing(100)


def test_times_are_utc_and_come_back() -> None:
    assert iso(0.5) == "1970-01-01T00:00:00.500000Z"
    assert hltd_date(0.5) == "1970-01-01T00:00:00.500000"
    assert unix(iso(1_800_000_000.25)) == unix(hltd_date(1_800_000_000.25)) == 1_800_000_000.25
