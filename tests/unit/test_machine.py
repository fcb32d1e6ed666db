"""The rules of the machine, one by one, and a random world that may ask anything at any time."""

from __future__ import annotations

import itertools
import random

import pytest
from msgspec.structs import replace

from contract.modes import Mode, Vms, Wanted
from contract.paths import RunRef
from contract.request import Answer, Request, Verdict
from switcher import events, machine
from switcher.events import (
    Ask,
    CheckRun,
    Effect,
    EndSwitch,
    Event,
    Ignite,
    IgniterSaid,
    MoveTokens,
    NoteRun,
    Refuse,
    Reply,
    Requested,
    RunAppeared,
    RunChecked,
    RunEnded,
    Said,
    Started,
    StartWork,
    TellJobs,
    Timer,
    TokensMoved,
    TokensSeen,
    Wake,
    Woke,
    WorkEnded,
)
from switcher.rules.in_cloud import LASTING_ERRORS
from switcher.rules.requests import REMEMBERED_REQUESTS
from switcher.states import Position, Run, State, Told, Verb, may_work, mode

RUN = RunRef(100, "bu-1")
NEXT = RunRef(101, "bu-1")


def asked(to: Wanted, name: str = "r1", **more: object) -> Requested:
    return Requested(Request(id=name, to=to, **more))  # type: ignore[arg-type]


def play(state: State, *happened: Event) -> tuple[State, list[Effect]]:
    """Returns the state after the events and the effects of the last one."""
    effects: tuple[Effect, ...] = ()
    for event in happened:
        state, effects = machine.step(state, event)
    return state, list(effects)


STATUS_DOWN = IgniterSaid(Verb.STATUS, Said.NOT_RUNNING)
STATUS_UP = IgniterSaid(Verb.STATUS, Said.RUNNING)
STATUS_ERROR = IgniterSaid(Verb.STATUS, Said.ERROR, "exit 66")
STARTED = IgniterSaid(Verb.START, Said.DONE)
STOPPED = IgniterSaid(Verb.STOP, Said.DONE)
STOP_ERROR = IgniterSaid(Verb.STOP, Said.ERROR, "exit 3")
TO_CLOUD = (asked(Wanted.CLOUD), STATUS_DOWN, TokensMoved(Wanted.CLOUD), STARTED)


def test_every_position_has_a_rule_for_every_event() -> None:
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)} - {Event}
    assert {position: set(rules) for position, rules in machine.TABLE.items()} == dict.fromkeys(Position, kinds)


def test_an_idle_node_goes_to_cloud_and_publishes_it_when_the_tokens_have_moved() -> None:
    state, effects = play(State(), asked(Wanted.CLOUD))
    assert mode(state) is Mode.ACTIVATING_CLOUD
    assert Ignite(Verb.STATUS) in effects
    state, effects = play(state, STATUS_DOWN)
    assert Reply(Answer(id="r1", verdict=Verdict.ACCEPTED)) in effects
    assert MoveTokens(Wanted.CLOUD) in effects
    state, effects = play(state, TokensMoved(Wanted.CLOUD))
    assert mode(state) is Mode.CLOUD
    assert effects == [Ignite(Verb.START)]
    state, effects = play(state, STARTED)
    assert state.vms is Vms.UP
    assert effects == [EndSwitch("done"), Wake(Timer.CHECK)]


def test_jobs_are_told_only_when_the_cloud_tool_is_known_to_work() -> None:
    state = State(runs=(Run(RUN),))
    state, effects = play(state, asked(Wanted.CLOUD))
    assert not any(isinstance(effect, TellJobs) for effect in effects)
    assert may_work(state) == ()
    state, effects = play(state, STATUS_DOWN)
    assert TellJobs(100, Told.LAST_LUMISECTION) in effects
    assert not any(isinstance(effect, MoveTokens) for effect in effects)
    state, effects = play(state, WorkEnded(100))
    assert MoveTokens(Wanted.CLOUD) in effects


def test_a_failing_cloud_tool_refuses_the_switch_and_the_jobs_go_on() -> None:
    state, effects = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD), STATUS_ERROR)
    assert Reply(Answer(id="r1", verdict=Verdict.REFUSED, reason="the cloud tool says: exit 66")) in effects
    assert any(isinstance(effect, EndSwitch) and effect.outcome == "refused" for effect in effects)
    assert not any(isinstance(effect, TellJobs) for effect in effects)
    state, _ = play(state, TokensMoved(Wanted.HLT))
    assert mode(state) is Mode.HLT
    assert may_work(state) == (RUN,)


