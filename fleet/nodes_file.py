"""The file of nodes of a process that goes on for long: looked at again and again, and read when it has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleet.hosts import Place, read_places
from fleet.node_sets import BadHosts

Mark = tuple[int, int, int]


class NodesFile:
    """The file at `path`, from which `places` were read."""

    def __init__(self, path: Path, places: Mapping[str, Place]) -> None:
        self._path = path
        self._places = dict(places)
        self._mark: Mark | None = None
        self._read: Mark | None = None

    def changed(self) -> dict[str, Place] | None:
        """Returns the nodes of a file that has others than before; None when it has not.

        It is read when it is the same at two looks, so not while somebody writes it. Raises BadHosts, once for each
        content that is wrong or a file that is gone.
        """
        mark = self._mark_now()
        if mark != self._mark:
            self._mark = mark
            return None
        if mark == self._read:
            return None
        self._read = mark
        places = read_places(self._path)
        if not places:
            raise BadHosts(f"{self._path}: no node in it")
        if list(places.items()) == list(self._places.items()):
            return None
        self._places = places
        return dict(places)

    def _mark_now(self) -> Mark:
        """Returns what changes with content and permissions; of a file that can't be looked at always the same."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_ctime_ns, found.st_size, found.st_ino)
