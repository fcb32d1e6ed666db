"""The box files as a BU reads them: half-written ones keep their last content, others are left out with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from contract.box import LARGEST_BYTES, Box, parse_box
from contract.errors import Unreadable
from contract.undecodable import UNDECODABLE
from simulator.summary import Reported


class BoxFolder:
    """All box files in `folder` but the BU's own; `tell` gets one line for each change worth knowing."""

    def __init__(self, folder: Path, own_host: str, tell: Callable[[str], None]) -> None:
        self.boxes: dict[str, Reported] = {}
        self._folder = folder
        self._own_host = own_host
        self._tell = tell
        self._refused: dict[str, str] = {}

    def read(self) -> None:
        """Reads every file anew, so that `boxes` says what is there now."""
        paths = {path.name: path for path in self._folder.iterdir() if path.name != self._own_host}
        self.boxes = {host: reported for host, path in sorted(paths.items()) if (reported := self._read(host, path))}
        self._refused = {host: why for host, why in self._refused.items() if host in paths}

    def _read(self, host: str, path: Path) -> Reported | None:
        try:
            written_s = path.stat().st_mtime
            with path.open("rb") as file:
                content = file.read(LARGEST_BYTES)
            if not _whole(content):
                return self.boxes.get(host)
            box = parse_box(content, host)
        except OSError as error:
            self._refuse(host, f"{host}: box file cannot be read ({error.strerror})")
            return None
        except Unreadable as error:
            self._refuse(host, str(error))
            return None
        self._refused.pop(host, None)
        return Reported(box, written_s) if isinstance(box, Box) else None

    def _refuse(self, host: str, why: str) -> None:
        if self._refused.get(host) != why:
            self._tell(f"left out: {why}")
        self._refused[host] = why


def _whole(content: bytes) -> bool:
    """Returns whether the content is one JSON value: a box that is being rewritten in place is not."""
    try:
        msgspec.json.decode(content)
    except UNDECODABLE:
        return False
    return True
