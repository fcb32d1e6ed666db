"""The cloud tool's stand-in: real processes as VMs, exit codes as the contract has them, lies on demand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from simulator import faults, living
from simulator.vms import Vms
from tests.integration.node import PATIENCE_S

TOOL: Final = Path(faults.__file__).parent / "cloud_tool.py"


class Cloud:
    """One node's cloud tool and its VMs."""

    def __init__(self, root: Path) -> None:
        self.state = root / "vms"
        self.faults = root / "faults.json"

    def command(self, verb: str) -> list[str]:
        options = ["--state", str(self.state), "--faults", str(self.faults), "--node", "fu-01"]
        return [sys.executable, "-S", "-E", str(TOOL), *options, verb]

    def ask(self, verb: str, timeout_s: float = PATIENCE_S) -> int:
        return self.call(verb, timeout_s).returncode

    def call(self, verb: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(verb), capture_output=True, text=True, timeout=timeout_s, check=False)

    def misbehave(self, verb: str, **how: object) -> None:
        faults.write(self.faults, {"*": {verb: how}})

    def behave(self) -> None:
        faults.write(self.faults, {})

    def vms(self) -> dict[int, int]:
        return Vms(self.state).running()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path)
    yield made
    Vms(made.state).stop()


def test_vms_are_real_processes_that_stop_ends(cloud: Cloud) -> None:
    assert cloud.ask("status") == 1
    assert cloud.ask("start") == 0
    assert cloud.ask("status") == 0
    running = cloud.vms()
    assert len(running) == 2
    for pid in running:
        assert os.getsid(pid) == pid
    assert cloud.ask("stop") == 0
    assert not any(living.alive(pid, started) for pid, started in running.items())
    assert cloud.ask("status") == 1
    assert cloud.ask("stop") == 1


def test_second_start_starts_only_what_is_missing(cloud: Cloud) -> None:
    cloud.ask("start")
    before = cloud.vms()
    assert cloud.ask("start") == 0
    assert cloud.vms() == before
    gone = next(iter(before))
    os.kill(gone, 9)
    while living.alive(gone, before[gone]):
        time.sleep(0.01)
    assert cloud.ask("start") == 0
    assert len(cloud.vms()) == 2
    assert gone not in cloud.vms()


def test_pid_of_a_stranger_is_no_vm(cloud: Cloud) -> None:
    cloud.state.mkdir()
    (cloud.state / "vms.json").write_text(json.dumps([{"pid": os.getpid(), "started": 1}]))
    assert cloud.ask("status") == 1
    assert cloud.ask("stop") == 1


def test_vms_hold_no_pipe_of_the_caller(cloud: Cloud) -> None:
    """Else the call would not end before the VMs, which outlive the test by hours."""
    assert "2 VMs started" in cloud.call("start").stdout


@pytest.mark.parametrize("code", [14, 66, 3])
def test_status_answers_the_code_it_is_told(cloud: Cloud, code: int) -> None:
    cloud.misbehave("status", exit=code)
    assert cloud.ask("status") == code


def test_status_lies_both_ways(cloud: Cloud) -> None:
    cloud.misbehave("status", behave="lie")
    assert cloud.ask("status") == 0
    cloud.ask("start")
    assert cloud.ask("status") == 1


@pytest.mark.parametrize("behave", ["lie", "ignore_stop"])
def test_stop_that_lies_leaves_the_vms_up(cloud: Cloud, behave: str) -> None:
    cloud.ask("start")
    cloud.misbehave("stop", behave=behave)
    assert cloud.ask("stop") == 0
    assert len(cloud.vms()) == 2


def test_start_that_crashes_starts_nothing_and_one_with_an_exit_code_does(cloud: Cloud) -> None:
    cloud.misbehave("start", behave="crash")
    assert cloud.ask("start") == 1
    assert cloud.vms() == {}
    cloud.misbehave("start", exit=5)
    assert cloud.ask("start") == 5
    assert len(cloud.vms()) == 2


def test_start_that_lies_starts_nothing(cloud: Cloud) -> None:
    cloud.misbehave("start", behave="lie")
    assert cloud.ask("start") == 0
    assert cloud.vms() == {}


def test_slow_stop_answers_late_and_only_once_the_vms_are_gone(cloud: Cloud) -> None:
    cloud.ask("start")
    cloud.misbehave("stop", behave="slow", delay_s=0.3)
    begin_s = time.monotonic()
    assert cloud.ask("stop") == 0
    assert time.monotonic() - begin_s >= 0.3
    assert cloud.vms() == {}


def test_hanging_status_answers_when_the_fault_is_gone(cloud: Cloud) -> None:
    cloud.misbehave("status", behave="hang")
    with subprocess.Popen(cloud.command("status"), stdout=subprocess.DEVNULL) as process:
        try:
            time.sleep(0.3)
            assert process.poll() is None
            cloud.behave()
            assert process.wait(PATIENCE_S) == 1
        finally:
            process.kill()


def test_status_prints_ten_megabytes(cloud: Cloud) -> None:
    cloud.misbehave("status", print_bytes=10_000_000)
    assert len(cloud.call("status").stdout) > 10_000_000


def test_wrong_verb_and_wrong_faults_are_one_line_and_exit_2(cloud: Cloud) -> None:
    assert cloud.ask("restart") == 2
    cloud.faults.write_text("{")
    answer = cloud.call("status")
    assert answer.returncode == 2
    assert "not JSON" in answer.stderr.splitlines()[-1]


def test_command_line_passes_everything_on(cloud: Cloud) -> None:
    simulate = [sys.executable, "-m", "hltmode", "simulate", "cloud", *cloud.command("start")[4:]]
    assert subprocess.run(simulate, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert len(cloud.vms()) == 2
