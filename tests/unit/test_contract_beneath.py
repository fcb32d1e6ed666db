"""Folders where others may write: a link, a pipe or a heap of bytes in the place of a file does no harm elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.beneath import held, make_empty, read_file
from contract.box import LARGEST_BYTES, parse_box, read_box, write_box
from contract.errors import Unreadable
from contract.modefile import read_mode, write_mode
from contract.modes import Mode
from contract.paths import NodePaths, RunRef
from switcher import intake, run_files

SAMPLE = Path(__file__).parents[1] / "samples" / "boxes" / "fu-off-run.json"
Trap = Callable[[Path], None]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that nothing may touch, with a file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "passwd").write_text("cloud")
    (folder / "CMSSW_STOP").write_text('{"lastLS": 7}')
    (folder / "starting").touch()
    return folder


@pytest.fixture
def paths(tmp_path: Path, outside: Path) -> NodePaths:
    found = NodePaths("fu-1", *(tmp_path / name for name in ("data", "resources", "ramdisk", "state")))
    for folder in (found.watch_dir, found.state_dir, found.bu.boxes):
        folder.mkdir(parents=True)
    return found


def unchanged(outside: Path) -> bool:
    names = sorted(path.name for path in outside.iterdir())
    return (names, (outside / "passwd").read_text()) == (["CMSSW_STOP", "passwd", "starting"], "cloud")


def traps(outside: Path) -> dict[str, Trap]:
    return {
        "link to a file": lambda path: path.symlink_to(outside / "passwd"),
        "link to nothing": lambda path: path.symlink_to(outside / "new"),
        "link to a folder": lambda path: path.symlink_to(outside),
        "link to itself": lambda path: path.symlink_to(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "pipe": os.mkfifo,
    }


def test_a_folder_is_held_by_what_it_is_and_named_in_errors_as_it_was_called(tmp_path: Path, outside: Path) -> None:
    folder = tmp_path / "run000001"
    folder.mkdir()
    with held(folder) as inside:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(outside)
        (inside / "file").touch()
        with pytest.raises(FileNotFoundError) as caught, held(inside / "none"):
            pass
    assert (tmp_path / "moved" / "file").exists()
    assert "none" in str(caught.value)
    with pytest.raises(NotADirectoryError), held(folder):
        pass
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/moved/none"), held(tmp_path / "moved") as inside:
        (inside / "none").rmdir()
    assert unchanged(outside)


def test_no_trap_is_read_and_none_is_waited_at(tmp_path: Path, outside: Path) -> None:
    for name, lay in traps(outside).items():
        path = tmp_path / name
        lay(path)
        with pytest.raises(OSError, match=name):
            read_file(path, 100)
        with pytest.raises(Unreadable):
            read_mode(path)
        with pytest.raises(Unreadable):
            read_box(path, attempts=1)
    (tmp_path / "large").write_bytes(b" " * 101)
    with pytest.raises(OSError, match="larger than 100 bytes"):
        read_file(tmp_path / "large", 100)
    assert read_file(tmp_path / "large", 101) == b" " * 101


def test_what_is_written_replaces_the_trap_or_fails_and_reaches_nothing_else(tmp_path: Path, outside: Path) -> None:
    box = parse_box(SAMPLE.read_bytes(), "sample")
    for name, lay in traps(outside).items():
        for folder in ("mode", "empty", "box"):
            (tmp_path / folder).mkdir(exist_ok=True)
            lay(tmp_path / folder / name)
        write_mode(tmp_path / "mode" / name, Mode.CLOUD)
        assert read_mode(tmp_path / "mode" / name) is Mode.CLOUD
        make_empty(tmp_path / "empty" / name)
        assert (tmp_path / "empty" / name).lstat().st_size == 0
        assert not (tmp_path / "empty" / name).is_symlink()
        with pytest.raises(OSError, match=name):
            write_box(tmp_path / "box" / name, box)
    assert unchanged(outside)


def test_a_box_that_is_no_box_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(b" " * (LARGEST_BYTES + 1))
    with pytest.raises(Unreadable, match="larger than"):
        read_box(tmp_path / "box")


def test_a_run_directory_that_is_a_link_is_none(paths: NodePaths, outside: Path) -> None:
    """Also when the BU's name is to be taken off a real one beside it."""
    paths.run_dir(100).symlink_to(outside)
    (paths.watch_dir / "run000100_bu-1").mkdir()
    (paths.watch_dir / "run000101_bu-1").symlink_to(outside)
    assert set(intake.look(paths).runs) == {"run000100_bu-1"}
    for number in (100, 101):
        with pytest.raises(OSError, match=r"."):
            run_files.prepare(paths, RunRef(100, "bu-1"))
        run_files.mark(paths, number, "active")
        run_files.remove_refused(paths, RunRef(number, "bu-1"))
    with pytest.raises(NotADirectoryError):
        run_files.tell_last_lumisection(paths, 100, 9, again=True)
    assert run_files.read_stop(paths, 100) is None
    assert run_files.read_queue_status(paths, 100) == run_files.QueueStatus()
    run_files.prepare(paths, RunRef(101, "bu-1"))
    assert not paths.run_dir(101).is_symlink()
    assert unchanged(outside)
    assert (outside / "CMSSW_STOP").read_text() == '{"lastLS": 7}'


def test_links_within_a_run_directory_are_replaced_and_never_followed(paths: NodePaths, outside: Path) -> None:
    for name, lay in traps(outside).items():
        folder = paths.run_dir(100)
        folder.mkdir()
        for each in ("starting", "active", run_files.STOP_FILE, f"{run_files.STOP_FILE}_pid1", "open"):
            lay(folder / each)
        assert run_files.read_queue_status(paths, 100) == run_files.QueueStatus(), name
        assert run_files.read_stop(paths, 100) is None, name
        run_files.prepare(paths, RunRef(100))
        assert sorted(path.name for path in folder.iterdir()) == ["open", "starting"], name
        lay(folder / run_files.STOP_FILE)
        run_files.tell_last_lumisection(paths, 100, 9, again=False)
        assert run_files.read_stop(paths, 100) == 9, name
        run_files.mark(paths, 100, "complete")
        assert not (folder / "complete").is_symlink()
        assert run_files.is_finished(paths, "run000100")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert unchanged(outside), name


def test_a_command_that_is_no_file_is_none(paths: NodePaths, outside: Path) -> None:
    for name, lay in traps(outside).items():
        lay(paths.command("exclude"))
        lay(paths.watch_dir / ".include.taken")
        assert intake.look(paths).commands == (), name
        assert intake.take(paths, "exclude") is None, name
        assert intake.take(paths, ".include.taken") is None, name
        for strange in intake.look(paths).strange:
            intake.clear_away(paths.watch_dir / strange)
        assert list(paths.watch_dir.iterdir()) == [], name
        assert unchanged(outside), name
