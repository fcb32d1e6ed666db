"""Switches made from what was seen of a node's mode."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.documents import BOX, Document, Sighting, box_document, document_id
from collector.facts import JournalView, ModeNow, Published
from collector.log.reading import newest_boxes
from collector.log.schema import MADE
from collector.log.store import Keep, Log
from collector.sources.looks import Switched
from collector.sources.observed import SHARP_S, Course, Observed, course_of, follow, moment_s, observed_document
from collector.sources.observer import Observer
from contract.config import Node, NodeConfig, Switch
from contract.modes import MODES, Mode, Wanted
from contract.times import hltd_date, iso
from tests.unit.test_collector_facts import NOW_S, make_box

HLT, LEAVING, CLOUD, RETURNING = Mode
NODE = Node(host="fu-1", appliance="bu-1")
CONFIG = NodeConfig(node=NODE)
LIMITS = Switch(activating_timeout_s=240, deactivating_timeout_s=120)
Seen = tuple[Mode, float]


def watch(*seen: Seen, course: Course | None = None) -> list[Observed]:
    """Returns the switches of a node that was seen in these modes at these seconds."""
    ended: list[Observed] = []
    for mode, at_s in seen:
        course, switches = follow(course, mode, NOW_S + at_s, host="fu-1", limits=LIMITS)
        ended += switches
    return ended


def told(switch: Observed) -> tuple[str, str, float, float, float | None]:
    return switch.to.value, switch.outcome, switch.started_s - NOW_S, switch.ended_s - NOW_S, switch.duration_s


def test_a_switch_to_cloud_is_what_lies_between_hlt_and_cloud() -> None:
    (switch,) = watch((HLT, 0), (LEAVING, 5), (LEAVING, 10), (CLOUD, 15))
    assert told(switch) == ("cloud", "done", 5.0, 15.0, 10.0)
    assert (switch.from_mode, switch.phases, switch.why) == (HLT, {"drain": 10.0}, "")


def test_a_switch_to_hlt_is_what_lies_between_cloud_and_hlt() -> None:
    (switch,) = watch((CLOUD, 0), (RETURNING, 5), (HLT, 10))
    assert told(switch) == ("HLT", "done", 5.0, 10.0, 5.0)
    assert (switch.from_mode, switch.phases) == (CLOUD, {"stop_vms": 5.0})


def test_a_switch_that_was_given_up_is_superseded_or_its_machines_did_not_stop() -> None:
    (out,) = watch((HLT, 0), (LEAVING, 5), (HLT, 10))
    assert (*told(out), out.why) == ("cloud", "superseded", 5.0, 10.0, 5.0, "went back to HLT")
    (back,) = watch((CLOUD, 0), (RETURNING, 5), (CLOUD, 10))
    assert (*told(back), back.why) == ("HLT", "vms_failed", 5.0, 10.0, 5.0, "went back to cloud")


def test_a_switch_between_two_looks_is_recorded_with_the_most_that_it_can_have_taken() -> None:
    (switch,) = watch((HLT, 0), (CLOUD, 5))
    assert told(switch) == ("cloud", "done", 0.0, 5.0, 5.0)
    assert (switch.phases, switch.why) == ({}, "not seen on its way: 5.0 s at most")


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        ([HLT, RETURNING, HLT], ["cloud", "HLT"]),
        ([HLT, LEAVING, RETURNING, HLT], ["cloud", "HLT"]),
        ([CLOUD, LEAVING, CLOUD], ["HLT", "cloud"]),
        ([CLOUD, RETURNING, LEAVING, CLOUD], ["HLT", "cloud"]),
        ([HLT, CLOUD, HLT], ["cloud", "HLT"]),
    ],
)
def test_modes_that_do_not_follow_each_other_were_reached_on_the_shortest_way(
    seen: list[Mode], wanted: list[str]
) -> None:
    switches = watch(*((mode, 5.0 * at) for at, mode in enumerate(seen)))
    assert [switch.to.value for switch in switches] == wanted
    assert {switch.outcome for switch in switches} == {"done"}


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([(LEAVING, 0), (CLOUD, 5)], "began unseen"),
        ([(HLT, 0), (LEAVING, 5), (CLOUD, 3600)], "ended unseen"),
        ([(HLT, 0), (CLOUD, 3600)], "not seen on its way"),
        ([(LEAVING, 0), (CLOUD, 3600)], "began and ended unseen"),
        ([(HLT, 0), (LEAVING, 5), (LEAVING, -3600), (CLOUD, -3595)], "began unseen"),
    ],
)
def test_a_duration_that_nobody_saw_is_left_out(seen: list[Seen], why: str) -> None:
    (switch,) = watch(*seen)
    assert (switch.outcome, switch.duration_s, switch.phases, switch.why) == ("done", None, {}, why)
    fields = observed_document(switch, NODE).fields
    assert "duration_s" not in fields


def test_what_was_seen_longer_than_the_time_limit_was_stuck_even_if_its_ends_are_not_known() -> None:
    long = [(LEAVING, 5.0 * at) for at in range(60)]
    assert watch(*long, (CLOUD, 9999.0))[0].was_stuck
    assert not watch(*long[:30], (CLOUD, 9999.0))[0].was_stuck
    assert watch((HLT, 0), (LEAVING, 5), *long[2:], (CLOUD, 300.0))[0].was_stuck


def test_the_document_has_an_id_of_host_and_start_and_says_that_it_was_observed() -> None:
    (switch,) = watch((HLT, 0), (LEAVING, 5), (CLOUD, 10))
    made = observed_document(switch, NODE)
    assert document_id(made.host, made.kind, made.key) == f"fu-1-switchover-observed-{(NOW_S + 5) * 1e6:.0f}"
    assert msgspec.to_builtins(made.fields) == {
        "@timestamp": iso(NOW_S + 10), "host": "fu-1", "appliance": "bu-1", "subsystem": "cdaq",
        "switch_id": f"fu-1-seen-{iso(NOW_S + 5)}", "who": "", "reason": "", "from_mode": "HLT", "to": "cloud",
        "outcome": "done", "why": "", "started": iso(NOW_S + 5), "ended": iso(NOW_S + 10), "duration_s": 5.0,
        "phases": {"drain": 5.0}, "was_stuck": False, "observed": True,
    }  # fmt: skip


def test_the_moment_is_the_date_of_the_box_but_never_in_the_future() -> None:
    assert moment_s(hltd_date(NOW_S - 3), NOW_S) == NOW_S - 3
    assert moment_s(hltd_date(NOW_S + 3), NOW_S) == NOW_S
    assert moment_s("yesterday", NOW_S) == NOW_S


def test_documents_of_our_switcher_leave_no_course() -> None:
    ours = make_box("on", mode="cloud", vms="up")
    fields = box_document(Sighting(box=ours), ModeNow(mode=CLOUD, since_s=NOW_S, vms=ours.vms), NODE, NOW_S).fields
    assert course_of(fields) is None
    assert course_of({}) is None


MODES_SEEN = st.lists(
    st.tuples(st.sampled_from(Mode), st.one_of(st.floats(0.1, 20), st.floats(20, 1e6))), min_size=1, max_size=30
)


def at_moments(steps: Sequence[tuple[Mode, float]]) -> list[Seen]:
    at_s = NOW_S
    seen = []
    for mode, step_s in steps:
        at_s = moment_s(hltd_date(at_s + step_s), at_s + step_s)
        seen.append((mode, at_s))
    return seen


@given(MODES_SEEN)
def test_any_modes_make_switches_that_do_not_overlap_and_alternate_and_have_ids_of_their_own(
    steps: list[tuple[Mode, float]],
) -> None:
    course, ended = None, list[Observed]()
    for mode, at_s in at_moments(steps):
        course, switches = follow(course, mode, at_s, host="fu-1", limits=LIMITS)
        ended += switches
    assert all(switch.started_s <= switch.ended_s for switch in ended)
    assert all(before.ended_s <= after.started_s for before, after in pairwise(ended))
    keys = [observed_document(switch, NODE).key for switch in ended]
    assert len(set(keys)) == len(keys)
    for before, after in pairwise(ended):
        # Whoever reached cloud leaves for HLT next, and whoever gave up tries the same again.
        reached = Wanted(before.to) if before.outcome == "done" else _other(before.to)
        assert after.to is _other(reached)
    for switch in ended:
        assert switch.duration_s is None or abs(switch.duration_s - (switch.ended_s - switch.started_s)) < 1e-5
        assert (switch.duration_s is None) <= (switch.phases == {})


def _other(to: Wanted) -> Wanted:
    return Wanted.HLT if to is Wanted.CLOUD else Wanted.CLOUD


class Life:
    """One collector after another beside unmodified hltd; a document is in the store when its look is over."""

    def __init__(self) -> None:
        self.box: Document = {}
        self.switches: list[Document] = []
        self.observer = Observer({}, CONFIG)

    def restart(self) -> None:
        left = msgspec.json.decode(msgspec.json.encode(self.box), type=Document)
        self.observer = Observer({"fu-1": left}, CONFIG)

    def look(self, mode: Mode, at_s: float, late_s: float = 0.0) -> None:
        seen = Sighting(box=make_box(MODES[mode].cloud_state, fm_date=hltd_date(at_s)))
        now = self.observer.look(NODE, seen, at_s + late_s, published=None, journal=JournalView())
        self.switches += [each.document.fields for each in self.observer.owed()]
        self.box = box_document(seen, now, NODE, at_s + late_s).fields
        self.observer.kept()


@given(MODES_SEEN, st.sets(st.integers(0, 30)), st.floats(0, 4))
def test_restarts_anywhere_yield_the_same_switches_and_no_younger_mode(
    steps: list[tuple[Mode, float]], restarts: set[int], late_s: float
) -> None:
    steady, broken = Life(), Life()
    for at, (mode, at_s) in enumerate(at_moments(steps)):
        if at in restarts:
            broken.restart()
        for life in (steady, broken):
            life.look(mode, at_s, late_s)
        assert broken.box["mode_since"] == steady.box["mode_since"]
        assert broken.box.get("switch_id") == steady.box.get("switch_id")
    assert broken.switches == steady.switches


def test_a_switch_that_ended_while_the_collector_was_down_is_neither_lost_nor_doubled() -> None:
    life = Life()
    life.look(HLT, NOW_S)
    life.look(LEAVING, NOW_S + 5)
    life.restart()
    life.look(CLOUD, NOW_S + 900)
    life.restart()
    life.look(CLOUD, NOW_S + 905)
    (switch,) = life.switches
    assert (switch["started"], switch["ended"], switch["why"]) == (iso(NOW_S + 5), iso(NOW_S + 900), "ended unseen")
    assert "duration_s" not in switch


def test_a_switch_under_way_is_named_in_the_box_documents_by_the_id_of_its_switchover() -> None:
    life = Life()
    life.look(HLT, NOW_S)
    assert "switch_id" not in life.box
    life.look(LEAVING, NOW_S + 5)
    under_way = life.box["switch_id"]
    life.look(CLOUD, NOW_S + 10)
    assert life.switches[0]["switch_id"] == under_way
    assert "switch_id" not in life.box


def test_what_the_log_did_not_take_is_owed_until_it_does() -> None:
    observer = Observer({}, CONFIG)
    for mode, at_s in ((HLT, 0), (LEAVING, 5), (CLOUD, 10)):
        seen = Sighting(box=make_box(MODES[mode].cloud_state, fm_date=hltd_date(NOW_S + at_s)))
        observer.look(NODE, seen, NOW_S + at_s, published=None, journal=JournalView())
    assert [each.to for each in observer.owed()] == [Wanted.CLOUD]
    assert isinstance(observer.owed()[0], Switched)
    observer.kept()
    assert observer.owed() == ()


def test_a_node_with_our_switcher_is_not_observed_and_what_hltd_had_begun_is_forgotten() -> None:
    life = Life()
    life.look(HLT, NOW_S)
    life.look(LEAVING, NOW_S + 5)
    ours = Sighting(box=make_box("on", mode="cloud", vms="up", fm_date=hltd_date(NOW_S + 10)))
    life.observer.look(NODE, ours, NOW_S + 10, published=Published(CLOUD, NOW_S + 9), journal=JournalView())
    life.look(CLOUD, NOW_S + 15)
    life.look(CLOUD, NOW_S + 20)
    assert life.switches == []


def test_a_longer_interval_makes_a_longer_gap_sharp() -> None:
    start = Course(mode=LEAVING, since_s=NOW_S, seen_s=NOW_S, sharp=True)
    at_s = NOW_S + SHARP_S + 1
    for sharp_s, duration_s in ((SHARP_S, None), (60.0, SHARP_S + 1)):
        _, (switch,) = follow(start, CLOUD, at_s, host="fu-1", limits=LIMITS, sharp_s=sharp_s)
        assert switch.duration_s == duration_s


def test_the_newest_box_of_each_host_is_read_from_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    log = Log(tmp_path_factory.mktemp("log") / "log.sqlite")
    log.open()
    assert newest_boxes(log.path) == {}
    for at_s, host in ((1, "fu-1"), (2, "fu-2"), (3, "fu-1")):
        node = Node(host=host)
        box = box_document(Sighting(box=make_box()), ModeNow(mode=HLT, since_s=NOW_S), node, NOW_S + at_s)
        log.append([box], 0, Keep(days=1e6), NOW_S)
    assert log.counts[BOX, MADE] == 3
    assert {host: box["@timestamp"] for host, box in newest_boxes(log.path).items()} == {
        "fu-1": iso(NOW_S + 3), "fu-2": iso(NOW_S + 2),
    }  # fmt: skip
    log.close()
