"""Files that hold a secret: read whole, and only when nobody else can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from contract.beneath import opened
from contract.errors import ConfigError

LARGEST_BYTES: Final = 64 << 10
LEAST_TOKEN: Final = 16
OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP


def read_secret(path: Path, key: str) -> str:
    """Returns the text of `path`, which the configuration names in `key`.

    A group may read it; whoever else can read it, or write it, makes it no secret. Raises ConfigError.
    """
    text, mode = _read(path, key)
    if mode & OTHERS:
        raise ConfigError(f"{path}: open to others (mode {mode:04o}); chmod 600; see {key}")
    return text


def read_name(path: Path, key: str) -> str:
    """Returns the text of `path`, which is as small as a secret but may be known to others. Raises ConfigError."""
    return _read(path, key)[0]


def _read(path: Path, key: str) -> tuple[str, int]:
    try:
        with opened(path, links=True) as (descriptor, found):
            return os.read(descriptor, LARGEST_BYTES).decode(), stat.S_IMODE(found.st_mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); see {key}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text; see {key}") from error


def read_token(path: Path, key: str) -> str:
    """Returns the bearer token in `path`; one that could be guessed is none. Raises ConfigError."""
    token = read_secret(path, key).strip()
    if len(token) < LEAST_TOKEN or not (token.isascii() and token.isprintable()):
        raise ConfigError(
            f"{path}: {LEAST_TOKEN} or more printable ASCII characters wanted, as `openssl rand -hex 32` makes; "
            f"see {key}"
        )
    return token
