"""One daemon of a kind for each thing that it serves."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from contract.errors import AlreadyRunning, Surroundings


def hold(path: Path, what: str, of: str = "this node") -> int:
    """Takes the lock at `path` until the process ends and returns its descriptor.

    The kernel lets go of it however the process dies, so a stale file never blocks a start.
    Raises AlreadyRunning with the holder's pid, or Surroundings when the file can't be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Surroundings(f"{path}: cannot be written ({error.strerror}); give this user the state folder") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunning(f"{path}: {what} already serves {of} (pid {holder}); stop that one first") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