def test_vms_seen_running_are_stopped_before_a_refused_node_works_again() -> None:
    state, effects = play(State(), Started(in_cloud=0, outside=4), STATUS_UP)
    assert any(isinstance(effect, Ask) and effect.to is Wanted.CLOUD for effect in effects)
    state, effects = play(state, asked(Wanted.CLOUD, "switcher-1"), STATUS_ERROR)
    assert (state.position, mode(state)) == (Position.STOPPING_VMS, Mode.DEACTIVATING_CLOUD)
    assert Ignite(Verb.STOP) in effects
    state, _ = play(state, STOPPED, STATUS_DOWN, TokensMoved(Wanted.HLT))
    assert (mode(state), state.vms) == (Mode.HLT, Vms.DOWN)


def test_an_include_that_crosses_the_check_of_running_vms_stops_them() -> None:
    state, _ = play(State(), Started(in_cloud=0, outside=4), STATUS_UP, asked(Wanted.CLOUD, "switcher-1"))
    state, effects = play(state, asked(Wanted.HLT, "r2"))
    assert state.position is Position.STOPPING_VMS
    assert not any(isinstance(effect, Ignite) for effect in effects), "the status question is still under way"
    state, effects = play(state, STATUS_UP)
    assert Ignite(Verb.STOP) in effects


BEFORE_THE_FIRST_ANSWER = (Started(in_cloud=0, outside=4), asked(Wanted.CLOUD), asked(Wanted.HLT, "r2"))


def test_an_include_before_the_first_answer_of_a_start_waits_for_it_in_between() -> None:
    state, effects = play(State(), *BEFORE_THE_FIRST_ANSWER)
    assert (state.position, mode(state)) == (Position.DRAINING, Mode.DEACTIVATING_CLOUD)
    assert Reply(Answer(id="r1", verdict=Verdict.NEWER, reason="request r2")) in effects
    assert Reply(Answer(id="r2", verdict=Verdict.ACCEPTED)) in effects


def test_vms_found_by_the_first_answer_are_stopped_and_do_not_undo_an_include() -> None:
    state, effects = play(State(), *BEFORE_THE_FIRST_ANSWER, STATUS_UP)
    assert (state.position, mode(state)) == (Position.STOPPING_VMS, Mode.DEACTIVATING_CLOUD)
    assert effects == [Ignite(Verb.STOP), Wake(Timer.STOP_AGAIN)]
    state, _ = play(state, STOPPED, STATUS_DOWN, TokensMoved(Wanted.HLT))
    assert (mode(state), state.wanted, state.switch) == (Mode.HLT, Wanted.HLT, None)


@pytest.mark.parametrize("first_answer", [STATUS_DOWN, STATUS_ERROR])
def test_a_node_without_vms_or_cloud_tool_is_back_in_hlt_after_the_first_answer(first_answer: IgniterSaid) -> None:
    state, effects = play(State(), *BEFORE_THE_FIRST_ANSWER, first_answer)
    assert effects == [MoveTokens(Wanted.HLT)]
    state, effects = play(state, TokensMoved(Wanted.HLT))
    assert (mode(state), state.unproven, effects) == (Mode.HLT, False, [EndSwitch("done")])


def test_an_exclude_after_such_an_include_hangs_on_the_same_answer() -> None:
    state, effects = play(State(), *BEFORE_THE_FIRST_ANSWER, asked(Wanted.CLOUD, "r3"))
    assert not any(isinstance(effect, Reply | Ignite) for effect in effects)
    state, effects = play(state, STATUS_DOWN)
    assert Reply(Answer(id="r3", verdict=Verdict.ACCEPTED)) in effects
    assert MoveTokens(Wanted.CLOUD) in effects


def test_such_an_include_outlives_a_reboot_before_the_first_answer() -> None:
    state, _ = play(State(), *BEFORE_THE_FIRST_ANSWER)
    state, effects = play(state, Started(in_cloud=0, outside=4, rebooted=True))
    assert (state.position, state.wanted) == (Position.DRAINING, Wanted.HLT)
    assert Ignite(Verb.STATUS) in effects


