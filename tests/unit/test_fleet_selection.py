"""Which nodes are taken: as many as wanted, none that is held, and enough left for the trigger."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.modes import Mode, Wanted
from fleet.selection import Candidate, Choice, NothingToDo, select

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        host=st.integers(0, 10_000).map(lambda number: f"fu-{number}"),
        appliance=st.sampled_from(["bu-1", "bu-2", "bu-3"]),
        mode=st.sampled_from([None, Mode.HLT, Mode.CLOUD]),
        jobs=st.one_of(st.none(), st.integers(0, 30)),
        held=st.sampled_from(["", "", "", "being repaired"]),
    ),
    unique_by=lambda each: each.host,
    max_size=40,
)
CHOICES = st.builds(
    Choice,
    to=st.just(Wanted.CLOUD),
    count=st.one_of(st.none(), st.integers(1, 20)),
    percent=st.one_of(st.none(), st.floats(1, 100)),
    keep=st.integers(0, 4),
    prefer_idle=st.booleans(),
)


@given(CANDIDATES, CHOICES)
def test_nobody_is_taken_who_must_stay_and_everyone_else_has_a_reason(
    candidates: list[Candidate], choice: Choice
) -> None:
    by_host = {each.host: each for each in candidates}
    try:
        hosts, left_out = select(candidates, choice)
    except NothingToDo:
        return
    assert not any(by_host[host].held for host in hosts)
    assert set(hosts) | set(left_out) == set(by_host)
    assert not set(hosts) & set(left_out)
    if choice.count is not None:
        assert len(hosts) <= choice.count
    for appliance, there in Counter(each.appliance for each in candidates if each.mode in (None, Mode.HLT)).items():
        taken = sum(by_host[host].appliance == appliance and by_host[host].mode in (None, Mode.HLT) for host in hosts)
        assert there - taken >= min(choice.keep, there) or any(each.held for each in candidates)
    if choice.prefer_idle:
        jobs = [by_host[host].jobs for host in hosts]
        costs = [math.inf if each is None else each for each in jobs]
        assert costs == sorted(costs)


def test_those_with_the_most_work_stay() -> None:
    candidates = [Candidate(host=f"fu-{n}", appliance="bu-1", mode=Mode.HLT, jobs=n) for n in range(5)]
    hosts, left_out = select(candidates, Choice(to=Wanted.CLOUD, keep=2, prefer_idle=True))
    assert hosts == ("fu-0", "fu-1", "fu-2")
    assert set(left_out.values()) == {"2 of each appliance are kept in HLT"}


def test_an_empty_choice_says_why() -> None:
    with pytest.raises(NothingToDo, match="on hold: being repaired"):
        select([Candidate(host="fu-1", held="being repaired")], Choice(to=Wanted.HLT))
    with pytest.raises(NothingToDo, match="the set is empty"):
        select([], Choice(to=Wanted.HLT))
