"""Secrets of a sink: read from files, never from a command line, never shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contract.config import Sink
from contract.errors import ConfigError
from contract.secret_file import read_name, read_secret


class Secrets(NamedTuple):
    """How to prove who we are: a user with a password, an API key, or nothing at all."""

    basic: tuple[str, str] | None = None
    api_key: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"


def read_secrets(sink: Sink) -> Secrets:
    """Returns the secrets of `sink`, read anew each time, so that they may be changed. Raises ConfigError."""
    if sink.api_key_file:
        return Secrets(api_key=_first_line(sink, "api_key_file", read_secret))
    if sink.username_file:
        user = _first_line(sink, "username_file", read_name)
        return Secrets(basic=(user, _first_line(sink, "password_file", read_secret)))
    return Secrets()


def _first_line(sink: Sink, name: str, read: Callable[[Path, str], str]) -> str:
    path, key = Path(getattr(sink, name)), f"{name} of sink {sink.name}"
    lines = read(path, key).splitlines()
    if not lines or not lines[0].strip():
        raise ConfigError(f"{path}: holds nothing in its first line; see {key}")
    return lines[0].strip()