def test_hlt_is_published_only_when_vms_are_proven_down_and_tokens_are_back() -> None:
    state, effects = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"))
    assert mode(state) is Mode.DEACTIVATING_CLOUD
    assert Ignite(Verb.STOP) in effects
    state, effects = play(state, STOPPED)
    assert effects == [Ignite(Verb.STATUS)]
    state, effects = play(state, STATUS_UP)
    assert mode(state) is Mode.DEACTIVATING_CLOUD
    assert effects == [Wake(Timer.POLL, 0)]
    state, effects = play(state, Woke(Timer.POLL), STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.HLT)]
    state, effects = play(state, TokensMoved(Wanted.HLT))
    assert mode(state) is Mode.HLT
    assert EndSwitch("done") in effects


def test_a_stop_that_lies_is_asked_again() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"), STOPPED, STATUS_UP, Woke(Timer.STOP_AGAIN))
    _, effects = play(state, Woke(Timer.POLL), STATUS_UP)
    assert Ignite(Verb.STOP) in effects


def test_a_stop_that_fails_is_repeated_once_if_vms_still_run() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"))
    state, effects = play(state, STOP_ERROR)
    assert effects == [Ignite(Verb.STATUS)]
    state, effects = play(state, STATUS_UP)
    assert effects == [Ignite(Verb.STOP), Wake(Timer.STOP_AGAIN)]
    state, effects = play(state, STOP_ERROR, STATUS_UP)
    assert effects == [Wake(Timer.POLL, 0)], "once"
    state, effects = play(state, Woke(Timer.STOP_AGAIN), Woke(Timer.POLL), STATUS_UP)
    assert Ignite(Verb.STOP) in effects


def test_a_stop_that_fails_with_the_vms_down_is_not_repeated() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"))
    _, effects = play(state, STOP_ERROR, STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.HLT)]


def test_a_tool_whose_status_fails_is_never_given_up() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"), STOPPED)
    stops = 0
    for _ in range(300):
        state, effects = play(state, STATUS_ERROR)
        if Ignite(Verb.STOP) in effects:
            stops += 1
            state, effects = play(state, STOPPED)
        else:
            state, effects = play(state, Woke(Timer.POLL))
        assert Ignite(Verb.STATUS) in effects
    assert stops == 30
    assert mode(state) is Mode.DEACTIVATING_CLOUD


def test_a_run_refused_in_cloud_is_joined_once_on_return() -> None:
    state, effects = play(State(), *TO_CLOUD, RunAppeared(RUN), RunAppeared(NEXT))
    assert effects[-1] == Refuse(NEXT)
    state, effects = play(state, asked(Wanted.HLT, "r2"), STOPPED, STATUS_DOWN, TokensMoved(Wanted.HLT))
    assert CheckRun(NEXT) in effects
    assert CheckRun(RUN) not in effects
    state, effects = play(state, RunChecked(NEXT, ongoing=True))
    assert effects == [NoteRun(NEXT, "joined"), StartWork(NEXT)]
    state, effects = play(state, RunAppeared(NEXT), RunChecked(NEXT, ongoing=True))
    assert effects == []


@pytest.mark.parametrize("end", [RunEnded(101), RunChecked(NEXT, ongoing=False)])
def test_a_cached_run_that_ended_is_not_joined(end: Event) -> None:
    state, _ = play(State(), *TO_CLOUD, RunAppeared(NEXT), asked(Wanted.HLT, "r2"), STOPPED, STATUS_DOWN)
    if isinstance(end, RunEnded):
        state, effects = play(state, end, TokensMoved(Wanted.HLT))
        assert CheckRun(NEXT) not in effects
    else:
        state, effects = play(state, TokensMoved(Wanted.HLT), end)
    assert state.waiting is None
    assert not any(isinstance(effect, StartWork) for effect in effects)


def test_a_bu_that_cannot_be_asked_is_asked_again() -> None:
    state, _ = play(State(), *TO_CLOUD, RunAppeared(NEXT), asked(Wanted.HLT, "r2"), STOPPED, STATUS_DOWN)
    state, effects = play(state, TokensMoved(Wanted.HLT), RunChecked(NEXT, ongoing=None))
    assert effects == [Wake(Timer.RETRY, 1)]
    _, effects = play(state, Woke(Timer.RETRY))
    assert effects == [CheckRun(NEXT)]


