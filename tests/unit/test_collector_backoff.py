"""How much at once, when again, and how fast a backlog goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.shipping.backoff import CAP_S, Bucket, Pace
from collector.shipping.bulk import Fault


def test_a_request_that_is_too_large_is_halved_at_once_and_grows_back() -> None:
    pace = Pace(most=1000, documents=1000).failed(700, Fault.TOO_LARGE)
    assert (pace.documents, pace.wait_s(Fault.TOO_LARGE, 1.0)) == (350, 0.0)
    assert Pace(most=1000, documents=1000).failed(1, Fault.TOO_LARGE).documents == 1
    assert pace.succeeded().documents == 700
    assert pace.succeeded().succeeded().documents == 1000


@given(st.sampled_from(sorted(set(Fault) - {Fault.TOO_LARGE})), st.integers(0, 10_000), st.floats(0, 1))
def test_waits_have_full_jitter_and_a_cap(fault: Fault, failures: int, chance: float) -> None:
    pace = Pace(most=1, documents=1, failures=failures).failed(1, fault)
    assert 0.0 <= pace.wait_s(fault, chance) <= CAP_S
    assert pace.wait_s(fault, 0.0) == 0.0
    assert pace.wait_s(fault, 1.0) >= Pace(most=1, documents=1, failures=failures).wait_s(fault, 1.0)


def test_faults_of_the_surroundings_are_tried_more_seldom() -> None:
    pace = Pace(most=1, documents=1, failures=1)
    assert pace.wait_s(Fault.SURROUNDINGS, 1.0) > pace.wait_s(Fault.BUSY, 1.0)


def test_other_hosts_are_asked_at_once_until_each_has_failed() -> None:
    pace = Pace(most=1, documents=1, hosts=3)
    waits = []
    for _ in range(4):
        pace = pace.failed(1, Fault.NOT_REACHED)
        waits.append(pace.wait_s(Fault.NOT_REACHED, 1.0))
        assert pace.wait_s(Fault.NO_ANSWER, 1.0) > 0.0
    assert waits[:2] == [0.0, 0.0]
    assert min(waits[2:]) > 0.0
    assert pace.wait_s(Fault.BUSY, 1.0) > 0.0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 500)), max_size=40), st.floats(0.1, 1000))
def test_no_more_than_the_rate_is_given_out_whenever_it_is_asked_for(
    steps: list[tuple[float, int]], per_s: float
) -> None:
    bucket = Bucket(per_s, 1.0, 0.0)
    now_s, given_out = 0.0, 0
    for step_s, wanted in steps:
        now_s += step_s
        bucket = bucket.at(now_s, per_s)
        taken = min(wanted, int(bucket.tokens))
        bucket = bucket.taken(taken)
        given_out += taken
        assert 0.0 <= bucket.tokens <= bucket.most
    assert given_out <= 1.0 + bucket.most + now_s * per_s


def test_a_bucket_says_when_it_is_full() -> None:
    bucket = Bucket(10.0, 20.0, 0.0)
    assert bucket.full_in_s == pytest.approx(3.0)
    assert bucket.at(3.0, 10.0).full_in_s == 0.0
    assert bucket.at(-5.0, 10.0).tokens == 20.0
