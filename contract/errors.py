"""Every error a person can cause or must act on.

    HltmodeError             exit 1
    ├── ConfigError          exit 3   the configuration file, a variable or a flag is wrong
    ├── AlreadyRunning       exit 4   the same daemon already serves this node
    ├── Surroundings         exit 5   a folder, port or mount is not what it must be
    │   └── MountHangs                a mounted folder does not answer in time
    ├── TimedOut             exit 6   what was waited for did not come
    └── Unreadable           exit 1   a file does not hold what it should

The message is one line that names the file, key or host and the remedy; the command line prints it and exits.
Exit 2 is click's own, for wrong usage.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeVar

Error = TypeVar("Error", bound=BaseException)
LONGEST_MESSAGE: Final = 1500


class HltmodeError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with.

    Whatever a file or a caller has put into a message, it stays one line that does nothing to a terminal or log.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        words = super().__str__()
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words[: LONGEST_MESSAGE + 1])
        return shown if len(words) <= LONGEST_MESSAGE else f"{shown[:LONGEST_MESSAGE]}…"


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


class Unreadable(HltmodeError):
    """A file does not hold what it should."""