def test_an_include_while_jobs_end_lets_them_end_and_rejoins_the_run() -> None:
    state, _ = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD), STATUS_DOWN)
    state, effects = play(state, asked(Wanted.HLT, "r2"))
    assert mode(state) is Mode.DEACTIVATING_CLOUD
    assert any(isinstance(effect, EndSwitch) and effect.outcome == "superseded" for effect in effects)
    state, effects = play(state, WorkEnded(100))
    assert MoveTokens(Wanted.HLT) in effects
    state, effects = play(state, TokensMoved(Wanted.HLT))
    assert CheckRun(RUN) in effects


def test_an_exclude_while_vms_stop_finishes_the_stop_and_starts_them_again() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"), asked(Wanted.CLOUD, "r3"))
    assert mode(state) is Mode.ACTIVATING_CLOUD
    state, effects = play(state, STOPPED, STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.CLOUD)]
    state, effects = play(state, TokensMoved(Wanted.CLOUD))
    assert mode(state) is Mode.CLOUD
    assert Ignite(Verb.START) in effects


def test_a_token_moved_out_while_vms_stop_is_back_in_the_cloud_before_they_start_again() -> None:
    state, effects = play(State(), *TO_CLOUD, TokensSeen(1, 3))
    assert [effect.to for effect in effects if isinstance(effect, Ask)] == [Wanted.HLT]
    state, _ = play(state, asked(Wanted.HLT, "hand-1"), asked(Wanted.CLOUD, "r3"))
    _, effects = play(state, STOPPED, STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.CLOUD)]


def test_a_start_under_way_is_waited_for_before_the_stop() -> None:
    state, _ = play(State(), *TO_CLOUD[:3])
    state, effects = play(state, asked(Wanted.HLT, "r2"))
    assert not any(isinstance(effect, Ignite) for effect in effects)
    state, effects = play(state, STARTED)
    assert Ignite(Verb.STOP) in effects


def test_a_failing_start_is_tried_again_more_seldom_and_the_node_stays_in_cloud() -> None:
    state, _ = play(State(), *TO_CLOUD[:3])
    waits = []
    for _ in range(3):
        state, effects = play(state, IgniterSaid(Verb.START, Said.ERROR, "exit 3"))
        waits += [effect for effect in effects if isinstance(effect, Wake)]
        assert (mode(state), state.vms) == (Mode.CLOUD, Vms.FAILED)
        state, _ = play(state, Woke(Timer.RETRY))
    assert [wake.attempt for wake in waits] == [1, 2, 3]
    state, _ = play(state, STARTED)
    assert state.vms is Vms.UP


def test_vms_that_die_in_cloud_are_started_again() -> None:
    state, effects = play(State(), *TO_CLOUD)
    assert effects[-1] == Wake(Timer.CHECK)
    state, effects = play(state, Woke(Timer.CHECK))
    assert effects == [Ignite(Verb.STATUS)]
    up, effects = play(state, STATUS_UP)
    assert (up.vms, effects) == (Vms.UP, [Wake(Timer.CHECK)])
    dead, effects = play(state, STATUS_DOWN)
    assert (mode(dead), dead.vms, effects) == (Mode.CLOUD, Vms.STARTING, [Ignite(Verb.START)])


def test_a_cloud_tool_that_cannot_say_whether_vms_run_does_not_start_them_twice() -> None:
    state, effects = play(State(), *TO_CLOUD, Woke(Timer.CHECK), IgniterSaid(Verb.STATUS, Said.ERROR, "exit 14"))
    assert (state.vms, state.trouble, effects) == (Vms.UP, "cloud tool status: exit 14", [Wake(Timer.CHECK)])
    state, effects = play(state, Woke(Timer.CHECK), STATUS_UP)
    assert (state.errors, state.trouble) == (0, "")


def test_an_include_while_the_vms_are_looked_after_stops_them_all_the_same() -> None:
    state, effects = play(State(), *TO_CLOUD, Woke(Timer.CHECK), asked(Wanted.HLT, "r2"))
    assert not any(isinstance(effect, Ignite) for effect in effects)
    _, effects = play(state, STATUS_UP)
    assert Ignite(Verb.STOP) in effects
    _, effects = play(state, STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.HLT)]


def test_a_repeated_id_gets_the_same_answer_and_a_stale_one_undoes_nothing() -> None:
    state, effects = play(State(), *TO_CLOUD, asked(Wanted.CLOUD))
    assert effects == [Reply(Answer(id="r1", verdict=Verdict.ACCEPTED))]
    state, _ = play(state, asked(Wanted.HLT, "r2"))
    after, effects = play(state, asked(Wanted.CLOUD))
    assert after == state
    assert effects == [Reply(Answer(id="r1", verdict=Verdict.NEWER, reason="request r2 came later"))]


