"""Core tokens: one file for each core, whose folder says who has the core. Moving one is one rename."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import NamedTuple

from contract.durable import sync_folder
from contract.paths import CORE_TOKEN, TOKEN_STATES, NodePaths

log = logging.getLogger(__name__)


class Tokens(NamedTuple):
    """The names of the core tokens in each folder, in numeric order."""

    idle: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()

    @property
    def outside(self) -> int:
        """How many are not in the cloud."""
        return self.total - len(self.cloud)

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(len(names) for names in self)

    @property
    def every(self) -> frozenset[str]:
        """All their names."""
        return frozenset().union(*self)


def prepare(paths: NodePaths) -> None:
    """Makes the five folders, and sees to it that no power cut takes one away with tokens in it. Raises OSError."""
    for state in TOKEN_STATES:
        paths.tokens(state).mkdir(parents=True, exist_ok=True)
    sync_folder(paths.resources_dir)
    sync_folder(paths.resources_dir.parent)


def complete(paths: NodePaths) -> None:
    """Makes folders that somebody has removed since, but never their parents: that is for a mount that is missing."""
    missing = [state for state in TOKEN_STATES if not paths.tokens(state).exists()]
    for state in missing:
        log.warning("%s: was not there; made anew", paths.tokens(state))
        paths.tokens(state).mkdir(exist_ok=True)
    if missing:
        sync_folder(paths.resources_dir)


def scan(paths: NodePaths) -> Tokens:
    """Returns where every core token is. Raises OSError."""
    return Tokens(*(_names(paths, state) for state in TOKEN_STATES))


def count_cloud(paths: NodePaths) -> int:
    """Returns the number of core tokens in the cloud folder. Raises OSError."""
    return len(_names(paths, "cloud"))


def move(paths: NodePaths, names: Iterable[str], to: str) -> None:
    """Moves tokens from whatever folder they are in to the folder `to`; one that is nowhere is logged.

    Raises OSError for the first that can't be moved, with the token as its file name.
    """
    touched = {to}
    for name in names:
        found = [state for state in TOKEN_STATES if state != to and (paths.tokens(state) / name).exists()]
        if not found and not (paths.tokens(to) / name).exists():
            log.warning("core token %s is in none of the folders of %s; going on without it", name, paths.resources_dir)
        for state in found:
            try:
                (paths.tokens(state) / name).rename(paths.tokens(to) / name)
            except OSError as error:
                raise OSError(error.errno, error.strerror, name) from error
        touched.update(found)
    for state in touched:
        sync_folder(paths.tokens(state))


def move_to_cloud(paths: NodePaths) -> None:
    """Moves every core token, of whatever state, to the cloud. Raises OSError naming the token."""
    outside = scan(paths)._replace(cloud=())
    move(paths, sorted(outside.every, key=_number), "cloud")


def move_from_cloud(paths: NodePaths) -> None:
    """Moves every core token of the cloud to idle. Raises OSError naming the token."""
    move(paths, scan(paths).cloud, "idle")


def _names(paths: NodePaths, state: str) -> tuple[str, ...]:
    with os.scandir(paths.tokens(state)) as entries:
        names = [entry.name for entry in entries if CORE_TOKEN.fullmatch(entry.name) and not entry.is_dir()]
    return tuple(sorted(names, key=_number))


def _number(name: str) -> int:
    return int(name.removeprefix("core"))
