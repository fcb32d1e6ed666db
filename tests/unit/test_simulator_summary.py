"""The BU's sum over its box files, beside what a real BU wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from contract.box import Box, BuBox, RunStats, read_box
from contract.times import hltd_date, unix
from simulator.summary import Reported, ResourceSummary, asked, summarise

SAMPLES: Final = Path(__file__).parents[1] / "samples"
NOW_S: Final = unix("2026-11-23T11:20:40")


def sample(name: str) -> Box:
    box = read_box(SAMPLES / "boxes" / f"{name}.json")
    assert isinstance(box, Box)
    return box


def bu(**changes: Any) -> BuBox:
    box = read_box(SAMPLES / "boxes" / "bu.json")
    assert isinstance(box, BuBox)
    return msgspec.structs.replace(box, **changes)


def reported(box: Box, *, age_s: float = 1.0, clock_off_s: float = 0.0, **changes: Any) -> Reported:
    written_s = NOW_S - age_s
    date = hltd_date(written_s + clock_off_s)
    return Reported(msgspec.structs.replace(box, fm_date=date, **changes), written_s)


def summary(
    boxes: dict[str, Reported], *, own: BuBox | None = None, active_run: int = 0, occupancy: float = 0.0
) -> ResourceSummary:
    return summarise(boxes, bu=own or bu(), active_run=active_run, ramdisk_occupancy=occupancy, now_s=NOW_S)


BEFORE_ANY_RUN: Final = {"daqSystem": "N/A", "daqInstance": "N/A", "fuGroup": "N/A"}


@pytest.mark.parametrize(
    ("box", "expected", "active_run", "own"),
    [
        ("fu-off-norun", "idle", 0, BEFORE_ANY_RUN),
        ("fu-off-run", "run", 100, {}),
        ("fu-starting-run", "masked-run-draining", 100, {}),
        ("fu-on-norun", "all-in-cloud", 0, {}),
    ],
)
def test_summary_is_the_real_one_field_for_field(box: str, expected: str, active_run: int, own: dict[str, str]) -> None:
    wanted = json.loads((SAMPLES / "resource_summary" / f"{expected}.json").read_text())
    made = summary(
        {"fu": reported(sample(box))}, own=bu(**own), active_run=active_run, occupancy=wanted["ramdisk_occupancy"]
    )
    fields = msgspec.to_builtins(made)
    assert fields == wanted
    assert list(fields) == list(wanted)


def test_box_silent_for_more_than_ten_seconds_drops_out_of_the_sum() -> None:
    boxes = {"old": reported(sample("fu-off-run"), age_s=10.5), "new": reported(sample("fu-off-run"), age_s=9.5)}
    assert summary(boxes).used == 4
    assert asked(boxes, NOW_S) == ["new"]


def test_box_of_another_version_is_skipped() -> None:
    assert summary({"fu": reported(sample("fu-off-run"), version=4)}).used == 0


@pytest.mark.parametrize("off_s", [-8, 8])
def test_box_whose_clock_is_off_counts_as_stale_and_does_not_report(off_s: float) -> None:
    boxes = {"fu": reported(sample("fu-starting-run"), clock_off_s=off_s)}
    made = summary(boxes)
    assert (made.stale_resources, made.used, made.bu_stop_requests_flag) == (4, 0, False)
    assert asked(boxes, NOW_S) == []


def test_box_with_a_stale_handle_or_without_a_date_counts_as_stale() -> None:
    handle = reported(sample("fu-off-run"), detectedStaleHandle=True)
    dateless = Reported(msgspec.structs.replace(sample("fu-off-run"), fm_date="yesterday"), NOW_S)
    assert summary({"a": handle, "b": dateless}).stale_resources == 8


def test_stop_requests_only_once_every_unit_that_reports_is_masked() -> None:
    masked, working = reported(sample("fu-starting-run")), reported(sample("fu-off-run"))
    assert not summary({"a": masked, "b": working}).bu_stop_requests_flag
    assert summary({"a": masked, "b": reported(sample("fu-on-norun"))}).bu_stop_requests_flag
    assert not summary({}).bu_stop_requests_flag


def test_only_units_that_are_off_count_as_active() -> None:
    boxes = {
        state: reported(sample("fu-off-run"), cloudState=state)
        for state in ("off", "starting", "on", "stopping", "resourcesMasked")
    }
    made = summary(boxes, active_run=100)
    assert (made.active_resources, made.used, made.active_resources_activeRun) == (4, 20, 20)
    assert asked(boxes, NOW_S) == ["off"]


def test_run_figures_come_from_the_units_in_the_newest_run() -> None:
    run = sample("fu-off-run")
    stats = RunStats(run=101, totalRes=4, qRes=0, ongoing=True, errors=3, errorsRes=8)
    boxes = {
        "a": reported(run, activeRuns=[100], activeRunNumQueuedLS=9, activeRunCMSSWMaxLS=90, activeRunMaxLSOut=7),
        "b": reported(run, activeRuns=[100, 101], activeRunNumQueuedLS=2, activeRunMaxLSOut=5, activeRunStats=[stats]),
        "c": reported(run, activeRuns=[101], activeRunNumQueuedLS=3, activeRunCMSSWMaxLS=6),
    }
    made = summary(boxes, active_run=101)
    assert (made.activeFURun, made.activeRunNumQueuedLS, made.activeRunCMSSWMaxLS) == (101, 3, 6)
    assert made.activeRunLSWithOutput == 5
    assert made.active_resources_activeRun == 8
    assert made.activeRunHLTErr == 2.0


def test_processor_name_is_common_or_unknown() -> None:
    one, other = reported(sample("fu-off-run")), reported(sample("fu-off-run"), cpuName="Another")
    assert summary({"a": one, "b": one}).fuCPUName == "Processor"
    assert summary({"a": one, "b": other}).fuCPUName == "Unknown"
    assert summary({}).fuCPUName == "N/A"
