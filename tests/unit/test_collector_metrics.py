"""The metrics as Prometheus reads them."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collector.documents import BOX, Sighting, switchover_document
from collector.facts import ModeNow
from collector.log.schema import DROPPED_AGE, MADE
from collector.metrics import PHASES_TO, Metrics, Snapshot
from collector.sources.looks import NodeLook, Switched
from contract import metric_names as names
from contract.config import Limits, Node, Role, Switch
from contract.journal import PHASES
from contract.metric_names import MODE, MODE_SINCE
from contract.modes import Mode, Vms
from contract.times import hltd_date
from tests.unit.test_collector_facts import NOW_S, ended, make_box

Labels = frozenset[tuple[str, str]]
TARGET = {"host": "fu-1", "appliance": "bu-1"}


@pytest.fixture
def metrics() -> Metrics:
    node = Node(host="fu-1", appliance="bu-1")
    return Metrics(node, Role.NODE, Switch(activating_timeout_s=240, deactivating_timeout_s=120))


def one_node(**what: Any) -> Snapshot:
    return Snapshot(nodes=(NodeLook(host="fu-1", appliance="bu-1", **what),))


def scrape(metrics: Metrics) -> dict[str, dict[Labels, float]]:
    """Returns the value of each series: by name, then by its labels other than host and appliance."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            assert TARGET.items() <= sample.labels.items(), sample
            labels = frozenset(sample.labels.items() - TARGET.items())
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def label(name: str, values: dict[Labels, float]) -> dict[str, float]:
    return {dict(labels)[name]: value for labels, value in values.items()}


@pytest.mark.parametrize("mode", list(Mode))
def test_the_mode_is_a_complete_state_set(metrics: Metrics, mode: Mode) -> None:
    metrics.snapshot = one_node(now=ModeNow(mode=mode, since_s=NOW_S))
    found = scrape(metrics)
    assert label("mode", found[MODE]) == {each.value: float(each is mode) for each in Mode}
    assert list(found[MODE_SINCE].values()) == [NOW_S]


def test_an_unknown_mode_is_four_times_0_and_has_no_beginning(metrics: Metrics) -> None:
    found = scrape(metrics)
    assert label("mode", found[MODE]) == {each.value: 0.0 for each in Mode}
    assert MODE_SINCE not in found


def test_modes_that_pass_have_a_time_limit_from_the_configuration(metrics: Metrics) -> None:
    assert label("mode", scrape(metrics)[names.MODE_TIMEOUT]) == {"activatingCloud": 240.0, "deactivatingCloud": 120.0}
    metrics.timeouts = Switch(activating_timeout_s=60)
    assert label("mode", scrape(metrics)[names.MODE_TIMEOUT])["activatingCloud"] == 60.0


def test_every_series_of_the_box_and_the_node(metrics: Metrics) -> None:
    box = make_box("on", fm_date=hltd_date(time.time() - 100), activeRuns=[7, 9], stuck=True, mode="cloud")
    metrics.snapshot = one_node(
        now=ModeNow(mode=Mode.CLOUD, since_s=NOW_S, vms=Vms.STARTING),
        seen=Sighting(box=box),
        cores={"idle": 1, "cloud": 3},
    )
    found = scrape(metrics)
    assert label("state", found[names.CORES]) == {"idle": 1.0, "cloud": 3.0}
    assert label("state", found[names.VMS]) == {each.value: float(each is Vms.STARTING) for each in Vms}
    assert list(found[names.ACTIVE_RUN].values()) == [9.0]
    assert list(found[names.STUCK].values()) == [1.0]
    (age_s,) = found[names.BOX_AGE].values()
    assert age_s >= 100


def test_the_blocker_is_one_series_as_long_as_the_node_waits_for_the_same(metrics: Metrics) -> None:
    for words in (
        "run 7: 2 jobs, pid 11, 12 until LS 9 (merged LS 3)",
        "run 7: 2 jobs, pid 11, 12 until LS 9 (merged LS 4)",
    ):
        metrics.snapshot = one_node(seen=Sighting(box=make_box(blocker=words)))
        assert label("blocker", scrape(metrics)[names.BLOCKER]) == {"run 7: 2 jobs, pid 11, 12 until LS 9": 1.0}
    metrics.snapshot = one_node(seen=Sighting(box=make_box(blocker="x" * 5000)))
    assert label("blocker", scrape(metrics)[names.BLOCKER]) == {"x" * 200: 1.0}
    metrics.snapshot = one_node(seen=Sighting(box=make_box(blocker="")))
    assert names.BLOCKER not in scrape(metrics)


@pytest.mark.parametrize(("told", "disagrees"), [("cloud", 0.0), ("HLT", 1.0)])
def test_a_box_that_tells_another_mode_is_shown(metrics: Metrics, told: str, disagrees: float) -> None:
    metrics.snapshot = one_node(now=ModeNow(mode=Mode.CLOUD), seen=Sighting(box=make_box(mode=told)))
    assert list(scrape(metrics)[names.MODE_BOX_DISAGREES].values()) == [disagrees]


