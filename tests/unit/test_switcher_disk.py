"""State file, core tokens and command files on disk, and what a kill between two writes leaves."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from contract.journal import Journal, RunRecord, read_journal
from contract.modefile import read_mode, write_mode
from contract.modes import Mode, Wanted
from contract.paths import NodePaths, RunRef
from simulator.node_files import lay_out
from switcher import intake, run_files, tokens
from switcher.intake import RunDirectories
from switcher.states import Position, State
from switcher.store import Store
from switcher.timeline import Now, Timeline

TIMELINE = Timeline(mode_since=Now(1.0, 2.0), boot_id="boot")


@pytest.fixture
def paths(tmp_path: Path) -> NodePaths:
    paths = lay_out(tmp_path, "fu-1", cores=4).paths
    tokens.prepare(paths)
    return paths


def record(seq: int) -> RunRecord:
    return RunRecord(seq=seq, time="2026-11-23T10:00:00.000000Z", run=100, what="started")


# State file


def test_what_is_saved_is_loaded(paths: NodePaths) -> None:
    state = State(position=Position.DRAINING, wanted=Wanted.CLOUD, waiting=RunRef(7, "bu"))
    store = Store(paths)
    store.save(state, TIMELINE, [record(1)])
    store.close()
    saved = Store(paths).load()
    assert saved is not None
    assert (saved.state, saved.timeline) == (state, TIMELINE)


def test_a_kill_between_state_file_and_journal_loses_and_doubles_no_record(paths: NodePaths) -> None:
    store = Store(paths)
    store.save(State(), TIMELINE, [record(1)])
    store.save(State(), TIMELINE, [record(2), record(3)])
    store.close()
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    paths.journal.write_bytes(lines[0])
    for _ in range(2):
        store = Store(paths)
        store.load()
        store.close()
        assert [record.seq for record in read_journal(paths.journal)] == [1, 2, 3]


def test_a_state_file_that_cannot_be_understood_is_moved_aside(paths: NodePaths) -> None:
    paths.state.write_text('{"format": 1, "state": {"position": "on the moon"}}')
    store = Store(paths)
    assert store.load() is None
    assert len(list(paths.state_dir.glob("state.json.damaged-*"))) == 1
    store.save(State(), TIMELINE, [])
    assert store.load() is not None


# Core tokens


def test_every_token_of_whatever_state_moves_to_cloud_and_back_to_idle(paths: NodePaths) -> None:
    tokens.move(paths, ["core0"], "online")
    tokens.move(paths, ["core1"], "except")
    tokens.move(paths, ["core2"], "quarantined")
    tokens.move_to_cloud(paths)
    assert tokens.scan(paths).cloud == ("core0", "core1", "core2", "core3")
    assert tokens.count_cloud(paths) == 4
    tokens.move_from_cloud(paths)
    assert tokens.scan(paths).idle == ("core0", "core1", "core2", "core3")


def test_names_that_are_no_tokens_are_left_alone(paths: NodePaths) -> None:
    for name in ("README", "core", "corex", "core\u0661", ".core5"):
        (paths.tokens("idle") / name).touch()
    assert tokens.scan(paths).total == 4
    tokens.move_to_cloud(paths)
    assert (paths.tokens("idle") / "README").exists()


def test_a_token_in_two_folders_is_one_token_afterwards(paths: NodePaths) -> None:
    (paths.tokens("online") / "core0").touch()
    tokens.move_to_cloud(paths)
    found = tokens.scan(paths)
    assert (len(found.cloud), found.outside) == (4, 0)


def test_a_token_that_is_nowhere_is_said_and_the_rest_moves(paths: NodePaths, caplog: pytest.LogCaptureFixture) -> None:
    tokens.move(paths, ["core0", "core9"], "online")
    assert "core token core9 is in none of the folders" in caplog.text
    assert tokens.scan(paths).online == ("core0",)


def test_tokens_are_counted_in_numeric_order(paths: NodePaths) -> None:
    (paths.tokens("idle") / "core10").touch()
    assert tokens.scan(paths).idle[-1] == "core10"


# Command files


def test_commands_are_taken_in_the_order_they_were_made_and_include_wins_a_tie(paths: NodePaths) -> None:
    for name, when_ns in (("exclude", 2_000), ("include", 1_000), ("excludenow", 2_000)):
        paths.command(name).touch()
        os.utime(paths.command(name), ns=(when_ns, when_ns))
    assert intake.look(paths).commands[0] == "include"
    os.utime(paths.command("include"), ns=(2_000, 2_000))
    assert intake.look(paths).commands[-1] == "include"


def test_a_command_taken_before_a_kill_is_taken_again_under_the_same_id(paths: NodePaths) -> None:
    paths.command("exclude").touch()
    first = intake.take(paths, "exclude")
    (name,) = intake.look(paths).commands
    again = intake.take(paths, name)
    assert first is not None
    assert again == first


def test_a_command_made_while_the_last_one_is_dealt_with_is_another_request(paths: NodePaths) -> None:
    paths.command("exclude").touch()
    first = intake.take(paths, "exclude")
    assert first is not None
    paths.command("exclude").touch()
    intake.drop(first.taken)
    second = intake.take(paths, "exclude")
    assert second is not None
    assert second.request.id != first.request.id


@pytest.mark.parametrize(
    ("content", "who", "reason"),
    [
        (b"", "file", ""),
        (b"  \n", "file", ""),
        (b'{"who": "Anna", "reason": "fill gap"}', "Anna", "fill gap"),
        (b"please\x00 go\n", "file", "please go"),
        (b"\xff\xfe", "file", "\ufffd\ufffd"),
    ],
)
def test_a_command_file_may_say_who_and_why(paths: NodePaths, content: bytes, who: str, reason: str) -> None:
    paths.command("exclude").write_bytes(content)
    command = intake.take(paths, "exclude")
    assert command is not None
    assert (command.request.who, command.request.reason) == (who, reason)


@pytest.mark.parametrize("content", [b"x" * 5000, b'{"id": "../../etc"}', b'{"deadline_s": -1}'])
def test_a_command_that_makes_no_sense_is_dropped_with_a_line(
    paths: NodePaths, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    paths.command("exclude").write_bytes(content)
    assert intake.take(paths, "exclude") is None
    assert "the file is dropped" in caplog.text
    assert intake.look(paths).commands == ()


def test_a_link_out_of_the_watch_directory_is_not_followed(
    paths: NodePaths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("{}")
    paths.command("exclude").symlink_to(secret)
    assert intake.take(paths, "exclude") is None
    assert "can't be taken" in caplog.text
    assert secret.read_text() == "{}"


# Run directories


def test_a_run_directory_appears_once_and_again_after_it_was_removed(paths: NodePaths) -> None:
    directories = RunDirectories()
    folder = paths.watch_dir / "run000100_bu-1"
    folder.mkdir()
    assert directories.appeared(paths, intake.look(paths).runs) == [RunRef(100, "bu-1")]
    assert directories.appeared(paths, intake.look(paths).runs) == []
    folder.rmdir()
    assert directories.appeared(paths, intake.look(paths).runs) == []
    folder.mkdir()
    assert directories.appeared(paths, intake.look(paths).runs) == [RunRef(100, "bu-1")]


def test_a_finished_run_is_not_taken_for_a_new_one_after_a_restart(paths: NodePaths) -> None:
    for number in (100, 101):
        paths.run_dir(number).mkdir()
    (paths.run_dir(100) / "complete").touch()
    assert RunDirectories().lying(paths, intake.look(paths).runs) == (RunRef(101),)


# The journal on bad and on long days


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_last_step_that_a_power_cut_damaged_is_written_anew(paths: NodePaths, kept: int) -> None:
    """Blocks of one write reach the disk in any order: the first record may be zeros, the second whole."""
    store = Store(paths)
    store.save(State(), TIMELINE, [record(1)])
    before = paths.journal.read_bytes()
    store.save(State(), TIMELINE, [record(2), record(3)])
    store.close()
    whole = paths.journal.read_bytes()
    first = whole[len(before) :].splitlines(keepends=True)[0]
    damaged = b"\0" * (len(first) - 1) + b"\n" if kept < 0 else first[:kept] + b"\0" * (len(first) - kept)
    paths.journal.write_bytes(before + damaged + whole[len(before) + len(first) :])
    store = Store(paths)
    store.load()
    store.close()
    assert paths.journal.read_bytes() == whole


def test_a_write_that_failed_half_way_leaves_no_torn_line(paths: NodePaths) -> None:
    journal = Journal(paths.journal)
    journal.append([record(1)])
    with paths.journal.open("ab") as file:
        file.write(b'{"kind":"ru')
    journal.append([record(2)])
    journal.close()
    assert [found.seq for found in read_journal(paths.journal)] == [1, 2]
    assert paths.journal.read_bytes().count(b"\n") == 2


def test_a_journal_that_somebody_has_removed_is_begun_anew_with_the_next_number(paths: NodePaths) -> None:
    journal = Journal(paths.journal)
    journal.append([record(1)])
    paths.journal.unlink()
    journal.append([record(2)])
    journal.close()
    assert [found.seq for found in read_journal(paths.journal)] == [2]


def test_a_journal_that_cannot_be_opened_again_closes_no_descriptor_of_others(paths: NodePaths, tmp_path: Path) -> None:
    journal = Journal(paths.journal)
    journal.append([record(1)])
    (tmp_path / "trap").touch()
    paths.journal.unlink()
    paths.journal.symlink_to(tmp_path / "trap")
    with pytest.raises(OSError, match="symbolic links"):
        journal.append([record(2)])
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    with pytest.raises(OSError, match="symbolic links"):
        journal.append([record(2)])
    for descriptor in others:
        os.close(descriptor)
    paths.journal.unlink()
    journal.append([record(2)])
    journal.close()
    assert [found.seq for found in read_journal(paths.journal)] == [2]


def test_a_state_file_older_than_the_journal_loses_no_record_to_come(paths: NodePaths) -> None:
    store = Store(paths)
    store.save(State(), TIMELINE, [record(1)])
    old = paths.state.read_bytes()
    store.save(State(), TIMELINE, [record(2), record(3)])
    paths.state.write_bytes(old)
    store.close()
    store = Store(paths)
    saved = store.load()
    assert saved is not None
    assert (saved.timeline.seq, store.last_seq) == (0, 3)
    store.close()
    assert [found.seq for found in read_journal(paths.journal)] == [1, 2, 3]


def test_what_is_new_is_found_in_a_journal_of_any_length(paths: NodePaths) -> None:
    with paths.journal.open("wb") as file:
        for seq in range(1, 5001):
            file.write(msgspec.json.encode(record(seq)) + b"\n")
            if seq % 700 == 0:
                file.write(b"damaged\n" + b"\0" * 5000 + b"\n")
    for after in (0, 1, 699, 700, 701, 2500, 4998, 4999, 5000, 9999):
        found = [record.seq for record in read_journal(paths.journal, after=after)]
        assert found == list(range(after + 1, 5001))


def test_a_pipe_in_the_place_of_a_temporary_file_holds_nothing_up(paths: NodePaths) -> None:
    os.mkfifo(paths.watch_dir / ".mode.tmp")
    write_mode(paths.mode, Mode.CLOUD)
    assert read_mode(paths.mode) is Mode.CLOUD


@pytest.mark.parametrize("name", ["open/queue_status.jsn", "CMSSW_STOP"])
def test_a_pipe_or_a_flood_in_a_run_directory_says_nothing(paths: NodePaths, name: str) -> None:
    path = paths.run_dir(100) / name
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert (run_files.read_queue_status(paths, 100).maxLSWithOutput, run_files.read_stop(paths, 100)) == (-1, None)
    path.unlink()
    path.write_bytes(b'{"lastLS": 5, "maxLSWithOutput": 5, "x": "' + b"x" * (1 << 20) + b'"}')
    assert (run_files.read_queue_status(paths, 100).maxLSWithOutput, run_files.read_stop(paths, 100)) == (-1, None)