def test_a_repeated_request_that_changed_nothing_undoes_nothing_newer_either() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.CLOUD, "r2"), asked(Wanted.HLT, "r3"))
    after, effects = play(state, asked(Wanted.CLOUD, "r2"))
    assert after == state
    assert effects == [Reply(Answer(id="r2", verdict=Verdict.NEWER, reason="request r3 came later"))]


def test_who_asks_for_the_same_again_and_again_does_not_make_old_ids_new() -> None:
    state, _ = play(State(), *TO_CLOUD, asked(Wanted.HLT, "r2"), STOPPED, STATUS_DOWN, TokensMoved(Wanted.HLT))
    state, _ = play(state, *(asked(Wanted.HLT, f"again-{number}") for number in range(500)))
    assert len(state.answered) == REMEMBERED_REQUESTS
    for stale in ("r1", "again-499", "again-470"):
        after, effects = play(state, asked(Wanted.CLOUD, stale))
        assert after == state
        assert len(effects) == 1


def test_of_many_requests_that_turned_the_node_the_oldest_is_forgotten_first() -> None:
    state = State()
    for number in range(100):
        state, _ = play(state, asked((Wanted.CLOUD, Wanted.HLT)[number % 2], f"r{number}"), TokensMoved(Wanted.HLT))
    assert [answer.id for answer in state.answered] == [f"r{number}" for number in range(36, 100)]


@pytest.mark.parametrize("between", [(), (asked(Wanted.CLOUD, "r3"),)], ids=["include", "include and exclude"])
def test_the_deadline_of_a_superseded_request_kills_nothing(between: tuple[Event, ...]) -> None:
    state, _ = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD, deadline_s=5.0), STATUS_DOWN)
    state, effects = play(state, asked(Wanted.HLT, "r2"), *between, Woke(Timer.DEADLINE))
    assert effects == []
    assert not state.overdue


def test_a_deadline_asks_terminates_and_kills() -> None:
    state, effects = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD, deadline_s=5.0))
    assert Wake(Timer.DEADLINE, after_s=5.0) in effects
    state, effects = play(state, STATUS_DOWN, Woke(Timer.DEADLINE))
    assert effects == [TellJobs(100, Told.TERMINATE), Wake(Timer.KILL)]
    state, effects = play(state, Woke(Timer.KILL))
    assert effects == [TellJobs(100, Told.KILL)]


def test_hurry_does_not_wait_for_two_more_lumisections() -> None:
    _, effects = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD, hurry=True), STATUS_DOWN)
    assert TellJobs(100, Told.NOW) in effects


def test_without_a_deadline_the_switch_gets_stuck_and_says_so() -> None:
    state, effects = play(State(runs=(Run(RUN),)), asked(Wanted.CLOUD))
    assert Wake(Timer.STUCK) in effects
    state, _ = play(state, STATUS_DOWN, Woke(Timer.STUCK))
    assert state.stuck
    state, _ = play(state, WorkEnded(100), TokensMoved(Wanted.CLOUD))
    assert not state.stuck


def test_tokens_moved_by_hand_count_as_requests() -> None:
    _, effects = play(State(), TokensSeen(1, 3))
    assert [effect.to for effect in effects if isinstance(effect, Ask)] == [Wanted.CLOUD]
    state, _ = play(State(), *TO_CLOUD)
    _, effects = play(state, TokensSeen(3, 1))
    assert [effect.to for effect in effects if isinstance(effect, Ask)] == [Wanted.HLT]


@pytest.mark.parametrize("against", [STATUS_ERROR, asked(Wanted.HLT, "r2")], ids=["refused", "include"])
def test_a_hand_moved_token_goes_back_before_the_node_is_in_hlt_again(against: Event) -> None:
    state, effects = play(State(), asked(Wanted.CLOUD, "hand-1"), against)
    assert MoveTokens(Wanted.HLT) in effects
    state, effects = play(state, TokensMoved(Wanted.HLT, "core0: not permitted"))
    assert effects == [Wake(Timer.RETRY, 1)]
    assert mode(state) is Mode.DEACTIVATING_CLOUD
    _, effects = play(state, TokensSeen(1, 3))
    assert effects == [], "it does not ask again"
    state, _ = play(state, Woke(Timer.RETRY), TokensMoved(Wanted.HLT))
    assert mode(state) is Mode.HLT


