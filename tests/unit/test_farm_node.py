"""A simulated node goes the ways of the real machine, and each fault does what its word says."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

import msgspec
import pytest

from contract.journal import AnyRecord, MoveRecord, SwitchRecord
from contract.modes import Mode, Vms, Wanted
from contract.paths import RunRef
from contract.request import Answer, Request, Verdict
from simulator.node_farm.faults import BadMix, Fault, deal
from simulator.node_farm.node import FarmNode
from simulator.node_farm.serving import names
from simulator.node_farm.work import CORES, FarmRun
from switcher.timeline import Now
from switcher.view import Identity

WHOLE = 10_000


class FakeAlarm:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self._alarms: list[tuple[float, int, FakeAlarm]] = []
        self._numbers = count()

    def now(self) -> Now:
        return Now(1_795_000_000.0 + self.passed_s, self.passed_s)

    def outside_s(self) -> float:
        return self.passed_s

    def later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> FakeAlarm:
        alarm = FakeAlarm(lambda: call(*arguments))
        heapq.heappush(self._alarms, (self.passed_s + delay_s, next(self._numbers), alarm))
        return alarm

    def pass_by(self, seconds: float) -> None:
        end_s = self.passed_s + seconds
        while self._alarms and self._alarms[0][0] <= end_s:
            self.passed_s, _, alarm = heapq.heappop(self._alarms)
            if alarm.call is not None:
                alarm.call()
        self.passed_s = end_s


class World(NamedTuple):
    node: FarmNode
    clock: FakeClock

    def ask(self, name: str, to: Wanted, **more: object) -> list[Answer]:
        """Returns the list in which the answer will be."""
        answers: list[Answer] = []
        self.node.submit(Request(id=name, to=to, **more), answers.append)  # type: ignore[arg-type]
        return answers

    def records(self) -> list[AnyRecord]:
        return [msgspec.json.decode(line, type=AnyRecord) for line in self.node.journal(0, WHOLE)]

    def switches(self) -> list[SwitchRecord]:
        return [record for record in self.records() if isinstance(record, SwitchRecord)]

    def mode(self) -> Mode:
        return self.node.status().mode


def born(fault: Fault = Fault.NONE) -> World:
    """Returns a node that has been at work for a minute."""
    clock = FakeClock()
    who = Identity(host="fu-1", appliance="bu-1", ip="127.1.0.1", cpu_name="", phys_cores=CORES, hyperthreads=CORES)
    node = FarmNode(who, fault, FarmRun(clock, RunRef(100)), clock)
    node.start()
    clock.pass_by(60)
    return World(node, clock)


def test_a_node_goes_to_the_cloud_and_comes_back_to_its_run() -> None:
    world = born()
    assert world.node.status().tokens["online"] == CORES
    answers = world.ask("op-1", Wanted.CLOUD, who="Anna")
    assert world.mode() is Mode.ACTIVATING_CLOUD
    world.clock.pass_by(1)
    assert [answer.verdict for answer in answers] == [Verdict.ACCEPTED]
    shown = world.node.status()
    assert shown.switch is not None
    assert shown.switch.phase == "drain"
    assert shown.blocker.startswith("run 100: 8 jobs, pid ")
    assert shown.runs[0].last_lumisection == shown.runs[0].queue.CMSSWMaxLS + 2
    world.clock.pass_by(120)
    shown = world.node.status()
    assert (shown.mode, shown.vms, shown.tokens["cloud"], shown.runs) == (Mode.CLOUD, Vms.UP, CORES, ())
    assert world.node.cloud_cores() == CORES
    world.ask("op-2", Wanted.HLT)
    world.clock.pass_by(60)
    shown = world.node.status()
    assert (shown.mode, shown.vms, [run.number for run in shown.runs]) == (Mode.HLT, Vms.DOWN, [100])
    assert world.node.cloud_cores() == 0
    there, back = world.switches()
    assert [there.outcome, back.outcome] == ["done", "done"]
    assert list(there.phases) == ["check", "drain", "hand_over", "start_vms"]
    assert list(back.phases) == ["stop_vms", "take_back"]
    assert all(seconds > 0 for seconds in (there.phases | back.phases).values())


def test_its_journal_has_every_mode_in_order_and_numbers_without_a_gap() -> None:
    world = born()
    world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(200)
    world.ask("op-2", Wanted.HLT)
    world.clock.pass_by(200)
    records = world.records()
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert world.node.status().journal_seq == len(records)
    moves = [record for record in records if isinstance(record, MoveRecord) and record.mode is not record.from_mode]
    assert [move.mode for move in moves] == [Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD, Mode.HLT]
    assert len(world.node.journal(2, 3)) == 3
    assert msgspec.json.decode(world.node.journal(2, 3)[0])["seq"] == 3
    assert world.node.journal(len(records), 10) == []


def test_a_repeated_id_is_counted_and_changes_nothing() -> None:
    world = born()
    world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(200)
    before = world.records()
    assert [answer.verdict for answer in world.ask("op-1", Wanted.CLOUD)] == [Verdict.ACCEPTED]
    world.clock.pass_by(200)
    assert world.records() == before
    got = world.node.truth().requests["op-1"]
    assert (got.times, got.verdict, got.outcome) == (2, Verdict.ACCEPTED, "done")


def test_a_request_that_is_called_back_is_superseded_and_the_last_one_wins() -> None:
    world = born()
    world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(5)
    world.ask("op-2", Wanted.HLT)
    world.clock.pass_by(200)
    assert world.mode() is Mode.HLT
    assert [switch.outcome for switch in world.switches()] == ["superseded", "done"]
    assert [run.number for run in world.node.status().runs] == [100]


def test_hurry_waits_for_no_lumisection() -> None:
    world = born()
    world.ask("op-1", Wanted.CLOUD, hurry=True)
    world.clock.pass_by(20)
    assert world.switches()[0].outcome == "done"
    assert world.switches()[0].phases["drain"] < 10


def test_a_command_counts_as_a_request_of_its_own() -> None:
    world = born()
    world.node.command(Wanted.CLOUD, "cgi", "")
    world.clock.pass_by(200)
    world.node.command(Wanted.HLT, "cgi", "", "mine")
    world.clock.pass_by(200)
    outcomes = {name: got.outcome for name, got in world.node.truth().requests.items()}
    assert outcomes == {"file-1": "done", "mine": "done"}


# Faults


def test_a_slow_node_takes_several_times_as_long_in_every_phase_that_is_its_own() -> None:
    quick, slow = born(), born(Fault.SLOW)
    for world in (quick, slow):
        world.ask("op-1", Wanted.CLOUD)
        world.clock.pass_by(600)
        assert world.switches()[0].outcome == "done"
    for phase in ("drain", "hand_over", "start_vms"):
        assert slow.switches()[0].phases[phase] > 2 * quick.switches()[0].phases[phase], phase


def test_a_node_without_vms_refuses_and_says_why() -> None:
    world = born(Fault.REFUSES)
    answers = world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(1)
    assert answers[0].verdict is Verdict.REFUSED
    assert "no VM stack on this host" in answers[0].reason
    assert world.mode() is Mode.HLT
    assert world.node.status().runs[0].told == "nothing"
    got = world.node.truth().requests["op-1"]
    assert (got.verdict, got.outcome) == (Verdict.REFUSED, "refused")


def test_a_late_refusal_comes_after_callers_have_given_up_waiting() -> None:
    world = born(Fault.REFUSES_LATE)
    answers = world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(5)
    assert answers == []
    world.clock.pass_by(5)
    assert world.switches()[0].outcome == "refused"


def test_a_hanging_job_makes_the_node_stuck_and_a_deadline_frees_it() -> None:
    world = born(Fault.HANGS)
    world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(230)
    assert not world.node.status().stuck
    world.clock.pass_by(20)
    shown = world.node.status()
    assert (shown.stuck, shown.mode) == (True, Mode.ACTIVATING_CLOUD)
    assert shown.blocker.startswith("run 100: 1 jobs, pid 10001 ")
    world.clock.pass_by(10_000)
    assert world.switches() == []
    world.ask("op-2", Wanted.CLOUD, deadline_s=5.0)
    world.clock.pass_by(60)
    assert [(switch.outcome, switch.was_stuck) for switch in world.switches()] == [("done", True)]


def test_a_lying_node_publishes_cloud_while_no_vm_runs() -> None:
    world = born(Fault.LIES)
    world.ask("op-1", Wanted.CLOUD)
    world.clock.pass_by(200)
    shown = world.node.status()
    assert (shown.mode, shown.vms) == (Mode.CLOUD, Vms.FAILED)
    assert "no virtual machine came up" in shown.blocker
    truth = world.node.truth()
    assert (truth.vms_up, truth.requests["op-1"].outcome) == (False, "vms_failed")
    world.ask("op-2", Wanted.HLT)
    world.clock.pass_by(60)
    assert world.mode() is Mode.HLT


# Who has which fault


def test_faults_are_dealt_by_share_or_number_and_the_same_for_a_seed() -> None:
    dealt = deal("slow=5%,dead=2, old=0.1%,lies=0%", 200, 7)
    assert Counter(dealt) == {Fault.NONE: 187, Fault.SLOW: 10, Fault.DEAD: 2, Fault.OLD: 1}
    assert dealt == deal("slow=5%,dead=2, old=0.1%,lies=0%", 200, 7)
    assert dealt != deal("slow=5%,dead=2, old=0.1%,lies=0%", 200, 8)
    assert set(deal("", 3, 1)) == {Fault.NONE}


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        ("slwo=5%", "did you mean slow"),
        ("none=1", "no fault 'none'"),
        ("xyz=1", "known are slow, refuses"),
        ("slow", "write it as NAME=SHARE%"),
        ("slow=101%", "write it as NAME=SHARE%"),
        ("slow=nan%", "write it as NAME=SHARE%"),
        ("slow=-1", "write it as NAME=SHARE%"),
        ("slow=60%,dead=5", "11 faults for 10 nodes"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused_with_the_remedy(mix: str, words: str) -> None:
    with pytest.raises(BadMix, match=words):
        deal(mix, 10, 1)


def test_names_are_those_of_the_farm_each_once_in_appliances_of_twenty() -> None:
    all_names = [names(number) for number in range(1500)]
    assert len({host for host, _ in all_names}) == 1500
    assert set(Counter(appliance for _, appliance in all_names).values()) == {20}
    assert all_names[0] == ("fu-c2f01-01-01", "bu-c2f01")
    assert all_names[1499] == ("fu-c2f38-03-04", "bu-c2f75")
