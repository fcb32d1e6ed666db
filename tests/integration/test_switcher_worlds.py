"""In every world of the table: the mode file never lies, the blocker is named, `stuck` is said, and the node recovers.

Besides: a watch directory that is replaced or mounted over, and a machine that has no notifications left to give.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.modes import Mode
from tests.integration import mounts
from tests.integration.guarded import VIOLATIONS
from tests.integration.journeys import CORES, Trial, Truth
from tests.integration.nursery import Nursery
from tests.integration.worlds import WORLDS, World

SHORT: dict[str, dict[str, Any]] = {
    "switch": {"activating_timeout_s": 1.5, "deactivating_timeout_s": 1.5, "mount_timeout_s": 60},
    "igniter": {"timeout_s": 60, "status_timeout_s": 60, "check_every_s": 1.0},
}
# Constants of the daemon, which no site has to change.
SOON: dict[str, Any] = {"switcher.alarms:STOP_AGAIN_S": 1.0}
NO_DISK: str = mounts.why_none()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    if not NO_DISK:
        mounts.own()
    with Nursery() as made:
        yield made


@pytest.fixture
def new_trial(nursery: Nursery, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """Returns a maker of one started node, whose mode file is watched for lies until the test is over."""
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(Truth())

        def make(source: Nursery = nursery) -> Trial:
            trial = Trial(source, tmp_path, SHORT)
            stack.callback(trial.clean)
            stack.enter_context(truth.of(trial.folder))
            trial.start(constants=SOON)
            return trial

        yield make
    assert not truth.lies
    assert truth.looks


def arrives(trial: Trial, mode: Mode) -> None:
    """Waits until the node is at rest in `mode`, and checks that nothing was lost or owned twice."""
    trial.until(f"at rest in {mode.value}", lambda: trial.at_rest(mode))
    trial.until("nothing in the way", lambda: trial.node.status()["blocker"] == "")
    assert trial.node.token_names() == [f"core{number}" for number in range(CORES)]
    assert not (trial.folder / VIOLATIONS).exists(), (trial.folder / VIOLATIONS).read_text()
    assert [record.seq for record in trial.node.records()] == list(range(1, len(trial.node.records()) + 1))
    assert trial.lives == 1, trial.told()
    log = trial.log.read_text()
    assert "Traceback" not in log
    errors = [line.partition(" ERROR ")[2] for line in log.splitlines() if " ERROR " in line]
    assert len(errors) == len(set(errors)), trial.told()


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(world, marks=pytest.mark.skipif(bool(world.disk and NO_DISK), reason=NO_DISK), id=world.name)
        for world in WORLDS
    ],
)
def test_a_world_that_is_wrong_for_a_while(new_trial: Callable[..., Trial], tmp_path: Path, world: World) -> None:
    with mounts.small_disk(tmp_path / "fu-1" / world.disk) if world.disk else contextlib.nullcontext():
        trial = new_trial()
        world.prepare(trial)
        world.wrong(trial)
        if world.ask:
            (trial.node.paths.watch_dir / world.ask).touch()
        trial.until(f"in status: {world.blocker}", lambda: world.blocker in trial.node.status()["blocker"])
        trial.until(f"in the box file: {world.blocker}", lambda: world.blocker in str(trial.node.box().blocker))
        if world.stuck:
            trial.until("stuck in status", lambda: trial.node.status()["stuck"])
            trial.until("stuck in the box file", lambda: trial.node.box().stuck)
        assert trial.node.status()["mode"] == world.meanwhile.value
        world.heal(trial)
        arrives(trial, world.ends_in)
        trial.clean()


# The watch directory is another one


def there_and_back_by_files(trial: Trial) -> None:
    for name, mode in (("exclude", Mode.CLOUD), ("include", Mode.HLT)):
        (trial.node.paths.watch_dir / name).touch()
        arrives(trial, mode)


@pytest.mark.parametrize("how", ["renamed away", "deleted"])
def test_a_watch_directory_that_is_replaced_is_watched_again(new_trial: Callable[..., Trial], how: str) -> None:
    """A new directory often gets the number of the deleted one."""
    trial = new_trial()
    trial.until("proven", lambda: not trial.node.state()["unproven"])
    watch = trial.node.paths.watch_dir
    if how == "deleted":
        while watch.exists():  # the mode file may be written again while the others go
            shutil.rmtree(watch, ignore_errors=True)
    else:
        watch.rename(watch.with_name("old"))
    watch.mkdir()
    trial.until("the mode file", lambda: trial.node.mode is Mode.HLT)
    trial.until("a new watch", lambda: "watched anew" in trial.log.read_text())
    there_and_back_by_files(trial)


@pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)
def test_a_watch_directory_that_is_mounted_over_and_unmounted(new_trial: Callable[..., Trial]) -> None:
    trial = new_trial()
    trial.until("proven", lambda: not trial.node.state()["unproven"])
    with mounts.small_disk(trial.node.paths.watch_dir):
        trial.until("the mode file on the new disk", lambda: trial.node.mode is Mode.HLT)
        there_and_back_by_files(trial)
    trial.until("watched anew, twice", lambda: trial.log.read_text().count("watched anew") == 2)
    there_and_back_by_files(trial)


# No notifications


@contextlib.contextmanager
def without_inotify() -> Iterator[tuple[Nursery, Callable[[], None]]]:
    """A nursery in a user namespace that may have no inotify instance, and what gives it some."""
    unshare, nsenter = shutil.which("unshare"), shutil.which("nsenter")
    assert unshare is not None
    assert nsenter is not None
    limit = "/proc/sys/user/max_inotify_instances"
    inside = [unshare, "--user", "--map-root-user", "sh", "-c", f'echo 0 > {limit} && exec "$@"', "sh"]
    with Nursery(inside) as nursery:

        def give() -> None:
            entered = [nsenter, f"--target={nursery.pid}", "--user", "sh", "-c", f"echo 64 > {limit}"]
            subprocess.run(entered, check=True)

        yield nursery, give


def why_no_user_namespace() -> str:
    unshare = shutil.which("unshare") or "false"
    if subprocess.run([unshare, "--user", "--map-root-user", "true"], check=False, capture_output=True).returncode == 0:
        return ""
    return "takes a user namespace of its own, to take its notifications away"


@pytest.mark.skipif(bool(why_no_user_namespace()), reason=why_no_user_namespace())
def test_without_notifications_the_node_looks_often_and_watches_again_when_it_can(
    new_trial: Callable[..., Trial],
) -> None:
    with without_inotify() as (nursery, give):
        trial = new_trial(nursery)
        trial.until("a line", lambda: "no notifications (" in trial.log.read_text())
        there_and_back_by_files(trial)
        give()
        trial.until("notifications", lambda: "notifications again" in trial.log.read_text())
        there_and_back_by_files(trial)
        trial.clean()
