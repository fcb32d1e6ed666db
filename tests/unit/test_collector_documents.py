"""The fields of the documents."""

from __future__ import annotations

import msgspec

from collector.documents import Sighting, box_document, dated, document_id, switchover_document
from collector.facts import ModeNow
from contract.box import Box
from contract.config import Node
from contract.journal import PHASES
from contract.modes import Mode, Vms
from contract.times import hltd_date, iso
from tests.unit.test_collector_facts import NOW_S, ended, make_box

NODE = Node(host="fu-1", appliance="bu-1", subsystem="cdaq")


def test_a_box_document_has_the_box_fields_under_hltds_names_and_ours() -> None:
    box = make_box("on", fm_date=hltd_date(NOW_S - 2), mode="cloud", idles=3)
    now = ModeNow(mode=Mode.CLOUD, since_s=NOW_S - 10, switch_id="r1", vms=Vms.UP)
    fields = box_document(Sighting(box=box), now, NODE, NOW_S).fields
    assert {name: fields[name] for name in ("idles", "cloudState", "activeRuns")} == {
        "idles": 3, "cloudState": "on", "activeRuns": [100],
    }  # fmt: skip
    ours = {
        "@timestamp": iso(NOW_S), "host": "fu-1", "appliance": "bu-1", "subsystem": "cdaq", "mode": "cloud",
        "mode_since": iso(NOW_S - 10), "mode_age_s": 10.0, "switch_id": "r1", "vms": "up", "box_age_s": 2.0,
        "box_old": False,
    }  # fmt: skip
    assert {name: fields[name] for name in ours} == ours


def test_every_field_of_the_box_file_reaches_the_document_but_those_for_the_bu() -> None:
    box = make_box(mode="HLT", mode_since=iso(NOW_S), switch_id="r", vms="up", blocker="x", stuck=True)
    now = ModeNow(mode=Mode.HLT, since_s=NOW_S, switch_id="r", vms=Vms.UP)
    fields = box_document(Sighting(box=box), now, NODE, NOW_S).fields
    assert set(Box.__struct_fields__) - set(fields) == {"version", "ip"}


def test_what_is_not_known_is_absent() -> None:
    fields = box_document(Sighting(failed=True), ModeNow(), NODE, NOW_S).fields
    assert set(fields) == {"@timestamp", "host", "appliance", "subsystem", "box_old"}
    assert fields["box_old"] is True


def test_a_box_is_old_when_the_look_failed_or_a_bu_would_not_take_it_any_more() -> None:
    def old(age_s: float, *, failed: bool = False) -> object:
        seen = Sighting(box=make_box(fm_date=hltd_date(NOW_S - age_s)), failed=failed)
        return box_document(seen, ModeNow(), NODE, NOW_S).fields["box_old"]

    assert [old(9.0), old(11.0), old(1.0, failed=True)] == [False, True, True]


def test_a_clock_set_back_makes_no_age_negative() -> None:
    seen = Sighting(box=make_box(fm_date=hltd_date(NOW_S + 60)))
    fields = box_document(seen, ModeNow(mode=Mode.HLT, since_s=NOW_S + 60), NODE, NOW_S).fields
    assert (fields["mode_age_s"], fields["box_age_s"]) == (0.0, 0.0)


def test_a_switchover_document_has_each_phase_the_outcome_and_who_asked() -> None:
    record = msgspec.structs.replace(
        ended(7, 12), who="shift", reason="fill over", phases={"check": 0.1, "drain": 9.5}, outcome="done"
    )
    made = switchover_document(record, NODE)
    assert made.fields == {
        "@timestamp": iso(NOW_S + 12), "host": "fu-1", "appliance": "bu-1", "subsystem": "cdaq", "switch_id": "r1",
        "who": "shift", "reason": "fill over", "from_mode": Mode.HLT, "to": "cloud", "outcome": "done", "why": "",
        "started": iso(NOW_S), "ended": iso(NOW_S + 12), "duration_s": 12.0, "phases": {"check": 0.1, "drain": 9.5},
        "was_stuck": False, "journal_seq": 7,
    }  # fmt: skip
    assert set(record.phases) <= set(PHASES)


def test_the_id_of_a_switchover_holds_for_that_switch_alone() -> None:
    def identity(seq: int, started_s: float) -> str:
        record = msgspec.structs.replace(ended(seq, 1), started=iso(started_s))
        made = switchover_document(record, NODE)
        return document_id(made.host, made.kind, made.key)

    assert identity(7, NOW_S) == identity(7, NOW_S)
    assert len({identity(7, NOW_S), identity(8, NOW_S), identity(7, NOW_S + 1e-6)}) == 3


def test_a_record_whose_times_are_none_is_recognized() -> None:
    assert dated(ended(1, 1))
    assert not dated(msgspec.structs.replace(ended(1, 1), started="soon"))
