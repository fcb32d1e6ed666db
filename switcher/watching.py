"""Says that something changed in the watch directory or among the core tokens, by watchdog."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from contract.paths import TOKEN_STATES, NodePaths

log = logging.getLogger(__name__)

KINDS: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
Identity = tuple[tuple[int, int] | None, ...]


class Watching:
    """Calls `changed`, from a thread of its own, for every change.

    A watch sits on a directory, not on its name: `renew`, called at every look, sets it anew when another one is there
    by now (replaced, mounted over, unmounted) or when there was none to be had. `trouble` says why there is none.
    """

    def __init__(self, paths: NodePaths, changed: Callable[[], None]) -> None:
        self.trouble = ""
        self._paths = paths
        self._folders = [paths.watch_dir, paths.resources_dir, *(paths.tokens(state) for state in TOKEN_STATES)]
        self._changed = changed
        self._observer: BaseObserver | None = None
        self._watched: Identity = ()
        self._lost = False

    def renew(self) -> None:
        """Watches what is there now. Blocks for short file work."""
        there = tuple(_identity(folder) for folder in self._folders)
        if self._observer is not None and not self._lost and there == self._watched:
            return
        if self._observer is not None:
            log.warning("the watched folders are others by now; watched anew")
        self.stop()
        self._lost, self._watched = False, there
        self._begin()

    def _begin(self) -> None:
        # Made here and not once: a thread that was stopped can't be started again.
        try:
            observer = Observer()
            observer.daemon = True
            self._observer = observer
            handler = _Changed(self._event)
            observer.schedule(handler, str(self._paths.watch_dir), event_filter=[*KINDS, FileModifiedEvent])
            observer.schedule(handler, str(self._paths.resources_dir), recursive=True, event_filter=KINDS)
            observer.start()
        except OSError as error:
            words = f"no notifications ({error.strerror or error}); looking every second instead"
            if words != self.trouble:
                log.error("%s", words)
            self.trouble = words
            self.stop()
            return
        if self.trouble:
            log.info("notifications again")
        self.trouble = ""
        self._changed()  # for what came between the last look and the watch

    def _event(self, event: FileSystemEvent) -> None:
        if isinstance(event, DirDeletedEvent | DirMovedEvent):
            self._lost = self._lost or Path(str(event.src_path)) in self._folders
        self._changed()

    def stop(self) -> None:
        """Ends the notifications."""
        # One that could not start has threads and descriptors too.
        if self._observer is not None:
            self._observer.stop()
        self._observer = None


class _Changed(FileSystemEventHandler):
    def __init__(self, changed: Callable[[FileSystemEvent], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Passes every event on: a look finds out what it means."""
        self._changed(event)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        stat = folder.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
