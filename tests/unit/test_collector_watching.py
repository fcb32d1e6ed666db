"""Notifications of one file, whatever happens to its folder."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify import InotifyObserver

from collector.sources import watching
from collector.sources.watching import POLL_S, SAFETY_LOOK_S, FileWatch
from contract.modefile import write_mode
from contract.modes import Mode

SOON_S = 10.0


class Bell(threading.Event):
    """Set by a notification; asking whether it rang waits for it and resets it."""

    def rang(self, within_s: float = SOON_S) -> bool:
        found = self.wait(within_s)
        self.clear()
        return found


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def watch(tmp_path: Path, bell: Bell) -> Iterator[FileWatch]:
    watch = FileWatch(tmp_path / "data" / "mode", bell.set)
    yield watch
    watch.stop()


def test_a_replaced_file_is_told_and_its_neighbours_are_not(tmp_path: Path, watch: FileWatch, bell: Bell) -> None:
    (tmp_path / "data").mkdir()
    watch.renew()
    (tmp_path / "data" / "other").write_text("x")
    assert not bell.rang(0.3)
    write_mode(tmp_path / "data" / "mode", Mode.CLOUD)
    assert bell.rang()
    assert watch.look_s == SAFETY_LOOK_S


def test_a_folder_that_comes_later_or_is_replaced_is_watched(tmp_path: Path, watch: FileWatch, bell: Bell) -> None:
    data = tmp_path / "data"
    watch.renew()
    assert watch.look_s == POLL_S
    data.mkdir()
    watch.renew()
    write_mode(data / "mode", Mode.HLT)
    assert bell.rang()
    data.rename(tmp_path / "old")
    data.mkdir()
    watch.renew()
    bell.clear()
    write_mode(data / "mode", Mode.CLOUD)
    assert bell.rang()


def test_a_folder_that_goes_away_is_looked_for_often(tmp_path: Path, watch: FileWatch, bell: Bell) -> None:
    (tmp_path / "data").mkdir()
    watch.renew()
    shutil.rmtree(tmp_path / "data")
    assert bell.rang()
    watch.renew()
    assert watch.look_s == POLL_S


def test_without_inotify_it_says_so_once_polls_and_comes_back(
    tmp_path: Path, watch: FileWatch, bell: Bell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def exhausted(_self: InotifyObserver) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(watching, "TRY_AGAIN_S", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr(InotifyObserver, "start", exhausted)
        watch.renew()
        watch.renew()
        assert watch.look_s == POLL_S
    assert caplog.text.count("inotify watch limit reached") == 1
    watch.renew()
    assert watch.look_s == SAFETY_LOOK_S
    write_mode(tmp_path / "data" / "mode", Mode.CLOUD)
    assert bell.rang()
