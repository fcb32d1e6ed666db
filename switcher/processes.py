"""Processes that outlive the switcher: started in groups of their own, marked, and found again after a restart.

Every process carries the state folder of its node and its role in its environment, so one that was started by a
switcher that was killed the next moment is found all the same. Its end is seen through a pidfd.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

# "mark" is no section of the configuration, so a program that bears these may call `hltmode` itself.
NODE: Final = "HLTMODE_MARK_NODE"
ROLE: Final = "HLTMODE_MARK_ROLE"
RUN: Final = "HLTMODE_MARK_RUN"
CORES: Final = "HLTMODE_MARK_CORES"


class Found(NamedTuple):
    """A living process of this node: its pid, session, group, command line and mark."""

    pid: int
    session: int
    group: int
    command: tuple[str, ...]
    mark: dict[str, str]


class Left(NamedTuple):
    """Session leaders that still work, and process groups that a job left behind when it died."""

    leaders: tuple[Found, ...]
    deserted: frozenset[int]


class Child(NamedTuple):
    """A process to wait for; `popen` is None for one that an earlier switcher started."""

    pid: int
    popen: subprocess.Popen[bytes] | None


def spawn(argv: list[str], *, mark: Mapping[str, str], output: int, folder: Path) -> Child:
    """Starts `argv` in a session of its own, with `output` as stdout and stderr. Raises OSError."""
    popen = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=folder,
        env=os.environ | mark,
        start_new_session=True,
    )
    return Child(popen.pid, popen)


def marked(node: Path) -> Iterator[Found]:
    """Yields the living session leaders that this user started for the node whose state folder is `node`."""
    return (found for found in _of_node(node) if found.session == found.pid)


def left(node: Path, roles: Collection[str]) -> Left:
    """Returns what processes of these roles an earlier switcher has left on the node, as of one moment.

    A living job's helper that has put itself into the background looks like what a dead job has left, for its session
    leader is gone too. So where a session leader of the same mark lives, nothing counts as deserted.
    """
    found = [process for process in _of_node(node) if process.mark.get(ROLE, "") in roles]
    leaders = tuple(process for process in found if process.session == process.pid)
    living = {_work(process) for process in leaders}
    return Left(
        leaders,
        frozenset(
            process.group
            for process in found
            if process.session != process.pid and _work(process) not in living and _gone(process.session)
        ),
    )


def _work(process: Found) -> tuple[str | None, ...]:
    return tuple(process.mark.get(name) for name in (ROLE, RUN, CORES))


def _gone(pid: int) -> bool:
    """Returns whether no such process lives; one that only waits to be reaped has died."""
    try:
        content = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return content.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _of_node(node: Path) -> Iterator[Found]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            pid = int(entry.name)
            if entry.stat().st_uid != os.geteuid():
                continue
            session, group = os.getsid(pid), os.getpgid(pid)
            pairs = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        mark = dict(os.fsdecode(pair).partition("=")[::2] for pair in pairs if pair.startswith(b"HLTMODE_"))
        if mark.get(NODE) == str(node) and command:
            yield Found(pid, session, group, tuple(os.fsdecode(command).split("\0")[:-1]), mark)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Sends a signal to the whole group of `pid`; one that is gone needs none."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        log.error("pid %d: not ours to signal; run the switcher as the user who started it", pid)


def kill_group(pid: int, *, patience_s: float = 2.0) -> None:
    """Kills the whole group of `pid` and waits a little until its leader is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal_group(pid, signal.SIGKILL)
        select.select([descriptor], [], [], patience_s)
    finally:
        os.close(descriptor)


def watch(
    child: Child, loop: asyncio.AbstractEventLoop, ended: Callable[[int | None], None], *, with_group: bool = False
) -> None:
    """Calls `ended` once in `loop` when the process ends: with its exit code, or None when that can't be known.

    With `with_group`, what the process has left behind in its group is killed first.
    """
    try:
        descriptor = os.pidfd_open(child.pid)
    except ProcessLookupError:
        loop.call_soon(ended, None)
        return

    def readable() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if with_group:
            signal_group(child.pid, signal.SIGKILL)
        ended(child.popen.wait() if child.popen else None)

    loop.add_reader(descriptor, readable)
