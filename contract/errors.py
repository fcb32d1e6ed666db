"""Every error a person can cause or must act on.

    HltmodeError             exit 1
    ├── ConfigError          exit 3   the configuration file, a variable or a flag is wrong
    ├── AlreadyRunning       exit 4   the same daemon already serves this node
    ├── Surroundings         exit 5   a folder, port or mount is not what it must be
    │   └── MountHangs                a mounted folder does not answer in time
    ├── TimedOut             exit 6   what was waited for did not come
    ├── Interrupted          exit 130 somebody pressed Ctrl-C
    └── Unreadable           exit 1   a file does not hold what it should

The message is one line that names the file, key or host and the remedy; the command line prints it and exits.
Exit 2 is click's own, for wrong usage. Exit 141 is that of a program whose reader has gone, such as in `| head -1`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import ClassVar, Final, TypeVar

Error = TypeVar("Error", bound=BaseException)
LONGEST_MESSAGE: Final = 1500
READER_GONE: Final = 141  # 128 + SIGPIPE, as a shell has it


class HltmodeError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with.

    Whatever a file or a caller has put into a message, it stays one line that does nothing to a terminal or log.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        words = super().__str__()
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words[: LONGEST_MESSAGE + 1])
        return shown if len(words) <= LONGEST_MESSAGE else f"{shown[:LONGEST_MESSAGE]}…"


def nobody_reads() -> None:
    """Has what is still to be written to stdout go nowhere, so that its end is quiet."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def first_of(group: BaseExceptionGroup[Error]) -> Error:
    """Returns the first error of a group, such as a task group raises: people act on one after the other."""
    error: Error | BaseExceptionGroup[Error] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class ConfigError(HltmodeError):
    """The configuration file, an environment variable or a flag is wrong."""

    exit_code = 3


class AlreadyRunning(HltmodeError):
    """The same daemon already serves this node."""

    exit_code = 4


class Surroundings(HltmodeError):
    """A folder, port or mount is not what it must be."""

    exit_code = 5


class MountHangs(Surroundings):
    """A mounted folder did not answer within its time limit."""


class TimedOut(HltmodeError):
    """What was waited for did not come in time."""

    exit_code = 6


class Interrupted(HltmodeError):
    """Somebody pressed Ctrl-C; the message says how far it was."""

    exit_code = 130


class Unreadable(HltmodeError):
    """A file does not hold what it should."""
