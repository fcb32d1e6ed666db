"""Says that something changed in the watch directory or among the core tokens, by watchdog."""

from __future__ import annotations

import logging
from collections.abc import Callable

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

from contract.paths import NodePaths

log = logging.getLogger(__name__)


class Watching:
    """Calls `changed`, from a thread of its own, for every change. Without inotify only regular looks remain."""

    def __init__(self, paths: NodePaths, changed: Callable[[], None]) -> None:
        self._observer: BaseObserver = Observer()
        self._observer.daemon = True
        kinds: list[type[FileSystemEvent]] = [
            DirCreatedEvent,
            DirDeletedEvent,
            DirMovedEvent,
            FileCreatedEvent,
            FileDeletedEvent,
            FileMovedEvent,
        ]
        handler = _Changed(changed)
        try:
            watch_kinds = [*kinds, FileModifiedEvent]
            self._observer.schedule(handler, str(paths.watch_dir), event_filter=watch_kinds)
            self._observer.schedule(handler, str(paths.resources_dir), recursive=True, event_filter=kinds)
            self._observer.start()
        except OSError as error:
            log.error("no notifications (%s); looking every few seconds instead", error.strerror or error)

    def stop(self) -> None:
        """Ends the notifications."""
        if self._observer.is_alive():
            self._observer.stop()


class _Changed(FileSystemEventHandler):
    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def on_any_event(self, _event: FileSystemEvent) -> None:
        """Passes every event on, without its details: a look finds out."""
        self._changed()
