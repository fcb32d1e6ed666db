"""Notifications of the watch directory and the core tokens, where there is none to be had."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyObserver

from collector.sources.watching import FileWatch
from simulator.node_files import lay_out
from switcher.watching import Watching

RENEWALS = 20


def held() -> int:
    """Returns how many threads and descriptors this process has."""
    return threading.active_count() + len(list(Path("/proc/self/fd").iterdir()))


def exhausted(_self: BaseObserver) -> None:
    raise OSError(errno.ENOSPC, "inotify watch limit reached")


def test_watches_that_fail_leave_neither_threads_nor_descriptors(tmp_path: Path) -> None:
    paths = lay_out(tmp_path, "fu-1", cores=2).paths
    away = paths.resources_dir.with_name("away")
    paths.resources_dir.rename(away)
    changed = threading.Event()
    watching = Watching(paths, changed.set)
    before = held()
    for _ in range(RENEWALS):
        watching.renew()
    assert "No such file" in watching.trouble
    assert held() - before < RENEWALS
    away.rename(paths.resources_dir)
    watching.renew()
    assert watching.trouble == ""
    changed.clear()
    (paths.resources_dir / "idle" / "core7").touch()
    assert changed.wait(10.0)
    watching.stop()


@pytest.mark.parametrize("watch", [Watching, FileWatch])
def test_a_machine_without_watches_to_spare_loses_nothing_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: type[Watching] | type[FileWatch]
) -> None:
    paths = lay_out(tmp_path, "fu-1", cores=2).paths
    renew: Callable[[], None]
    renew = Watching(paths, lambda: None).renew if watch is Watching else FileWatch(paths.mode, lambda: None).renew
    monkeypatch.setattr("collector.sources.watching.TRY_AGAIN_S", 0.0)
    monkeypatch.setattr(InotifyObserver, "start", exhausted)
    before = held()
    for _ in range(RENEWALS):
        renew()
    assert held() - before < RENEWALS


@pytest.mark.parametrize("watch", [Watching, FileWatch])
def test_a_machine_without_inotify_instances_is_looked_at_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: type[Watching] | type[FileWatch]
) -> None:
    def none_left(_self: BaseObserver) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    paths = lay_out(tmp_path, "fu-1", cores=2).paths
    monkeypatch.setattr(InotifyObserver, "__init__", none_left)
    renew: Callable[[], None]
    renew = Watching(paths, lambda: None).renew if watch is Watching else FileWatch(paths.mode, lambda: None).renew
    renew()
