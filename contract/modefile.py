"""The mode file: one of the four names, nothing else, replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contract.beneath import read_beginning
from contract.durable import replace_durably
from contract.errors import Unreadable
from contract.modes import Mode

READ_BYTES: Final = 64


def write_mode(path: Path, mode: Mode) -> None:
    """Publishes `mode`; whoever opens the file at any moment reads one whole name."""
    replace_durably(path, mode.value.encode())


def read_mode(path: Path) -> Mode:
    """Returns the published mode. Raises Unreadable when there is none or the word is unknown."""
    try:
        word = read_beginning(path, READ_BYTES).strip()
    except OSError as error:
        raise Unreadable(f"{path}: no mode to read ({error.strerror}); is the switcher running here?") from error
    try:
        return Mode(word.decode())
    except ValueError as error:
        known = ", ".join(mode.value for mode in Mode)
        raise Unreadable(f"{path}: {word[:20]!r} is not a mode; known are {known}") from error
