"""Says that a file may have changed: by inotify where there is inotify, by frequent looks where there is none."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Protocol

from watchdog.events import (
    DirDeletedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

log = logging.getLogger("collector")

# A notified watcher looks now and then all the same: the folder may have been replaced by another of its name.
SAFETY_LOOK_S: Final = 1.0
POLL_S: Final = 0.1
TRY_AGAIN_S: Final = 30.0
Kinds = list[type[FileSystemEvent]]
KINDS: Final[Kinds] = [DirDeletedEvent, FileClosedEvent, FileDeletedEvent, FileModifiedEvent, FileMovedEvent]

Folder = tuple[int, int] | None


class Watch(Protocol):
    """What may say that it is time to look. Whoever waits sleeps `look_s` at most and calls `renew` before a look."""

    @property
    def look_s(self) -> float:
        """How long one may sleep between two looks."""

    def renew(self) -> None:
        """Watches, unless it does already."""

    def stop(self) -> None:
        """Ends the watch."""


class RegularLooks:
    """Says nothing: one looks every other second.

    Of a folder in which twenty nodes write every few seconds, notifications cost more than the looks they save.
    """

    look_s = 2.0

    def renew(self) -> None:
        """Does nothing."""

    def stop(self) -> None:
        """Does nothing."""


class FileWatch:
    """Calls `changed`, from a thread of its own, when the file at `path` may have changed, or its folder.

    A folder that was not there, went away or was replaced is watched again, and until it is, `look_s` is short.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.parent
        self._handler = _Concerning((str(path), str(path.parent)), changed)
        self._observer: BaseObserver | None = None
        self._watched: Folder = None
        self._try_again_s = math.inf
        self._trouble = ""

    @property
    def look_s(self) -> float:
        """How long one may sleep between two looks."""
        return SAFETY_LOOK_S if self._observer is not None else POLL_S

    def renew(self) -> None:
        """Watches the folder, unless it does already."""
        folder = self._folder()
        alive = self._observer is None or self._observer.is_alive()
        if folder == self._watched and alive and time.monotonic() < self._try_again_s:
            return
        self.stop()
        self._watched = folder
        self._try_again_s = math.inf
        if folder is None:
            return
        observer: BaseObserver | None = None
        try:
            observer = Observer()
            observer.daemon = True
            observer.schedule(self._handler, str(self._path), event_filter=KINDS)
            observer.start()
        except OSError as error:
            words = f"{self._path}: no notifications ({error.strerror or error}); looking every {POLL_S:g} s"
            if words != self._trouble:
                log.warning("%s", words)
            self._trouble = words
            self._try_again_s = time.monotonic() + TRY_AGAIN_S
            if observer is not None:
                observer.stop()  # it has a thread and descriptors though it could not start
            return
        if self._trouble:
            log.info("%s: notifications work again", self._path)
        self._trouble = ""
        self._observer = observer

    def stop(self) -> None:
        """Ends the notifications."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
        self._observer = None

    def _folder(self) -> Folder:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


class _Concerning(FileSystemEventHandler):
    """Passes on what concerns certain paths of the watched folder."""

    def __init__(self, concerned: Collection[str], changed: Callable[[], None]) -> None:
        self._concerned = concerned
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Passes the event on without its details: a look finds out."""
        if event.src_path in self._concerned or event.dest_path in self._concerned:
            self._changed()
