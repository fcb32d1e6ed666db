"""Disks of a test's own, small ones and dead ones. They take root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x00020000
MNT_FORCE_DETACH: Final = 1 | 2
FUSE: Final = Path("/dev/fuse")
LIBC: Final = ctypes.CDLL(None, use_errno=True)


def why_none() -> str:
    """Returns why this machine can't give a test disks of its own, empty when it can."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return "takes root, for a disk of its own"
    return "" if FUSE.exists() else f"takes {FUSE}, for a dead mount"


def own() -> None:
    """What this thread and its children mount from now on is seen by nobody else. Raises OSError."""
    _checked(LIBC.unshare(CLONE_NEWNS), "unshare")
    _run("mount", "--make-rprivate", "/")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Has an empty disk of 256 KiB mounted over `folder` meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", "size=256k", "small", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


@contextlib.contextmanager
def dead(folder: Path) -> Iterator[None]:
    """Has a file system mounted over `folder` meanwhile whose server never says a word: whoever looks there hangs.

    So does whoever looks at a dead NFS server. Afterwards the calls that hang end with an error. Raises OSError.
    """
    server = os.open(FUSE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other"
    target = os.fsencode(folder)
    _checked(LIBC.mount(b"dead", target, b"fuse", 0, options.encode()), "mount")
    try:
        yield
    finally:
        LIBC.umount2(target, MNT_FORCE_DETACH)
        os.close(server)


def _checked(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), what)


def _run(*command: str) -> None:
    program = shutil.which(command[0])
    assert program is not None
    subprocess.run([program, *command[1:]], check=True)
