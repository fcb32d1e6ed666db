"""The stand-ins of CMSSW job and merge script as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from contract.paths import BuPaths
from simulator import faults
from tests.integration.node import PATIENCE_S

PROGRAMS: Final = Path(faults.__file__).parent
RUN: Final = 100
Process = subprocess.Popen[str]


def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s, "did not come true in time"
        time.sleep(0.01)


class World:
    """A run directory here, one on the BU, and the programs that work on them."""

    def __init__(self, root: Path) -> None:
        self.bu = BuPaths(root / "ramdisk")
        self.run_dir = root / "data" / "run000100"
        self.faults = root / "faults.json"
        self.bu.run_dir(RUN).mkdir(parents=True)
        self.run_dir.mkdir(parents=True)
        self._started: list[Process] = []

    def start(self, program: str, *more: str) -> Process:
        folders = ["--run-dir", str(self.run_dir), "--bu-run-dir", str(self.bu.run_dir(RUN))]
        wrong = ["--faults", str(self.faults), "--node", "fu-01", "--ls-poll-s", "0.02"]
        command = [sys.executable, "-S", "-E", str(PROGRAMS / program), "--run", str(RUN), *folders, *wrong, *more]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._started.append(process)
        return process

    def job(self) -> Process:
        """Starts a job and waits until it works, for only then a lumisection that closes is its own."""
        process = self.start("cmssw.py", "--cores", "4")
        assert process.stdout is not None
        assert "works" in process.stdout.readline()
        return process

    def close(self, *lumisections: int) -> None:
        for lumisection in lumisections:
            self.bu.eols(RUN, lumisection).write_text("{}")

    def stop_after(self, lumisection: int) -> None:
        (self.run_dir / "CMSSW_STOP").write_text(json.dumps({"lastLS": lumisection}))

    def misbehave(self, program: str, **how: object) -> None:
        faults.write(self.faults, {"fu-01": {program: how}})

    def outputs(self, process: Process) -> list[str]:
        return sorted(path.name[10:16] for path in self.run_dir.glob(f"*_pid{process.pid}.jsn"))

    def end_all(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end_all()


def test_job_ends_after_closing_the_last_lumisection(world: World) -> None:
    world.close(1)
    job = world.job()
    world.stop_after(3)
    world.close(2)
    until(lambda: world.outputs(job) == ["ls0002"])
    time.sleep(0.1)
    assert job.poll() is None
    world.close(3, 4)
    assert job.wait(PATIENCE_S) == 0
    assert world.outputs(job) == ["ls0002", "ls0003"]


def test_job_ends_at_once_when_its_last_lumisection_is_long_closed(world: World) -> None:
    world.close(1, 2, 3)
    job = world.job()
    world.stop_after(1)
    assert job.wait(PATIENCE_S) == 0
    assert world.outputs(job) == []


def test_only_the_job_whose_pid_is_named_stops(world: World) -> None:
    named, other = world.job(), world.job()
    (world.run_dir / f"CMSSW_STOP_pid{named.pid}").touch()
    assert named.wait(PATIENCE_S) == 0
    assert other.poll() is None


def test_job_works_off_every_lumisection_before_it_ends_with_the_run(world: World) -> None:
    job = world.job()
    world.close(1, 2, 3)
    world.bu.eor(RUN).touch()
    assert job.wait(PATIENCE_S) == 0
    assert world.outputs(job) == ["ls0001", "ls0002", "ls0003"]


def test_job_ends_when_its_run_vanishes_from_the_bu(world: World) -> None:
    job = world.job()
    world.bu.run_dir(RUN).rmdir()
    assert job.wait(PATIENCE_S) == 0


def test_sigterm_ends_a_job(world: World) -> None:
    job = world.job()
    job.terminate()
    assert job.wait(PATIENCE_S) == -signal.SIGTERM


def test_job_crashes_after_the_lumisection_it_is_told(world: World) -> None:
    job = world.job()
    world.misbehave("job", behave="crash", exit=134, after_ls=2)
    world.close(1)
    until(lambda: world.outputs(job) == ["ls0001"])
    world.close(2)
    assert job.wait(PATIENCE_S) == 134


def test_job_that_ignores_the_stop_works_on_and_obeys_sigterm(world: World) -> None:
    job = world.job()
    world.misbehave("job", behave="ignore_stop")
    world.stop_after(1)
    (world.run_dir / f"CMSSW_STOP_pid{job.pid}").touch()
    world.close(1, 2)
    until(lambda: world.outputs(job) == ["ls0001", "ls0002"])
    assert job.poll() is None
    job.terminate()
    assert job.wait(PATIENCE_S) == -signal.SIGTERM


def test_job_that_hangs_survives_sigterm_until_the_fault_is_gone(world: World) -> None:
    world.misbehave("job", behave="hang", after_ls=1)
    job = world.job()
    world.close(1)
    assert job.stdout is not None
    assert "hangs" in job.stdout.readline()
    job.terminate()
    world.stop_after(1)
    time.sleep(0.2)
    assert job.poll() is None
    world.misbehave("job")
    assert job.wait(PATIENCE_S) == 0


def test_slow_job_answers_late(world: World) -> None:
    world.misbehave("job", behave="slow", delay_s=0.3)
    job = world.job()
    begin_s = time.monotonic()
    world.stop_after(0)
    assert job.wait(PATIENCE_S) == 0
    assert time.monotonic() - begin_s >= 0.25


def test_job_with_a_wrong_faults_file_says_so_in_one_line(world: World) -> None:
    world.faults.write_text('{"fu-01": {"job": {"behave": "dance"}}}')
    job = world.start("cmssw.py")
    output, _ = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 2
    assert "cannot behave 'dance'" in output.splitlines()[-1]


def test_merge_script_merges_all_jobs_and_ends_at_the_marker(world: World) -> None:
    merge = world.start("merge.py")
    first, second = world.job(), world.job()
    world.close(1, 2)
    world.bu.eor(RUN).touch()
    assert (first.wait(PATIENCE_S), second.wait(PATIENCE_S)) == (0, 0)
    (world.run_dir / "complete").touch()
    assert merge.wait(PATIENCE_S) == 0
    merged = json.loads((world.run_dir / "run000100_ls0002_merged.jsn").read_text())
    assert (merged["events"], merged["bytes"]) == (2000, 32_000_000)
    assert set(merged["jobs"]) == {str(first.pid), str(second.pid)}
    assert world.outputs(first) == world.outputs(second) == []
    status = json.loads((world.run_dir / "open" / "queue_status.jsn").read_text())
    assert (status["numQueuedLS"], status["CMSSWMaxLS"], status["maxLSWithOutput"]) == (0, 2, 2)
    assert status["outputBW"] == 6_400_000
    assert status["lumiBW"] == 3_200_000


def test_merge_script_waits_for_living_jobs_and_needs_no_switcher(world: World) -> None:
    job, merge = world.job(), world.start("merge.py", "--ls-poll-s", "0.01")
    world.stop_after(1)
    time.sleep(0.4)
    assert merge.poll() is None
    world.close(1)
    assert (job.wait(PATIENCE_S), merge.wait(PATIENCE_S)) == (0, 0)
    assert (world.run_dir / "run000100_ls0001_merged.jsn").exists()


def test_merge_script_killed_and_started_again_counts_nothing_twice(world: World) -> None:
    job = world.job()
    world.close(1)
    until(lambda: world.outputs(job) == ["ls0001"])
    output = next(world.run_dir.glob("*_ls0001_pid*.jsn"))
    content = output.read_text()
    first = world.start("merge.py")
    until(lambda: not output.exists())
    first.kill()
    output.write_text(content)
    second = world.start("merge.py")
    (world.run_dir / "complete").touch()
    assert second.wait(PATIENCE_S) == 0
    assert json.loads((world.run_dir / "run000100_ls0001_merged.jsn").read_text())["events"] == 1000


def test_merge_script_ends_when_its_run_directory_is_gone(world: World) -> None:
    world.run_dir.rmdir()
    assert world.start("merge.py").wait(PATIENCE_S) == 0


def test_merge_script_that_never_ends_does_so_once_the_fault_is_gone(world: World) -> None:
    world.misbehave("merge", behave="ignore_stop")
    (world.run_dir / "complete").touch()
    merge = world.start("merge.py")
    time.sleep(0.3)
    assert merge.poll() is None
    world.misbehave("merge")
    assert merge.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("how", "code"), [({"behave": "crash"}, 1), ({"behave": "crash", "exit": 0}, 0), ({"exit": 9}, 9)]
)
def test_merge_script_ends_with_the_exit_code_it_is_told(world: World, how: dict[str, object], code: int) -> None:
    world.misbehave("merge", **how)
    (world.run_dir / "complete").touch()
    assert world.start("merge.py").wait(PATIENCE_S) == code


def test_ten_megabytes_come_out_of_a_job(world: World) -> None:
    world.misbehave("job", print_bytes=10_000_000)
    world.stop_after(0)
    output, _ = world.start("cmssw.py").communicate(timeout=PATIENCE_S)
    assert len(output) > 10_000_000
