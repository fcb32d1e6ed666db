"""The parts around the heart: whose a node is, whom a turn takes, when to warn, what is kept and what is exported."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from contract import metric_names
from contract.beam import FREE_FOR_CLOUD, TOLERATED_S, WHOLE_FARM_WANTED, BeamMode, Warned
from contract.modes import Mode, Wanted
from fleet.follow.beam import Beam, Stay
from fleet.follow.decision import Act, Course
from fleet.follow.gauges import Shown, registry
from fleet.follow.ledger import Effect, Ledger, booked, effects, owed, then
from fleet.follow.record import Entry, Record
from fleet.follow.warnings import Away, warnings
from fleet.follow.whom import whom, whose
from fleet.hosts import Place
from fleet.operation import Operation
from fleet.rollout import Verdict
from fleet.standing import NodeState, Standing
from fleet.store import Store

WHO = "fleet-follow"


def operation(to: Wanted, who: str = WHO, created_s: float = 1.0, verdict: Verdict | None = None) -> Operation:
    return Operation(
        id=f"op-{who}-{created_s:g}", to=to, who=who, reason="", created_s=created_s, order=("fu-1", "fu-2", "fu-3"),
        places={f"fu-{n}": Place(f"fu-{n}") for n in (1, 2, 3)}, limit_s=240.0, verdict=verdict,
    )  # fmt: skip


def nodes(*standings: Standing, words: str = "") -> dict[str, NodeState]:
    return {
        f"fu-{n}": NodeState(host=f"fu-{n}", request_id="x", standing=standing, tries=1, words=words)
        for n, standing in enumerate(standings, 1)
    }


def after(own: dict[str, bool], made: Operation, how: dict[str, NodeState], who: str = WHO) -> dict[str, bool]:
    return booked(own, effects(made, how, who))


SENT = nodes(Standing.DONE, Standing.SWITCHING, Standing.REFUSED)


def test_a_node_is_the_policys_when_its_operation_moved_it_last() -> None:
    own = after({}, operation(Wanted.CLOUD), SENT)
    assert own == {"fu-1": False, "fu-2": False}
    back = nodes(Standing.DONE, Standing.STUCK)
    assert after(own, operation(Wanted.HLT), back) == {"fu-2": True}
    assert after(own, operation(Wanted.HLT, "anna"), nodes(Standing.DONE)) == {"fu-2": False}
    assert after(own, operation(Wanted.CLOUD, "anna"), nodes(Standing.ALREADY)) == {"fu-2": False}
    assert after(own, operation(Wanted.CLOUD, "anna"), nodes(Standing.WAITING)) == own


def test_who_asked_later_has_the_node_unless_it_was_the_policy_itself() -> None:
    own = {"fu-1": False}
    for words, left in (("anna asked for cloud", {}), (f"{WHO} asked for cloud", {"fu-1": True})):
        assert after(own, operation(Wanted.HLT), nodes(Standing.SUPERSEDED, words=words)) == left


def test_who_was_asked_back_already_is_asked_again_when_it_is_seen_away() -> None:
    own = {"first": False, "away": True, "leaving": True, "back": True, "coming": True, "silent": True, "held": False}
    modes = {
        "first": Mode.HLT, "away": Mode.CLOUD, "leaving": Mode.ACTIVATING_CLOUD, "back": Mode.HLT,
        "coming": Mode.DEACTIVATING_CLOUD, "silent": None, "held": Mode.CLOUD,
    }  # fmt: skip
    assert owed(own, modes, ["held"]) == ["first", "away", "leaving"]


def test_the_ledger_reads_what_is_over_once_and_what_goes_on_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    ledger = Ledger(store, WHO)
    out = operation(Wanted.CLOUD)
    store.begin(out, SENT.values(), {})
    assert ledger.own() == {"fu-1": False, "fu-2": False}
    store.save(out, nodes(Standing.DONE, Standing.REFUSED, Standing.REFUSED).values())
    assert ledger.own() == {"fu-1": False}
    store.save(operation(Wanted.CLOUD, verdict=Verdict.PARTIAL), [])
    back = operation(Wanted.HLT, created_s=2.0)
    store.begin(back, nodes(Standing.SWITCHING, Standing.WAITING, Standing.WAITING).values(), {})
    assert ledger.own() == {"fu-1": True}
    store.save(back, nodes(Standing.DONE).values())
    assert ledger.own() == Ledger(store, WHO).own() == {}
    store.close()


def test_two_effects_on_a_node_are_one_whatever_it_was_before() -> None:
    for first in Effect:
        for second in Effect:
            both = then({"fu-1": first, "fu-2": first}, {"fu-1": second, "fu-3": second})
            for own in ({}, {"fu-1": False, "fu-3": True}, {"fu-1": True, "fu-2": False}):
                assert booked(own, both) == booked(
                    booked(own, {"fu-1": first, "fu-2": first}), {"fu-1": second, "fu-3": second}
                )


def test_what_is_over_is_read_once_also_behind_one_that_nobody_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    ledger = Ledger(store, WHO)
    abandoned = operation(Wanted.CLOUD, "anna")
    store.begin(abandoned, nodes(Standing.WAITING, Standing.DONE, Standing.WAITING).values(), {})
    ways = [Wanted.CLOUD, Wanted.HLT, Wanted.CLOUD, Wanted.CLOUD, Wanted.HLT, Wanted.CLOUD]
    for number, to in enumerate(ways, 2):
        states = nodes(*(Standing.SWITCHING if (number + n) % 3 else Standing.DONE for n in range(3)))
        store.save(operation(to, created_s=number, verdict=Verdict.PARTIAL), states.values())
        assert ledger.own() == Ledger(store, WHO).own()
    read: list[str] = []
    operation_of = store.operation

    def noted(name: str) -> Operation:
        read.append(name)
        return operation_of(name)

    monkeypatch.setattr(store, "operation", noted)
    own = ledger.own()
    assert read == [abandoned.id]
    store.save(msgspec.structs.replace(abandoned, verdict=Verdict.PARTIAL), [])
    assert ledger.own() == own == Ledger(store, WHO).own()
    read.clear()
    assert ledger.own() == own
    assert read == []
    store.close()


def test_what_stays_is_spread_and_people_s_nodes_count_among_it() -> None:
    modes: dict[str, Mode | None] = {f"fu-{n}": Mode.HLT for n in range(20)}
    modes |= {"fu-18": Mode.CLOUD, "fu-19": None}
    appliances = {f"fu-{n}": f"bu-{n % 2}" for n in range(20)}
    sent = whom(modes, appliances, 10, held={"fu-1"}, taken={"fu-0", "fu-3"})
    assert (sent.keep_total, sent.keep_each, sent.most) == (8, 4, 8)
    assert not {"fu-0", "fu-3", "fu-18", "fu-19"} & set(sent.hosts)
    assert whom(modes, appliances, 18, held=(), taken=()).most == 0
    assert whom(modes, appliances, 0, held=modes, taken=()).most == 0


def test_a_warning_says_whose_the_nodes_are() -> None:
    taken = {"c": "op-1 of anna"}
    said = whose(["a", "b", "c", "d", "e"], own=["a", "b"], held=["e"], taken=taken)
    assert said == "2 sent by the policy, 1 in op-1 of anna, 1 not sent by the policy, 1 on hold"


@pytest.mark.parametrize("mode", BeamMode)
@pytest.mark.parametrize(("away", "many"), [(3, False), (4, True)])
def test_too_many_away_is_said_at_once_in_collisions_and_else_after_half_an_hour(
    mode: BeamMode, away: int, many: bool
) -> None:
    def said(for_s: float) -> set[Warned]:
        beam = Beam(heard_s=10_000.0, stays=(Stay(BeamMode.NO_BEAM, 0.0), Stay(mode, 10_000.0 - for_s)))
        return set(warnings(beam, Away(100, away), 120.0, 10_000.0))

    collisions = {Warned.COLLISIONS} if many and mode in WHOLE_FARM_WANTED else set()
    assert said(0.0) == said(TOLERATED_S - 1.0) == collisions
    late = {Warned.LATE} if many and mode not in FREE_FOR_CLOUD | WHOLE_FARM_WANTED else set()
    assert said(TOLERATED_S) == collisions | late


def test_of_nodes_that_nobody_has_seen_nothing_is_said_and_of_a_lost_beam_always() -> None:
    quiet = Beam(heard_s=0.0, stays=(Stay(BeamMode.STABLE_BEAMS, 0.0),), trouble="not reached")
    found = warnings(quiet, None, 120.0, 121.0)
    assert found == {Warned.BEAM: "no beam mode for 2 min 1 s, so HLT is wanted: not reached"}


def test_the_log_the_hold_and_the_memory_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    store = Store(path)
    record = Record(store)
    beam = Beam(heard_s=5.0, stays=(Stay(BeamMode.RAMP, 1.0), Stay(None, 4.0)), trouble="gone")
    course = Course(to=Wanted.CLOUD, keep=7, cloud_s=3.0)
    record.keep(beam, course)
    record.add(Entry(at_s=1.0, kind=Act.TO_CLOUD.value, reason="gap"))
    record.hold("anna", "study")
    store.close()
    again = Record(Store(path))
    assert (again.kept(Beam), again.kept(Course)) == (beam, course)
    held = again.held()
    assert held
    assert held.words == "anna: study"
    assert again.release("ben") == held
    assert again.release("ben") is None
    assert [(entry.kind, entry.who) for entry in again.entries()] == [
        ("to cloud", ""),
        ("hold", "anna"),
        ("release", "ben"),
    ]
    assert [entry.seq for entry in again.entries(2)] == [2, 3]


def exported(shown: Shown) -> dict[str, dict[str, float]]:
    families = text_string_to_metric_families(generate_latest(registry(lambda: shown)).decode())
    samples = [sample for family in families for sample in family.samples]
    found: dict[str, dict[str, float]] = {}
    for sample in samples:
        found.setdefault(sample.name, {})[next(iter(sample.labels.values()), "")] = sample.value
    return found


def test_the_beam_mode_is_a_complete_state_set_while_it_is_known() -> None:
    found = exported(Shown(beam=BeamMode.SQUEEZE, beam_since_s=1.0, heard_s=2.0, looked_s=3.0))
    assert found[metric_names.BEAM_MODE] == {mode.value: float(mode is BeamMode.SQUEEZE) for mode in BeamMode}
    names = {value for name, value in vars(metric_names).items() if name.startswith(("FOLLOW_", "BEAM_"))}
    assert set(found) == names
    assert metric_names.BEAM_MODE not in exported(Shown(heard_s=2.0))


def test_every_state_has_a_series_from_the_start() -> None:
    found = exported(Shown(wanted=Wanted.CLOUD, modes={Mode.CLOUD: 7}, under_way=frozenset({Wanted.HLT})))
    assert found[metric_names.FOLLOW_WANTED] == {"cloud": 1.0, "HLT": 0.0, "stay": 0.0}
    assert exported(Shown())[metric_names.FOLLOW_WANTED]["stay"] == 1.0
    assert found[metric_names.FOLLOW_NODES] == {mode.value: 7.0 * (mode is Mode.CLOUD) for mode in Mode}
    assert found[metric_names.FOLLOW_UNDER_WAY] == {"cloud": 0.0, "HLT": 1.0}
    assert set(found[metric_names.FOLLOW_WARNING].values()) == {0.0}
    assert found[metric_names.FOLLOW_DECISIONS] == {"to cloud": 0.0, "to HLT": 0.0, "cut short": 0.0}
