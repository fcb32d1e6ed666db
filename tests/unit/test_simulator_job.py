"""What job, merge script and BU decide from what they see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.paths import BuPaths
from simulator import living, rundir
from simulator.cmssw import Sight, Step, next_step, read_stop
from simulator.merge import LOOKS_IN_A_ROW, Merged, Meter, looks_wanted
from simulator.merge import Sight as MergeSight


@pytest.mark.parametrize(
    ("done", "sight", "step"),
    [
        (0, Sight(), Step.WAIT),
        (0, Sight(closed=2), Step.CLOSE),
        (2, Sight(closed=2), Step.WAIT),
        (2, Sight(closed=4, last_wanted=4), Step.CLOSE),
        (4, Sight(closed=5, last_wanted=4), Step.END),
        (9, Sight(closed=9, last_wanted=1), Step.END),
        (3, Sight(closed=3, last_wanted=5, ended=True), Step.END),
        (1, Sight(closed=3, ended=True), Step.CLOSE),
        (3, Sight(closed=3, ended=True), Step.END),
        (0, Sight(closed=3, told_alone=True), Step.END),
    ],
)
def test_job_ends_after_its_last_lumisection_alone_or_with_the_run(done: int, sight: Sight, step: Step) -> None:
    assert next_step(done, sight) is step


def test_job_that_does_not_obey_ends_with_the_run_only() -> None:
    told = Sight(closed=3, last_wanted=1, told_alone=True)
    assert next_step(3, told, obeys=False) is Step.WAIT
    assert next_step(3, told._replace(ended=True), obeys=False) is Step.END


@pytest.mark.parametrize(
    ("content", "last"),
    [('{"lastLS": 7}', 7), ("{}", None), ("[1]", None), ("half {", None), ('{"lastLS": "x"}', None)],
)
def test_stop_file_that_says_nothing_is_not_obeyed(tmp_path: Path, content: str, last: int | None) -> None:
    stop = tmp_path / "CMSSW_STOP"
    assert read_stop(stop) is None
    stop.write_text(content)
    assert read_stop(stop) == last


def test_merge_script_ends_at_once_for_the_marker_and_after_some_looks_without_it() -> None:
    assert looks_wanted(MergeSight()) is None
    assert looks_wanted(MergeSight(over=True)) == 1
    assert looks_wanted(MergeSight(deserted=True)) == LOOKS_IN_A_ROW
    assert looks_wanted(MergeSight(gone=True)) == LOOKS_IN_A_ROW


def test_bandwidths_forget_what_is_old() -> None:
    meter = Meter()
    assert meter.bandwidths(0.0) == (0, 0)
    for time_s, lumisection in ((1.0, 1), (2.0, 2), (3.0, 2)):
        meter.add(Merged(time_s, lumisection, 100))
    assert meter.bandwidths(4.0) == (30, 20)
    assert meter.bandwidths(20.0) == (0, 0)


def test_names_are_those_of_the_contract(tmp_path: Path) -> None:
    paths = BuPaths(tmp_path)
    paths.run_dir(100).mkdir()
    assert rundir.last_closed(paths.run_dir(100)) == 0
    for lumisection in (1, 2, 12345):
        paths.eols(100, lumisection).touch()
    assert rundir.last_closed(paths.run_dir(100)) == 12345
    assert not rundir.ended(paths.run_dir(100), 100)
    paths.eor(100).touch()
    assert rundir.ended(paths.run_dir(100), 100)


def test_pid_used_again_is_another_process() -> None:
    own = living.started(os.getpid())
    assert own is not None
    assert living.alive(os.getpid(), own)
    assert not living.alive(os.getpid(), own + 1)
    assert living.started(2**22 + 1) is None