# After a start


def test_a_start_in_hlt_proves_that_no_vm_runs_before_a_job_may() -> None:
    state, effects = play(State(), Started(in_cloud=0, outside=4, lying=(RUN,)))
    assert effects == [Ignite(Verb.STATUS)]
    assert may_work(state) == ()
    state, effects = play(state, STATUS_DOWN)
    assert effects == [CheckRun(RUN)]
    state, effects = play(state, RunChecked(RUN, ongoing=True))
    assert may_work(state) == (RUN,)


def test_an_unknown_node_whose_tokens_are_in_cloud_starts_in_cloud() -> None:
    state, effects = play(State(), Started(in_cloud=4, outside=0, known=False))
    assert mode(state) is Mode.CLOUD
    assert effects == [Ignite(Verb.STATUS)]
    _, effects = play(state, STATUS_DOWN)
    assert Ignite(Verb.START) in effects


def test_vms_seen_at_start_up_are_not_forgotten_when_the_tool_fails_after_a_kill() -> None:
    state, _ = play(State(), Started(in_cloud=0, outside=4), STATUS_UP)
    state, effects = play(state, Started(in_cloud=0, outside=4), STATUS_ERROR)
    assert state.position is Position.STOPPING_VMS
    assert Ignite(Verb.STOP) in effects
    assert may_work(state) == ()


def test_vms_seen_at_start_up_that_are_gone_after_a_kill_are_down() -> None:
    state, _ = play(State(), Started(in_cloud=0, outside=4), STATUS_UP)
    state, _ = play(state, Started(in_cloud=0, outside=4), STATUS_DOWN)
    assert (mode(state), state.vms) == (Mode.HLT, Vms.DOWN)


@pytest.mark.parametrize("position", [Position.DRAINING, Position.HANDING_OVER, Position.TAKING_BACK])
def test_after_a_reboot_nothing_is_taken_for_granted_about_vms(position: Position) -> None:
    rebooted = Started(in_cloud=2, outside=2, rebooted=True)
    on_the_way = State(position=position, wanted=Wanted.HLT, cleared=position is Position.DRAINING)
    state, effects = play(on_the_way, rebooted)
    assert state.position is Position.STOPPING_VMS
    assert Ignite(Verb.STOP) in effects
    state, effects = play(replace(on_the_way, wanted=Wanted.CLOUD), rebooted)
    assert effects[0] == Ignite(Verb.STATUS)
    state, _ = play(state, asked(Wanted.HLT, "r2"))
    assert (mode(state), may_work(replace(state, runs=(Run(RUN),)))) == (Mode.DEACTIVATING_CLOUD, ())
    _, effects = play(state, Started(in_cloud=0, outside=4))
    assert effects[0] == Ignite(Verb.STATUS)


def test_an_include_during_the_check_after_a_start_asks_again_when_the_answer_was_lost() -> None:
    state, _ = play(State(), Started(in_cloud=1, outside=3), asked(Wanted.CLOUD, "hand-1"), asked(Wanted.HLT, "r2"))
    state, effects = play(state, Started(in_cloud=1, outside=3))
    assert Ignite(Verb.STATUS) in effects
    state, effects = play(state, STATUS_DOWN)
    assert effects == [MoveTokens(Wanted.HLT)]
    assert may_work(replace(state, runs=(Run(RUN),))) == ()


def test_a_cloud_tool_that_fails_for_good_at_start_up_sends_the_node_home() -> None:
    state, _ = play(State(), Started(in_cloud=4, outside=0, known=False))
    asked_for: list[Wanted] = []
    for _ in range(LASTING_ERRORS):
        assert asked_for == []
        state, effects = play(state, STATUS_ERROR)
        asked_for = [effect.to for effect in effects if isinstance(effect, Ask)]
        state, _ = play(state, Woke(Timer.RETRY))
    assert asked_for == [Wanted.HLT]


IMPOSSIBLE = {(Position.HLT, Wanted.CLOUD), (Position.CLOUD, Wanted.HLT)}  # turning round leaves these at once


