"""Worlds that lie, hang or are full, as a table: what is wrong, what the node must name meanwhile, and how it heals."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from contract.modes import Mode
from simulator.vms import Vms
from tests.integration.journeys import Trial

FULL: Final = os.strerror(errno.ENOSPC)
GONE: Final = os.strerror(errno.ENOENT)
Act = Callable[[Trial], object]


class World(NamedTuple):
    """One row. The node is prepared, the world goes wrong, the command file `ask` is made; later the world heals.

    meanwhile: the mode as long as it is wrong; blocker: words that status and box file have then; stuck: whether that
    must be said in the end; disk: the folder that lies on a small disk of its own, which takes root
    """

    name: str
    wrong: Act
    ask: str
    meanwhile: Mode
    blocker: str
    heal: Act
    ends_in: Mode
    prepare: Act = lambda trial: trial.until("proven", lambda: not trial.node.state()["unproven"])
    stuck: bool = True
    disk: str = ""


def faults(**table: Any) -> Act:
    """Has stand-ins misbehave from now on."""
    return lambda trial: trial.node.faults(table)


def in_cloud(trial: Trial) -> None:
    trial.node.command("exclude")
    trial.until("in cloud", lambda: trial.at_rest(Mode.CLOUD))


def at_work(trial: Trial) -> None:
    trial.until("proven", lambda: not trial.node.state()["unproven"])
    trial.announce(100)
    trial.until("a job at work", lambda: trial.working_on(100))
    run_dir = trial.node.paths.run_dir(100)
    # Later on the disk may be full, which is not the stand-ins' trouble.
    trial.until("the job has written what it begins with", lambda: [*run_dir.glob("*_pid*.ini")])
    trial.until("the merge script too", (run_dir / "open" / "queue_status.jsn").exists)


def draining(trial: Trial) -> None:
    """The job has been told to stop and waits for lumisections that are not closed yet."""
    at_work(trial)
    trial.node.command("exclude")
    trial.until("told", lambda: trial.node.stop_file(100))


def asked_about(trial: Trial) -> None:
    """A run at work, and the cloud tool is asked whether it works but doesn't answer yet."""
    at_work(trial)
    trial.node.faults({"status": {"behave": "hang"}})
    (trial.node.paths.watch_dir / "exclude").touch()
    trial.until("asked", lambda: trial.node.status()["blocker"].startswith("cloud tool status"))


def close(trial: Trial) -> None:
    trial.node.bu_run(100, 9)


def fill(folder: str) -> Act:
    """Fills the disk under `folder` to the last byte."""

    def act(trial: Trial) -> None:
        with (trial.folder / folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"x" * 4096)

    return act


def empty(folder: str) -> Act:
    return lambda trial: (trial.folder / folder / "filler").unlink()


def both(*acts: Act) -> Act:
    def act(trial: Trial) -> None:
        for each in acts:
            each(trial)

    return act


def take_away(trial: Trial) -> None:
    trial.node.paths.watch_dir.rename(trial.folder / "elsewhere")


def bring_back(trial: Trial) -> None:
    (trial.folder / "elsewhere").rename(trial.node.paths.watch_dir)
    (trial.node.paths.watch_dir / "exclude").touch()


def kill_vms(trial: Trial) -> None:
    for pid in Vms(trial.node.paths.watch_dir.parent / "vms").running():
        os.kill(pid, signal.SIGKILL)


def lock_token(trial: Trial) -> None:
    """Puts a directory where core0 would have to go: renaming a file over it fails."""
    (trial.node.paths.tokens("cloud") / "core0").mkdir()


def unlock_token(trial: Trial) -> None:
    (trial.node.paths.tokens("cloud") / "core0").rmdir()


