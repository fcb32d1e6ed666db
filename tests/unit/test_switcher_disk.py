"""State file, core tokens and command files on disk, and what a kill between two writes leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.journal import RunRecord, read_journal
from contract.modes import Wanted
from contract.paths import NodePaths, RunRef
from simulator.node_files import lay_out
from switcher import intake, tokens
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
