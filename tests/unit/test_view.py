"""What the node shows: a box file as BUs know it, masks, and a blocker that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.box import Box
from contract.modes import Mode, Vms, Wanted
from contract.paths import RunRef
from contract.request import Request
from switcher.figures import Figures
from switcher.run_files import QueueStatus
from switcher.states import Position, Run, State
from switcher.timeline import Journey, Now, Timeline
from switcher.tokens import Tokens
from switcher.view import Identity, RunView, Snapshot, blocker, build_box, build_status

SAMPLES = sorted((Path(__file__).parent.parent / "samples" / "boxes").glob("fu-*.json"))
WHO = Identity(host="fu-1", appliance="bu-1", ip="10.0.0.1", cpu_name="CPU", phys_cores=4, hyperthreads=8)
NOW = Now(1_800_000_000.0, 500.0)
CORES = Tokens(idle=("core0",), online=("core1", "core2"), broken=("core3",), quarantined=("core4",))


def shot(position: Position, wanted: Wanted, **more: Any) -> Snapshot:
    state = State(position=position, wanted=wanted, runs=(Run(RunRef(100)),), **more.pop("state", {}))
    timeline = Timeline(mode_since=Now(1_799_999_000.0, 400.0), boot_id="boot")
    run = RunView(number=100, told="nothing", ended=False, jobs=(11, 12), merge=13, cores=2, broken=1, crashes=1)
    return Snapshot(state=state, timeline=timeline, tokens=CORES, **({"runs": (run,)} | more))


def box(shown: Snapshot) -> dict[str, Any]:
    built: dict[str, Any] = json.loads(msgspec.json.encode(build_box(shown, WHO, Figures(10, 100, 0.5, 0.25), NOW)))
    return built


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_box_of_ours_has_every_field_of_a_real_one_of_the_same_type(sample: Path) -> None:
    real = json.loads(sample.read_text())
    ours = box(shot(Position.HLT, Wanted.HLT))
    assert {name: type(ours.get(name)) for name in real} == {name: type(value) for name, value in real.items()}
    if real["activeRunStats"]:
        theirs = real["activeRunStats"][0]
        stats = ours["activeRunStats"][0]
        assert {name: type(stats.get(name)) for name in theirs} == {name: type(value) for name, value in theirs.items()}


def test_the_samples_are_there() -> None:
    assert len(SAMPLES) == 4


def test_in_hlt_the_counts_are_true() -> None:
    built = box(shot(Position.HLT, Wanted.HLT))
    assert (built["idles"], built["used"], built["broken"], built["quarantined"], built["cloud"]) == (1, 2, 1, 1, 0)
    assert (built["cloudState"], built["mode"]) == ("off", "HLT")


@pytest.mark.parametrize(
    ("position", "wanted", "cloud_state"),
    [
        (Position.DRAINING, Wanted.CLOUD, "starting"),
        (Position.DRAINING, Wanted.HLT, "stopping"),
        (Position.CLOUD, Wanted.CLOUD, "on"),
        (Position.STOPPING_VMS, Wanted.HLT, "stopping"),
        (Position.TAKING_BACK, Wanted.HLT, "stopping"),
    ],
)
def test_outside_hlt_the_node_is_masked_in_both_forms(position: Position, wanted: Wanted, cloud_state: str) -> None:
    built = box(shot(position, wanted))
    assert (built["idles"], built["used"], built["broken"], built["cloud"]) == (0, 0, 0, 5)
    assert built["cloudState"] == cloud_state
    assert (built["used_activeRun"], built["broken_activeRun"], built["activeRuns"]) == (2, 1, [100])


def test_a_box_of_ours_is_read_back_as_it_was_built() -> None:
    built = build_box(shot(Position.HLT, Wanted.HLT), WHO, Figures(), NOW)
    assert msgspec.json.decode(msgspec.json.encode(built), type=Box) == built


def test_the_blocker_names_pids_and_lumisection_then_the_merge_script() -> None:
    run = RunView(
        number=100, told="last_lumisection", ended=False, jobs=(11, 12), merge=13, last_lumisection=9,
        queue=QueueStatus(maxLSWithOutput=7),
    )  # fmt: skip
    draining = {"cleared": True}
    shown = shot(Position.DRAINING, Wanted.CLOUD, state=draining, runs=(run,))
    assert blocker(shown) == "run 100: 2 jobs, pid 11, 12 until LS 9 (merged LS 7)"
    merging = msgspec.structs.replace(run, jobs=())
    assert blocker(shot(Position.DRAINING, Wanted.CLOUD, state=draining, runs=(merging,))) == (
        "run 100: merge script, pid 13"
    )


@pytest.mark.parametrize(
    ("position", "wanted", "state", "calling", "words"),
    [
        (Position.HLT, Wanted.HLT, {}, "", ""),
        (Position.CLOUD, Wanted.CLOUD, {"vms": Vms.UP}, "", ""),
        (
            Position.CLOUD,
            Wanted.CLOUD,
            {"vms": Vms.FAILED, "trouble": "cloud tool start: exit 3"},
            "",
            "next try of the cloud tool after: cloud tool start: exit 3",
        ),
        (
            Position.STOPPING_VMS,
            Wanted.HLT,
            {},
            "cloud tool stop (pid 7)",
            "cloud tool stop (pid 7)",
        ),
        (Position.STOPPING_VMS, Wanted.HLT, {}, "", "VMs that still run"),
        (Position.TAKING_BACK, Wanted.HLT, {"trouble": "core3: Read-only"}, "", "core token core3: Read-only"),
    ],
)
def test_who_waits_says_for_what(
    position: Position, wanted: Wanted, state: dict[str, Any], calling: str, words: str
) -> None:
    assert blocker(shot(position, wanted, state=state, calling=calling)) == words


def test_a_disk_that_refuses_comes_before_any_other_blocker() -> None:
    shown = shot(Position.DRAINING, Wanted.CLOUD, disk_trouble="state.json: cannot be written")
    assert blocker(shown) == "state.json: cannot be written"


def test_the_status_tells_the_age_of_the_switch_and_its_phases() -> None:
    request = Request(id="r1", to=Wanted.CLOUD)
    shown = shot(Position.CLOUD, Wanted.CLOUD, state={"switch": request, "vms": Vms.STARTING})
    journey = Journey(
        request=request,
        from_mode=Mode.HLT,
        started=Now(0.0, 490.0),
        phase="start_vms",
        phase_since=Now(0.0, 497.0),
        phases={"check": 7.0},
    )
    shown = msgspec.structs.replace(shown, timeline=msgspec.structs.replace(shown.timeline, journey=journey))
    status = build_status(shown, WHO, NOW)
    assert status.switch is not None
    assert status.switch.age_s == 10.0
    assert status.switch.phases == {"check": 7.0, "start_vms": 3.0}
    assert status.mode_age_s == 100.0
