"""What a step means in time: phases, clocks that are set back, reboots."""

from __future__ import annotations

from contract.journal import MoveRecord, SwitchRecord
from contract.modes import Mode, Wanted
from contract.request import Request
from switcher import machine, timeline
from switcher.events import Event, IgniterSaid, Requested, Said, TokensMoved
from switcher.states import State, Verb
from switcher.timeline import Now, Timeline

CLOUD = Requested(Request(id="r1", to=Wanted.CLOUD, who="tester"))
BACK = Requested(Request(id="r2", to=Wanted.HLT))
CLEAR = IgniterSaid(Verb.STATUS, Said.NOT_RUNNING)
MOVED = TokensMoved(Wanted.CLOUD)
UP = IgniterSaid(Verb.START, Said.DONE)


class Recorder:
    """Plays events at moments of a wall clock and a boot clock, and collects the records."""

    def __init__(self) -> None:
        self.state = State()
        self.timeline = Timeline(mode_since=Now(0, 0), boot_id="boot-1")
        self.records: list[object] = []

    def at(self, boot_s: float, event: Event, *, wall_s: float | None = None) -> None:
        now = Now(1e9 + boot_s if wall_s is None else wall_s, boot_s)
        after, effects = machine.step(self.state, event)
        self.timeline, records = timeline.advance(self.timeline, self.state, after, effects, now)
        self.state = after
        self.records += records

    @property
    def switches(self) -> list[SwitchRecord]:
        return [record for record in self.records if isinstance(record, SwitchRecord)]


def test_a_switch_is_recorded_with_the_duration_of_each_phase_in_order() -> None:
    recorder = Recorder()
    for boot_s, event in ((10.0, CLOUD), (11.5, CLEAR), (12.0, MOVED), (15.0, UP)):
        recorder.at(boot_s, event)
    (switch,) = recorder.switches
    assert list(switch.phases.items()) == [("check", 1.5), ("hand_over", 0.5), ("start_vms", 3.0)]
    assert (switch.duration_s, switch.outcome, switch.who, switch.from_mode) == (5.0, "done", "tester", Mode.HLT)


def test_a_clock_that_is_set_back_bends_no_duration() -> None:
    recorder = Recorder()
    recorder.at(10.0, CLOUD, wall_s=1e9)
    recorder.at(11.0, CLEAR, wall_s=5e8)
    recorder.at(12.0, MOVED, wall_s=5e8)
    recorder.at(13.0, UP, wall_s=2e9)
    (switch,) = recorder.switches
    assert switch.duration_s == 3.0
    assert all(spent >= 0 for spent in switch.phases.values())


def test_every_transition_is_recorded_once_and_numbered_without_a_gap() -> None:
    recorder = Recorder()
    for boot_s, event in ((1, CLOUD), (2, CLEAR), (3, MOVED), (4, UP)):
        recorder.at(boot_s, event)
    moves = [record for record in recorder.records if isinstance(record, MoveRecord)]
    assert [(move.from_position, move.position) for move in moves] == [
        ("hlt", "draining"),
        ("draining", "handing_over"),
        ("handing_over", "cloud"),
        ("cloud", "cloud"),
    ]
    assert [record.seq for record in recorder.records] == list(range(1, len(recorder.records) + 1))  # type: ignore[attr-defined]


def test_a_superseded_switch_ends_before_the_new_request_is_recorded() -> None:
    recorder = Recorder()
    recorder.at(1, CLOUD)
    recorder.at(2, BACK)
    recorder.at(3, TokensMoved(Wanted.HLT))
    kinds = [type(record).__name__ for record in recorder.records]
    assert kinds == [
        *("RequestRecord", "MoveRecord"),
        *("SwitchRecord", "RequestRecord", "MoveRecord"),
        *("MoveRecord", "SwitchRecord"),
    ]
    assert [switch.outcome for switch in recorder.switches] == ["superseded", "done"]


def test_a_reboot_goes_on_counting_by_the_wall_clock() -> None:
    recorder = Recorder()
    recorder.at(1000.0, CLOUD)
    after_reboot = timeline.rebased(recorder.timeline, "boot-2", Now(1e9 + 1030.0, 7.0))
    assert after_reboot.journey is not None
    assert timeline.elapsed_s(after_reboot.journey.started, Now(1e9 + 1031.0, 8.0)) == 31.0


def test_within_one_boot_nothing_is_rebased() -> None:
    recorder = Recorder()
    recorder.at(1000.0, CLOUD)
    assert timeline.rebased(recorder.timeline, "boot-1", Now(0.0, 2000.0)) is recorder.timeline