@pytest.mark.parametrize(
    ("position", "wanted"),
    [pair for pair in itertools.product(Position, Wanted) if pair not in IMPOSSIBLE],
)
def test_a_restart_in_any_position_arrives_where_it_is_wanted(position: Position, wanted: Wanted) -> None:
    vms = Vms.UP if position is Position.CLOUD else Vms.STOPPING if position is Position.STOPPING_VMS else Vms.DOWN
    request = Request(id="r1", to=wanted)
    state = State(position=position, wanted=wanted, vms=vms, switch=request, asked=Verb.STATUS)
    world = World(
        state, vms_up=vms is not Vms.DOWN, tokens_in_cloud=position in (Position.CLOUD, Position.STOPPING_VMS)
    )
    world.restart()
    world.settle()
    assert mode(world.state).value == wanted.value
    world.check()


# A world that answers


class World:
    """A node's surroundings that do what effects ask, keep the books, and break no promise themselves."""

    def __init__(self, state: State | None = None, *, vms_up: bool = False, tokens_in_cloud: bool = False) -> None:
        self.state = state or State()
        self.vms_up = vms_up
        self.tokens_in_cloud = tokens_in_cloud
        self.jobs: set[int] = set()
        self.told: set[int] = set()
        self.ongoing = {100, 101}
        self.due: list[Event] = []
        self.requests = 0
        self.last_wanted = self.state.wanted

    def feed(self, event: Event) -> None:
        if isinstance(event, IgniterSaid) and event.verb is Verb.STATUS and event.said is not Said.ERROR:
            event = IgniterSaid(Verb.STATUS, Said.RUNNING if self.vms_up else Said.NOT_RUNNING)
        self.state, effects = machine.step(self.state, event)
        for effect in effects:
            self.carry_out(effect)
        for ref in may_work(self.state):
            self.jobs.add(ref.number)
        self.check()

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case Ignite(Verb.STATUS):
                self.due.append(IgniterSaid(Verb.STATUS, Said.RUNNING))
            case Ignite(Verb.START):
                assert not self.jobs, "VMs start while jobs run"
                assert self.tokens_in_cloud, "VMs start before the tokens have moved"
                self.vms_up = True
                self.due.append(STARTED)
            case Ignite(Verb.STOP):
                self.vms_up = False
                self.due.append(STOPPED)
            case MoveTokens(to):
                self.tokens_in_cloud = to is Wanted.CLOUD
                self.due.append(TokensMoved(to))
            case CheckRun(ref):
                self.due.append(RunChecked(ref, ref.number in self.ongoing))
            case TellJobs(number, _):
                self.told.add(number)
                self.due.append(WorkEnded(number))
            case Ask(to, who, _):
                self.request(to, who)
            case Wake(Timer.RETRY | Timer.POLL as timer, _, _):
                self.due.append(Woke(timer))

    def request(self, to: Wanted, who: str = "r") -> None:
        self.requests += 1
        self.last_wanted = to
        self.feed(asked(to, f"{who}-{self.requests}"))

    def restart(self) -> None:
        self.due.clear()
        working = tuple(Run(RunRef(number)) for number in sorted(self.jobs))
        self.feed(
            Started(
                in_cloud=4 if self.tokens_in_cloud else 0,
                outside=0 if self.tokens_in_cloud else 4,
                working=working,
            )
        )

    def settle(self) -> None:
        """Answers until nothing is left to answer."""
        for _ in range(200):
            if not self.due:
                return
            self.answer(0)
        raise AssertionError(f"no end: {self.state}")

    def answer(self, which: int) -> None:
        event = self.due.pop(which)
        if isinstance(event, WorkEnded):
            self.jobs.discard(event.number)
        self.feed(event)

    def check(self) -> None:
        assert not (self.vms_up and self.jobs), f"jobs and VMs at once: {self.state}"
        if mode(self.state) is Mode.HLT and not self.state.unproven:
            assert not self.vms_up, f"HLT with VMs: {self.state}"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_crosses_the_last_request_wins_and_no_core_is_owned_twice(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    for _ in range(300):
        match dice.randrange(8):
            case 0:
                world.request(dice.choice(list(Wanted)))
            case 1:
                world.feed(RunAppeared(RunRef(dice.choice((100, 101)))))
            case 2 if dice.random() < 0.2:
                world.restart()
            case 3 if world.jobs:
                number = dice.choice(sorted(world.jobs))
                world.jobs.discard(number)
                world.feed(WorkEnded(number))
            case _ if world.due:
                world.answer(dice.randrange(len(world.due)))
    world.settle()
    assert mode(world.state).value == world.last_wanted.value
    assert world.vms_up is (world.last_wanted is Wanted.CLOUD)
    assert world.tokens_in_cloud is world.vms_up
