"""Secrets of a sink: read from files, never from a command line, never shown."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from contract.config import Sink
from contract.errors import ConfigError


class Secrets(NamedTuple):
    """How to prove who we are: a user with a password, an API key, or nothing at all."""

    basic: tuple[str, str] | None = None
    api_key: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"


def read_secrets(sink: Sink) -> Secrets:
    """Returns the secrets of `sink`, read anew each time, so that they may be changed. Raises ConfigError."""
    if sink.api_key_file:
        return Secrets(api_key=_first_line(sink, "api_key_file"))
    if sink.username_file:
        return Secrets(basic=(_first_line(sink, "username_file"), _first_line(sink, "password_file")))
    return Secrets()


def _first_line(sink: Sink, key: str) -> str:
    path = Path(getattr(sink, key))
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "not text"
        raise ConfigError(f"{path}: cannot be read ({reason}); see {key} of sink {sink.name}") from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"{path}: holds nothing in its first line; see {key} of sink {sink.name}")
    return lines[0].strip()
