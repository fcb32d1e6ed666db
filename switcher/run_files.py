"""The files of a run directory on this node: markers, the stop file, what the merge script reports, job output."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import IO, Final

import msgspec

from contract.beneath import held, make_empty, read_file
from contract.durable import replace_durably
from contract.paths import MARKERS, NodePaths, RunRef, run_name
from contract.undecodable import UNDECODABLE

log = logging.getLogger(__name__)

STOP_FILE: Final = "CMSSW_STOP"
FINISHED: Final = ("complete", "abortcomplete")
KEPT_OUTPUTS: Final = 400
LARGEST_BYTES: Final = 64 << 10


class StopFile(msgspec.Struct, frozen=True):
    """The content of CMSSW_STOP: jobs end after closing this lumisection."""

    lastLS: int


class QueueStatus(msgspec.Struct, frozen=True):
    """The merge script's status; bandwidths in bytes/s, lumisections -1 when unknown."""

    numQueuedLS: int = -1
    CMSSWMaxLS: int = -1
    maxLSWithOutput: int = -1
    outputBW: float = 0.0
    lumiBW: float = 0.0


def prepare(paths: NodePaths, ref: RunRef) -> None:
    """Makes the run directory ready for jobs, whatever was left of an earlier time. Raises OSError."""
    folder = paths.run_dir(ref.number)
    announced = paths.watch_dir / f"{run_name(ref.number)}_{ref.bu}"
    if ref.bu and announced.is_dir() and not announced.is_symlink() and not os.path.lexists(folder):
        announced.rename(folder)
    folder.mkdir(exist_ok=True)
    with held(folder) as inside:
        for stop in inside.glob(f"{STOP_FILE}*"):
            stop.unlink(missing_ok=True)
    mark(paths, ref.number, "starting")


def mark(paths: NodePaths, number: int, marker: str) -> None:
    """Leaves exactly one marker file, `marker`, in the run directory; a directory that vanished needs none."""
    folder = paths.run_dir(number)
    try:
        with held(folder) as inside:
            present = [inside / name for name in MARKERS if name != marker and os.path.lexists(inside / name)]
            if present:
                present[0].rename(inside / marker)
            make_empty(inside / marker)
            for other in present[1:]:
                other.unlink(missing_ok=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        log.warning("%s: %s; it can't be marked %s", folder, error.strerror, marker)


def is_finished(paths: NodePaths, name: str) -> bool:
    """Returns whether the run directory `name` holds a run that has ended here."""
    return any(os.path.lexists(paths.watch_dir / name / marker) for marker in FINISHED)


def tell_last_lumisection(paths: NodePaths, number: int, last: int, *, again: bool) -> None:
    """Writes CMSSW_STOP; one that is there stays, unless `again`. A directory that vanished is made for it."""
    folder = paths.run_dir(number)
    folder.mkdir(exist_ok=True)
    with held(folder) as inside:
        stop = inside / STOP_FILE
        told = again or not stop.is_file() or stop.is_symlink()
        if told:
            replace_durably(stop, msgspec.json.encode(StopFile(last)))
    if told:
        log.info("run %d: jobs end after lumisection %d", number, last)


def read_stop(paths: NodePaths, number: int) -> int | None:
    """Returns the last lumisection of CMSSW_STOP, None without one."""
    try:
        with held(paths.run_dir(number)) as inside:
            return msgspec.json.decode(read_file(inside / STOP_FILE, LARGEST_BYTES), type=StopFile).lastLS
    except (OSError, *UNDECODABLE):
        return None


def read_queue_status(paths: NodePaths, number: int) -> QueueStatus:
    """Returns what the merge script of a run says, the unknown form when it says nothing."""
    try:
        with held(paths.run_dir(number)) as inside, held(inside / "open") as status:
            content = read_file(status / "queue_status.jsn", LARGEST_BYTES)
        return msgspec.json.decode(content, type=QueueStatus)
    except (OSError, *UNDECODABLE):
        return QueueStatus()


def remove_refused(paths: NodePaths, ref: RunRef) -> None:
    """Removes the empty directory of a run that this node does not take; one with something in it stays."""
    for name in {run_name(ref.number), f"{run_name(ref.number)}_{ref.bu}"}:
        try:
            (paths.watch_dir / name).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("%s: refused, but its directory stays (%s)", paths.watch_dir / name, error.strerror)


def output(paths: NodePaths, name: str) -> IO[bytes]:
    """Opens the output file of a job or merge script, in the state folder; only the newest few are kept.

    Where none can be made, the output goes nowhere: a full disk is no reason not to work.
    """
    folder = paths.state_dir / "output"
    try:
        folder.mkdir(exist_ok=True)
        return _newest_output(folder, name)
    except OSError as error:
        log.warning("%s: %s; the output of %s is not kept", error.filename, error.strerror, name)
        return Path(os.devnull).open("wb")


def _newest_output(folder: Path, name: str) -> IO[bytes]:
    for old in sorted(folder.iterdir(), key=_age)[:-KEPT_OUTPUTS]:
        old.unlink(missing_ok=True)
    return (folder / f"{name}.log").open("wb")


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