@pytest.mark.parametrize("ahead_s", [3600.0, 0.0, -100.0])
def test_a_clock_that_is_off_is_shown_beside_the_clock_of_the_file_system(metrics: Metrics, ahead_s: float) -> None:
    metrics.snapshot = one_node(seen=Sighting(box=make_box(fm_date=hltd_date(NOW_S + ahead_s)), changed_s=NOW_S))
    assert list(scrape(metrics)[names.CLOCK_SKEW].values()) == [ahead_s]


def test_the_collector_shows_its_own_clock(metrics: Metrics) -> None:
    before_s = time.time()
    (shown_s,) = scrape(metrics)[names.CLOCK].values()
    assert before_s <= shown_s <= time.time()


def test_limits_come_from_the_configuration(metrics: Metrics) -> None:
    metrics.snapshot = msgspec.structs.replace(one_node(), interval_s=30.0)
    found = scrape(metrics)
    assert label("of", found[names.LIMIT]) == {names.OF_BOX_AGE: 30.0, names.OF_CLOCK_OFF: 5.0}
    assert list(found[names.CHANGES_LIMIT].values()) == [6.0]
    # an agent that samples every half minute misses three before it is late
    assert label("of", found[names.AGENT_LIMIT]) == {
        names.OF_CLOCK_OFF: 5.0, names.OF_SAMPLE_AGE: 90.0, names.OF_BACKLOG_AGE: 900.0,
    }  # fmt: skip
    metrics.limits = Limits(box_age_s=60, sample_age_s=120, mode_changes=8)
    found = scrape(metrics)
    assert label("of", found[names.LIMIT])[names.OF_BOX_AGE] == 60.0
    assert label("of", found[names.AGENT_LIMIT])[names.OF_SAMPLE_AGE] == 120.0
    assert list(found[names.CHANGES_LIMIT].values()) == [8.0]


def test_the_age_of_the_box_grows_from_scrape_to_scrape_without_a_sample(metrics: Metrics) -> None:
    metrics.snapshot = one_node(seen=Sighting(box=make_box(fm_date=hltd_date(time.time()))))
    (first,) = scrape(metrics)[names.BOX_AGE].values()
    time.sleep(0.02)
    (second,) = scrape(metrics)[names.BOX_AGE].values()
    assert second > first


def test_nothing_is_said_about_a_box_that_was_never_read(metrics: Metrics) -> None:
    found = scrape(metrics)
    assert not {names.BLOCKER, names.MODE_BOX_DISAGREES, names.CLOCK_SKEW} & set(found)
    assert not {names.BOX_AGE, names.ACTIVE_RUN, names.STUCK, names.VMS, names.CORES} & set(found)


def test_a_switch_is_counted_with_each_of_its_phases(metrics: Metrics) -> None:
    record = msgspec.structs.replace(ended(1, 12), phases={"check": 0.2, "drain": 11.0, "hand_over": 0.8})
    document = switchover_document(record, Node(host="fu-1", appliance="bu-1"))
    for _ in range(2):
        metrics.ended(Switched(document, "fu-1", record.to, record.outcome, record.phases))
    found = scrape(metrics)
    sums = {labels: value for labels, value in found[f"{names.SWITCH_PHASE}_sum"].items() if value}
    assert {dict(labels)["phase"]: value for labels, value in sums.items()} == {
        "check": 0.4, "drain": 22.0, "hand_over": 1.6,
    }  # fmt: skip
    assert {dict(labels)["to"] for labels in sums} == {"cloud"}
    assert found[names.SWITCHES][frozenset({"to": "cloud", "outcome": "done"}.items())] == 2.0


def test_every_phase_has_its_series_before_the_first_switch(metrics: Metrics) -> None:
    found = label("phase", scrape(metrics)[f"{names.SWITCH_PHASE}_count"])
    assert found == dict.fromkeys(PHASES, 0.0)
    assert {phase for phases in PHASES_TO.values() for phase in phases} == set(PHASES)


def test_documents_are_counted_by_kind_and_losses_by_reason(metrics: Metrics) -> None:
    metrics.snapshot = Snapshot(counts={(BOX, MADE): 9, (BOX, DROPPED_AGE): 2}, log_bytes=4096, log_up=True)
    found = scrape(metrics)
    assert label("kind", found[names.MADE_TOTAL]) == {"box": 9.0, "switchover": 0.0}
    dropped = {(dict(labels)["kind"], dict(labels)["reason"]): n for labels, n in found[names.DROPPED_TOTAL].items()}
    assert dropped[BOX, DROPPED_AGE] == 2.0
    assert sum(dropped.values()) == 2.0 and len(dropped) == 8
    assert list(found[names.LOG_BYTES].values()) == [4096.0]
