"""Files in folders where others may write: opened without following links, without waiting, and never without end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """Yields a path that means this very folder, whatever is put in its place meanwhile; a link is no folder.

    Raises OSError, and has those from within name `folder`.
    """
    descriptor = os.open(folder, DIRECTORY)
    through = f"/proc/self/fd/{descriptor}"
    try:
        yield Path(through)
    except OSError as error:
        for name in ("filename", "filename2"):
            if str(getattr(error, name, "")).startswith(through):
                setattr(error, name, str(getattr(error, name)).replace(through, str(folder), 1))
        raise
    finally:
        os.close(descriptor)


def read_file(path: Path, largest_bytes: int) -> bytes:
    """Returns what the regular file at `path` holds. Raises OSError, also for a link, a pipe, or more than that."""
    content = read_beginning(path, largest_bytes + 1)
    if len(content) > largest_bytes:
        raise OSError(errno.EFBIG, f"larger than {largest_bytes} bytes", str(path))
    return content


def read_beginning(path: Path, most_bytes: int) -> bytes:
    """Returns the first bytes of the regular file at `path`. Raises OSError, also for a link or a pipe."""
    with opened(path) as (descriptor, _):
        content = b""
        while chunk := os.read(descriptor, most_bytes - len(content)):
            content += chunk
        return content


@contextmanager
def opened(path: Path, *, links: bool = False) -> Iterator[tuple[int, os.stat_result]]:
    """Yields descriptor and state of the regular file at `path`, where `links` may lead to it.

    Raises OSError, also for a pipe, which is not waited for.
    """
    descriptor = os.open(path, READING if links else READING | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        yield descriptor, found
    finally:
        os.close(descriptor)


def make_empty(path: Path) -> None:
    """Leaves an empty file at `path`; a link that stands there goes, and what it points to stays. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISREG(path.lstat().st_mode):
            return
        path.unlink()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
