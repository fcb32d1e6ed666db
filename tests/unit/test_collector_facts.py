"""Which mode a node is in, and since when, from sources that may be missing or behind."""

from __future__ import annotations

import msgspec
import pytest

from collector.facts import JournalView, ModeNow, Published, fold, mode_now
from contract.box import Box
from contract.journal import AnyRecord, MoveRecord, RequestRecord, StartRecord, SwitchRecord
from contract.modes import Mode, Vms, Wanted
from contract.times import iso

NOW_S = 1_800_000_000.0


def make_box(cloud_state: str = "off", **ours: object) -> Box:
    fields = {
        "fm_date": "2026-11-23T11:20:31.456946", "idles": 4, "used": 0, "broken": 0, "used_activeRun": 0,
        "broken_activeRun": 0, "cloud": 0, "quarantined": 0, "usedDataDir": 1, "totalDataDir": 10,
        "fuDataAlarm": False, "activeRuns": [100], "activeRunNumQueuedLS": -1, "activeRunCMSSWMaxLS": -1,
        "activeRunStats": [], "cloudState": cloud_state, "detectedStaleHandle": False, "version": 5,
    }  # fmt: skip
    return msgspec.convert(fields | ours, Box)


def move(
    seq: int, before: Mode, after: Mode, second: int, vms: Vms = Vms.DOWN, switch: str | None = "r1"
) -> MoveRecord:
    return MoveRecord(
        seq=seq, time=iso(NOW_S + second), switch_id=switch, from_mode=before, mode=after, from_position="hlt",
        position="draining", wanted=Wanted.CLOUD, vms=vms,
    )  # fmt: skip


def ended(seq: int, second: int, switch: str = "r1") -> SwitchRecord:
    return SwitchRecord(
        seq=seq, time=iso(NOW_S + second), id=switch, who="", reason="", from_mode=Mode.HLT, to=Wanted.CLOUD,
        outcome="done", started=iso(NOW_S), duration_s=float(second), phases={},
    )  # fmt: skip


def view_of(*records: AnyRecord) -> JournalView:
    view = JournalView()
    for record in records:
        view = fold(view, record)
    return view


def test_the_journal_dates_the_mode_by_the_move_into_it_and_not_by_later_moves_within_it() -> None:
    view = view_of(
        move(1, Mode.HLT, Mode.ACTIVATING_CLOUD, 10),
        move(2, Mode.ACTIVATING_CLOUD, Mode.CLOUD, 20, Vms.STARTING),
        move(3, Mode.CLOUD, Mode.CLOUD, 30, Vms.UP),
    )
    assert (view.mode, view.since, view.vms, view.switch_id) == (Mode.CLOUD, iso(NOW_S + 20), Vms.UP, "r1")


def test_a_switch_is_under_way_from_its_accepted_request_to_its_end() -> None:
    asked = RequestRecord(seq=1, time=iso(NOW_S), id="r1", to=Wanted.CLOUD, who="", reason="", verdict="accepted")
    refused = msgspec.structs.replace(asked, seq=2, id="r2", verdict="refused")
    assert view_of(asked, refused).switch_id == "r1"
    assert view_of(asked, move(2, Mode.HLT, Mode.ACTIVATING_CLOUD, 1), ended(3, 2)).switch_id is None
    assert view_of(asked, ended(2, 2, "r0")).switch_id == "r1"


def test_a_restart_of_the_switcher_does_not_make_the_mode_younger() -> None:
    start = StartRecord(seq=2, time=iso(NOW_S + 99), pid=1, mode=Mode.CLOUD, position="cloud", wanted=Wanted.CLOUD,
                        facts="")  # fmt: skip
    assert view_of(move(1, Mode.HLT, Mode.CLOUD, 5), start).since == iso(NOW_S + 5)


def test_the_mode_file_wins_over_the_box_file() -> None:
    box = make_box("off", mode="HLT", mode_since=iso(NOW_S - 50))
    now = mode_now(ModeNow(), Published(Mode.CLOUD, NOW_S - 3), JournalView(), box, NOW_S)
    assert (now.mode, now.since_s) == (Mode.CLOUD, NOW_S - 3)


def test_since_when_comes_from_the_journal_then_the_box_then_what_was_known_then_the_file() -> None:
    published = Published(Mode.CLOUD, NOW_S - 1)
    box = make_box("on", mode="cloud", mode_since=iso(NOW_S - 20))
    journal = view_of(move(1, Mode.HLT, Mode.CLOUD, -30))
    before = ModeNow(mode=Mode.CLOUD, since_s=NOW_S - 40)
    assert mode_now(before, published, journal, box, NOW_S).since_s == NOW_S - 30
    assert mode_now(before, published, JournalView(), box, NOW_S).since_s == NOW_S - 20
    assert mode_now(before, published, JournalView(), None, NOW_S).since_s == NOW_S - 40
    assert mode_now(ModeNow(), published, JournalView(), None, NOW_S).since_s == NOW_S - 1


@pytest.mark.parametrize(
    ("cloud_state", "mode"),
    [
        ("off", Mode.HLT),
        ("starting", Mode.ACTIVATING_CLOUD),
        ("on", Mode.CLOUD),
        ("stopping", Mode.DEACTIVATING_CLOUD),
        ("resourcesMasked", Mode.HLT),
    ],
)
def test_beside_unmodified_hltd_the_mode_follows_from_cloud_state(cloud_state: str, mode: Mode) -> None:
    first = mode_now(ModeNow(), None, JournalView(), make_box(cloud_state), NOW_S)
    later = mode_now(first, None, JournalView(), make_box(cloud_state), NOW_S + 5)
    assert (later.mode, later.since_s, later.switch_id, later.vms) == (mode, NOW_S, None, None)


def test_a_journal_left_by_an_earlier_switcher_says_nothing_about_unmodified_hltd() -> None:
    journal = view_of(move(1, Mode.HLT, Mode.CLOUD, -900, Vms.UP))
    now = mode_now(ModeNow(), None, journal, make_box("on"), NOW_S)
    assert (now.since_s, now.vms, now.switch_id) == (NOW_S, None, None)


def test_without_mode_file_and_box_the_mode_is_unknown() -> None:
    known = ModeNow(mode=Mode.CLOUD, since_s=NOW_S)
    assert mode_now(known, None, JournalView(), None, NOW_S) == ModeNow()
    assert mode_now(known, None, JournalView(), make_box("a word of tomorrow"), NOW_S) == ModeNow()


def test_an_illegible_time_in_the_box_is_not_believed() -> None:
    box = make_box("on", mode="cloud", mode_since="yesterday")
    assert mode_now(ModeNow(), None, JournalView(), box, NOW_S).since_s == NOW_S
