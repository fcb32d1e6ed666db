"""Who is asked when: never more than a stage, a limit or the truth about the others allows."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.modes import Wanted
from fleet.rollout import USUAL, BadRamp, Doing, Ramp, Verdict, next_step, stage_sizes, stop_words, verdict
from fleet.standing import BAD, ENDED, GOOD, NodeState, Standing

HOSTS = [f"fu-{number:03}" for number in range(40)]
STAGED = Ramp(stages=("1", "25%", "100%"), pause_s=5.0, in_flight=8, per_s=100.0, bad_share=0.2)


def nodes(standings: dict[str, Standing]) -> dict[str, NodeState]:
    return {
        host: NodeState(host=host, request_id="op", standing=standings.get(host, Standing.WAITING)) for host in HOSTS
    }


@pytest.mark.parametrize(
    ("stages", "count", "sizes"),
    [
        (("1", "5%", "25%", "100%"), 1500, (1, 75, 375, 1500)),
        (("100%",), 3, (3,)),
        (("1", "5%"), 10, (1, 10)),
        (("50",), 10, (10,)),
    ],
)
def test_stages_count_all_nodes_asked_by_their_end(stages: tuple[str, ...], count: int, sizes: tuple[int, ...]) -> None:
    assert stage_sizes(Ramp(stages=stages), count) == sizes


@pytest.mark.parametrize("stages", [("x",), ("0",), ("-5%",), ("50%", "10%"), ("5 %%",)])
def test_a_bad_ramp_is_named(stages: tuple[str, ...]) -> None:
    with pytest.raises(BadRamp, match="--ramp"):
        stage_sizes(Ramp(stages=stages), 100)


def test_the_canary_alone_is_asked_first_and_the_rest_after_it_has_ended_and_a_pause() -> None:
    first = next_step(HOSTS, nodes({}), STAGED, 100.0)
    assert (first.doing, first.ask) == (Doing.ASKING, (HOSTS[0],))
    flying = nodes({HOSTS[0]: Standing.SWITCHING})
    assert next_step(HOSTS, flying, STAGED, 100.0).doing is Doing.WATCHING
    landed = nodes({}) | {HOSTS[0]: replace(flying[HOSTS[0]], standing=Standing.DONE, asked_s=90.0, ended_s=100.0)}
    assert next_step(HOSTS, landed, STAGED, 104.9).doing is Doing.PAUSING
    then = next_step(HOSTS, landed, STAGED, 105.0)
    assert (then.doing, then.ask) == (Doing.ASKING, tuple(HOSTS[1:9]))


def test_as_usual_a_fault_of_all_nodes_is_met_by_a_few_of_them() -> None:
    hosts = tuple(f"fu-{n}" for n in range(1500))
    states = {host: NodeState(host=host, request_id="op") for host in hosts}
    now_s = 100.0
    while (step := next_step(hosts, states, USUAL[Wanted.CLOUD], now_s)).ask:
        for host in step.ask:  # each has drained in vain: no VM comes up
            states[host] = replace(states[host], standing=Standing.FAILED, asked_s=now_s, ended_s=now_s + 60)
        now_s += 60
    assert step.doing is Doing.STOPPED
    assert sum(node.asked_s is not None for node in states.values()) == 75
    everyone = {host: NodeState(host=host, request_id="op") for host in hosts}
    assert len(next_step(hosts, everyone, USUAL[Wanted.HLT], 100.0).ask) == 1000  # a second's worth


def test_a_bad_canary_stops_it() -> None:
    bad = nodes({HOSTS[0]: Standing.UNREACHABLE})
    step = next_step(HOSTS, bad, STAGED, 100.0)
    assert (step.doing, step.ask) == (Doing.STOPPED, ())
    assert "1 of 1 nodes so far are bad (1 unreachable)" in step.why == stop_words(bad.values(), STAGED)


class World:
    """Forty nodes that are asked as the rollout says, and end when dice say so."""

    def __init__(self, ramp: Ramp, dice: random.Random) -> None:
        self.ramp = ramp
        self.dice = dice
        self.now_s = 1000.0
        self.nodes = nodes({})
        self.asked: list[list[float]] = [[] for _ in stage_sizes(ramp, len(HOSTS))]
        self.ended: list[list[float]] = [[] for _ in self.asked]
        self.stage: dict[str, int] = {}

    def states(self, *wanted: Standing) -> list[NodeState]:
        return [node for node in self.nodes.values() if node.standing in wanted]

    def turn(self, passes_s: float, bad: float, *, hurry: bool = False) -> Doing:
        self.now_s += passes_s
        for node in self.states(Standing.SWITCHING):
            if hurry or self.dice.random() < 0.3:
                standing = Standing.FAILED if self.dice.random() < bad else Standing.DONE
                self.nodes[node.host] = replace(node, standing=standing, ended_s=self.now_s)
                self.ended[self.stage[node.host]].append(self.now_s)
        words = stop_words(self.nodes.values(), self.ramp)
        step = next_step(HOSTS, self.nodes, self.ramp, self.now_s)
        assert bool(step.ask) == (step.doing is Doing.ASKING)
        assert not (step.ask and words)
        for host in step.ask:
            assert self.nodes[host].standing is Standing.WAITING
            self.stage[host] = step.stage
            self.asked[step.stage].append(self.now_s)
            self.nodes[host] = replace(self.nodes[host], standing=Standing.SWITCHING, asked_s=self.now_s)
        return step.doing

    def check(self) -> None:
        """Holds the whole past against what the ramp promises."""
        assert len(self.states(Standing.SWITCHING)) <= self.ramp.in_flight
        sizes = stage_sizes(self.ramp, len(HOSTS))
        for stage, asked in enumerate(self.asked):
            assert sum(map(len, self.asked[: stage + 1])) <= sizes[stage]
            if stage and asked:
                assert len(self.ended[stage - 1]) == len(self.asked[stage - 1]) == sizes[stage - 1] - (
                    sizes[stage - 2] if stage > 1 else 0
                )  # fmt: skip
                assert asked[0] - max(self.ended[stage - 1]) >= self.ramp.pause_s
        every = sorted(moment for asked in self.asked for moment in asked)
        window_s, most = (1.0, int(self.ramp.per_s)) if self.ramp.per_s >= 1 else (1.0 / self.ramp.per_s, 1)
        for moment in every:
            assert sum(moment <= other < moment + window_s - 1e-6 for other in every) <= most


RAMPS = st.builds(
    Ramp,
    stages=st.sampled_from([("100%",), ("1", "25%", "100%"), ("3", "50%"), ("20",), ("10%", "20%", "90%")]),
    pause_s=st.sampled_from([0.0, 0.5, 30.0]),
    in_flight=st.integers(1, 50),
    per_s=st.sampled_from([0.1, 0.5, 1.0, 1.9, 7.0, 1000.0]),
    bad_share=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    bad_at_least=st.integers(1, 5),
)


@given(RAMPS, st.randoms(use_true_random=False), st.lists(st.floats(0.0, 5.0), max_size=60), st.floats(0.0, 0.6))
def test_no_limit_is_passed_on_any_way_through_an_operation(
    ramp: Ramp, dice: random.Random, passes: list[float], bad: float
) -> None:
    world = World(ramp, dice)
    for passes_s in passes:
        world.turn(passes_s, bad)
        world.check()
    for _ in range(2 * len(HOSTS)):  # a world in which everyone answers at once comes to its end
        if world.turn(60.0, bad, hurry=True) in (Doing.OVER, Doing.STOPPED):
            break
        world.check()
    else:
        raise AssertionError("it does not end")
    asked = len(HOSTS) - len(world.states(Standing.WAITING))
    assert asked == len(HOSTS) or stop_words(world.nodes.values(), ramp)


@given(st.lists(st.sampled_from(list(Standing)), min_size=40, max_size=40), RAMPS)
def test_whatever_the_nodes_do_only_those_who_wait_are_asked(standings: list[Standing], ramp: Ramp) -> None:
    states = nodes(dict(zip(HOSTS, standings, strict=True)))
    step = next_step(HOSTS, states, ramp, 100.0)
    assert {states[host].standing for host in step.ask} <= {Standing.WAITING}
    assert (step.doing is Doing.STOPPED) == bool(step.why)
    if step.doing is Doing.OVER:
        assert all(node.standing in ENDED for node in states.values())


@pytest.mark.parametrize(("per_s", "at_first", "in_a_minute"), [(1000.0, 40, 40), (10.0, 10, 40), (0.1, 1, 7)])
def test_the_first_are_no_more_a_second_than_the_others(per_s: float, at_first: int, in_a_minute: int) -> None:
    world = World(Ramp(per_s=per_s), random.Random(1))
    world.turn(0.0, 0.0)
    assert sum(map(len, world.asked)) == at_first
    for _ in range(600):
        world.turn(0.1, 0.0)
    assert abs(sum(map(len, world.asked)) - in_a_minute) <= 1


@given(st.lists(st.sampled_from(sorted(ENDED)), min_size=1, max_size=10), st.booleans(), st.booleans())
def test_all_good_is_said_only_when_all_are_good(standings: list[Standing], stopped: bool, called_off: bool) -> None:
    states = [NodeState(host=str(n), request_id="op", standing=each) for n, each in enumerate(standings)]
    found = verdict(states, stopped=stopped, called_off=called_off)
    assert (found is Verdict.ALL_GOOD) == (not stopped and not called_off and set(standings) <= GOOD)
    if found is Verdict.GOING_ON:
        assert not set(standings) & BAD


def test_who_is_left_out_takes_no_place_in_a_stage() -> None:
    ramp = Ramp(stages=("1", "3", "100%"))
    first, second, third = HOSTS[:3]
    states = nodes({first: Standing.LEFT_OUT})
    step = next_step(HOSTS, states, ramp, 1000.0)
    assert (step.ask, step.stage) == ((second,), 0)
    states = nodes({first: Standing.LEFT_OUT, second: Standing.SWITCHING, third: Standing.LEFT_OUT})
    assert next_step(HOSTS, states, ramp, 1000.0).ask == ()  # the first stage is not over
    states = nodes({first: Standing.LEFT_OUT, second: Standing.DONE, third: Standing.LEFT_OUT})
    step = next_step(HOSTS, states, ramp, 1000.0)
    assert (step.ask, step.stage) == (tuple(HOSTS[3:5]), 1)
