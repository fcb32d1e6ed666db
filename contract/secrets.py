"""Secrets of a sink: read from files or the environment, never from a command line, never shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from contract.errors import ConfigError
from contract.secret_file import read_name, read_secret
from contract.sink import Sink


class Secrets(NamedTuple):
    """How to prove who we are: a user with a password, an API key, or nothing at all."""

    basic: tuple[str, str] | None = None
    api_key: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"


def read_secrets(sink: Sink) -> Secrets:
    """Returns the secrets of `sink`, read anew each time, so that they may be changed. Raises ConfigError."""
    if sink.api_key_file or sink.api_key_env:
        return Secrets(api_key=_secret(sink, "api_key", read_secret))
    if sink.username_file or sink.username_env:
        return Secrets(basic=(_secret(sink, "username", read_name), _secret(sink, "password", read_secret)))
    return Secrets()


def _secret(sink: Sink, what: str, read: Callable[[Path, str], str]) -> str:
    if variable := getattr(sink, f"{what}_env"):
        found = os.environ.get(variable, "").strip()
        if not found:
            raise ConfigError(f"environment variable {variable}: not set; see {what}_env of sink {sink.name}")
        return found
    path, key = Path(getattr(sink, f"{what}_file")), f"{what}_file of sink {sink.name}"
    lines = read(path, key).splitlines()
    if not lines or not lines[0].strip():
        raise ConfigError(f"{path}: holds nothing in its first line; see {key}")
    return lines[0].strip()