WORLDS: Final = (
    World(
        name="the cloud tool hangs when it is asked whether it works",
        wrong=faults(status={"behave": "hang"}),
        ask="exclude",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker="cloud tool status (pid ",
        heal=faults(),
        ends_in=Mode.CLOUD,
    ),
    World(
        name="the cloud tool hangs in stop",
        prepare=in_cloud,
        wrong=faults(stop={"behave": "hang"}),
        ask="include",
        meanwhile=Mode.DEACTIVATING_CLOUD,
        blocker="cloud tool stop (pid ",
        heal=faults(),
        ends_in=Mode.HLT,
    ),
    World(
        name="the cloud tool says running for ever",
        prepare=in_cloud,
        wrong=faults(status={"exit": 0}),
        ask="include",
        meanwhile=Mode.DEACTIVATING_CLOUD,
        blocker="VMs that still run",
        heal=faults(),
        ends_in=Mode.HLT,
    ),
    World(
        name="the cloud tool says done and stops nothing",
        prepare=in_cloud,
        wrong=faults(stop={"behave": "lie"}),
        ask="include",
        meanwhile=Mode.DEACTIVATING_CLOUD,
        blocker="VMs that still run",
        heal=faults(),
        ends_in=Mode.HLT,
    ),
    World(
        name="the cloud tool prints 10 MB and fails",
        prepare=in_cloud,
        wrong=faults(status={"print_bytes": 10_000_000, "exit": 5}),
        ask="include",
        meanwhile=Mode.DEACTIVATING_CLOUD,
        blocker="after: cloud tool status: exit 5: ",
        heal=faults(),
        ends_in=Mode.HLT,
    ),
    World(
        name="the cloud tool hangs in start",
        wrong=faults(start={"behave": "hang"}),
        ask="exclude",
        meanwhile=Mode.CLOUD,
        blocker="cloud tool start (pid ",
        heal=faults(),
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="the VMs die and can't be started again",
        prepare=in_cloud,
        wrong=both(faults(start={"exit": 5}), kill_vms),
        ask="",
        meanwhile=Mode.CLOUD,
        blocker="after: cloud tool start: exit 5",
        heal=faults(),
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="the cloud tool can't say whether the VMs run",
        prepare=in_cloud,
        wrong=faults(status={"exit": 14}),
        ask="",
        meanwhile=Mode.CLOUD,
        blocker="after: cloud tool status: exit 14",
        heal=faults(),
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="a job ignores its stop",
        prepare=draining,
        wrong=both(faults(job={"behave": "ignore_stop"}), close),
        ask="",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker="run 100: 1 jobs, pid ",
        heal=faults(),
        ends_in=Mode.CLOUD,
    ),
    World(
        name="the merge script never ends",
        prepare=draining,
        wrong=both(faults(merge={"behave": "ignore_stop"}), close),
        ask="",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker="run 100: merge script, pid ",
        heal=faults(),
        ends_in=Mode.CLOUD,
    ),
    World(
        name="a core token can't be moved",
        wrong=lock_token,
        ask="exclude",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker="core token core0: ",
        heal=unlock_token,
        ends_in=Mode.CLOUD,
    ),
    World(
        name="the watch directory is gone",
        wrong=take_away,
        ask="",
        meanwhile=Mode.HLT,
        blocker=f"data: {GONE}",
        heal=bring_back,
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="the state folder's disk is full when somebody asks",
        disk="state",
        wrong=fill("state"),
        ask="exclude",
        meanwhile=Mode.HLT,
        blocker=FULL,
        heal=empty("state"),
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="the state folder's disk is full in the middle of a switch",
        disk="state",
        prepare=draining,
        wrong=both(fill("state"), close),
        ask="",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker=FULL,
        heal=empty("state"),
        ends_in=Mode.CLOUD,
    ),
    World(
        name="the mode file's disk is full",
        disk="data",
        wrong=fill("data"),
        ask="exclude",
        meanwhile=Mode.HLT,
        blocker=FULL,
        heal=empty("data"),
        ends_in=Mode.CLOUD,
        stuck=False,
    ),
    World(
        name="the disk is full when the jobs are to be told",
        disk="data",
        prepare=asked_about,
        wrong=both(fill("data"), faults()),
        ask="",
        meanwhile=Mode.ACTIVATING_CLOUD,
        blocker=f"CMSSW_STOP: {FULL}",
        heal=both(empty("data"), close),
        ends_in=Mode.CLOUD,
    ),
)
