"""Who is asked when: never more than a stage, a limit or the truth about the others allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollout import BadRamp, Doing, Ramp, Verdict, next_step, stage_sizes, stop_words, verdict
from fleet.standing import BAD, ENDED, GOOD, UNDER_WAY, NodeState, Standing

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
    first = next_step(HOSTS, nodes({}), STAGED, asked_ago_s=9.0, ended_ago_s=9.0)
    assert (first.doing, first.ask) == (Doing.ASKING, (HOSTS[0],))
    flying = nodes({HOSTS[0]: Standing.SWITCHING})
    assert next_step(HOSTS, flying, STAGED, asked_ago_s=9.0, ended_ago_s=9.0).doing is Doing.WATCHING
    landed = nodes({HOSTS[0]: Standing.DONE})
    pause = next_step(HOSTS, landed, STAGED, asked_ago_s=9.0, ended_ago_s=1.0)
    assert (pause.doing, pause.wait_s) == (Doing.PAUSING, 4.0)
    then = next_step(HOSTS, landed, STAGED, asked_ago_s=9.0, ended_ago_s=6.0)
    assert (then.doing, then.ask) == (Doing.ASKING, tuple(HOSTS[1:9]))


def test_a_bad_canary_stops_it() -> None:
    bad = nodes({HOSTS[0]: Standing.UNREACHABLE})
    assert next_step(HOSTS, bad, STAGED, asked_ago_s=9.0, ended_ago_s=9.0).doing is Doing.STOPPED
    assert "1 of 1" in stop_words(bad.values(), STAGED)


@given(st.lists(st.sampled_from(list(Standing)), min_size=40, max_size=40), st.floats(0, 10), st.floats(0, 10))
def test_limits_hold_whatever_the_nodes_do(standings: list[Standing], asked_ago_s: float, ended_ago_s: float) -> None:
    states = nodes(dict(zip(HOSTS, standings, strict=True)))
    step = next_step(HOSTS, states, STAGED, asked_ago_s=asked_ago_s, ended_ago_s=ended_ago_s)
    under_way = sum(node.standing in UNDER_WAY for node in states.values())
    waiting = [host for host in HOSTS if states[host].standing is Standing.WAITING]
    assert set(step.ask) <= set(waiting)
    assert bool(step.ask) == (step.doing is Doing.ASKING)
    if step.ask:
        assert under_way + len(step.ask) <= STAGED.in_flight
        assert not stop_words(states.values(), STAGED)
        asked = len(HOSTS) - len(waiting)
        assert any(asked + len(step.ask) <= size for size in stage_sizes(STAGED, len(HOSTS)))
    if step.doing is Doing.OVER:
        assert all(node.standing in ENDED for node in states.values())


@given(st.lists(st.sampled_from(sorted(ENDED)), min_size=1, max_size=10), st.booleans(), st.booleans())
def test_all_good_is_said_only_when_all_are_good(standings: list[Standing], stopped: bool, called_off: bool) -> None:
    states = [NodeState(host=str(n), request_id="op", standing=each) for n, each in enumerate(standings)]
    found = verdict(states, stopped=stopped, called_off=called_off)
    assert (found is Verdict.ALL_GOOD) == (not stopped and not called_off and set(standings) <= GOOD)
    if found is Verdict.GOING_ON:
        assert not set(standings) & BAD
