"""Which nodes are taken: as many as wanted, none that is held, and enough left for the trigger."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.modes import Mode, Wanted
from fleet.selection import THERE, Candidate, Choice, NothingToDo, select

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        host=st.integers(0, 10_000).map(lambda number: f"fu-{number}"),
        appliance=st.sampled_from(["bu-1", "bu-2", "bu-3"]),
        mode=st.sampled_from([None, *Mode, Mode.HLT, Mode.HLT]),
        jobs=st.one_of(st.none(), st.integers(0, 30)),
        held=st.sampled_from(["", "", "", "being repaired"]),
    ),
    unique_by=lambda each: each.host,
    max_size=40,
)
CHOICES = st.builds(
    Choice,
    to=st.sampled_from(Wanted),
    count=st.one_of(st.none(), st.integers(1, 20)),
    percent=st.one_of(st.none(), st.floats(1, 100)),
    keep=st.integers(0, 4),
    keep_total=st.integers(0, 12),
    prefer_idle=st.booleans(),
)


def farm(*modes: Mode | None, jobs: int = 3, held: str = "") -> list[Candidate]:
    return [
        Candidate(host=f"fu-{n}", appliance="bu-1", mode=mode, jobs=jobs, held=held if mode is Mode.HLT else "")
        for n, mode in enumerate(modes)
    ]


@given(CANDIDATES, CHOICES)
def test_nobody_is_taken_who_must_stay_and_everyone_else_has_a_reason(
    candidates: list[Candidate], choice: Choice
) -> None:
    by_host = {each.host: each for each in candidates}
    try:
        hosts, left_out = select(candidates, choice)
    except NothingToDo:
        return
    taken = [by_host[host] for host in hosts]
    assert not any(each.held for each in taken)
    assert set(hosts) | set(left_out) == set(by_host)
    assert not set(hosts) & set(left_out)
    if choice.count is not None or choice.percent is not None:
        assert all(each.mode is not None and each.mode not in THERE[choice.to] for each in taken)
        share = math.floor(len(candidates) * (choice.percent or 0) / 100)
        assert len(hosts) <= (choice.count if choice.count is not None else share)
    if choice.to is Wanted.CLOUD:
        there = Counter(each.appliance for each in candidates if each.mode is Mode.HLT)
        leaving = Counter(each.appliance for each in taken if each.mode is Mode.HLT)
        for appliance, nodes in there.items():
            assert nodes - leaving[appliance] >= min(choice.keep, nodes)
        assert there.total() - leaving.total() >= min(choice.keep_total, there.total())
    if choice.prefer_idle:
        moving = [each for each in taken if each.mode is not None and each.mode not in THERE[choice.to]]
        costs = [math.inf if each.jobs is None else each.jobs for each in moving]
        assert costs == sorted(costs)


@given(CANDIDATES, CHOICES)
def test_as_many_move_as_are_wanted_and_may(candidates: list[Candidate], choice: Choice) -> None:
    if choice.count is None:
        return
    whole = Choice(to=choice.to, keep=choice.keep, keep_total=choice.keep_total)
    try:
        all_of_them = {each.host: each for each in candidates}
        movable = [
            host for host in select(candidates, whole).hosts
            if all_of_them[host].mode not in (None, *THERE[choice.to])
        ]  # fmt: skip
    except NothingToDo:
        movable = []
    try:
        assert len(select(candidates, choice).hosts) == min(choice.count, len(movable))
    except NothingToDo:
        assert not movable


def test_nodes_that_are_there_or_silent_use_up_nothing_of_a_count() -> None:
    modes = (Mode.CLOUD, Mode.ACTIVATING_CLOUD, None, Mode.HLT, Mode.DEACTIVATING_CLOUD, Mode.HLT)
    hosts, left_out = select(farm(*modes), Choice(to=Wanted.CLOUD, count=2))
    assert hosts == ("fu-3", "fu-4")
    assert left_out["fu-0"] == left_out["fu-1"] == "there already, or on the way"
    assert left_out["fu-2"] == "no answer, so it is not counted on"
    assert left_out["fu-5"] == "more than the 2 that are wanted"


def test_a_share_is_one_of_all_that_are_named() -> None:
    nodes = farm(*[Mode.CLOUD] * 5, *[Mode.HLT] * 5)
    assert len(select(nodes, Choice(to=Wanted.CLOUD, percent=40)).hosts) == 4


def test_without_a_count_everyone_is_asked_those_that_are_silent_or_there_as_well() -> None:
    assert len(select(farm(Mode.CLOUD, None, Mode.HLT), Choice(to=Wanted.CLOUD)).hosts) == 3


def test_those_with_the_most_work_stay() -> None:
    candidates = [Candidate(host=f"fu-{n}", appliance="bu-1", mode=Mode.HLT, jobs=n) for n in range(5)]
    hosts, left_out = select(candidates, Choice(to=Wanted.CLOUD, keep=2, prefer_idle=True))
    assert hosts == ("fu-0", "fu-1", "fu-2")
    assert set(left_out.values()) == {"2 of each appliance are kept in HLT"}


def test_only_what_is_seen_in_hlt_and_stays_counts_as_kept() -> None:
    silent_and_away = farm(None, Mode.CLOUD, Mode.ACTIVATING_CLOUD, Mode.HLT, Mode.HLT)
    hosts, _ = select(silent_and_away, Choice(to=Wanted.CLOUD, keep=2))
    assert hosts == ("fu-1", "fu-2", "fu-0")


def test_what_is_on_hold_in_hlt_counts_as_kept() -> None:
    held = Candidate(host="fu-9", appliance="bu-1", mode=Mode.HLT, held="anna: new disk")
    hosts, left_out = select([held, *farm(Mode.HLT, Mode.HLT)], Choice(to=Wanted.CLOUD, keep=2))
    assert len(hosts) == 1
    assert left_out["fu-9"] == "on hold: anna: new disk"


def test_all_but_so_many_of_the_farm() -> None:
    nodes = [Candidate(host=f"fu-{n}", appliance=f"bu-{n % 3}", mode=Mode.HLT, jobs=n) for n in range(12)]
    hosts, left_out = select(nodes, Choice(to=Wanted.CLOUD, keep=1, keep_total=5))
    assert set(left_out) == {"fu-11", "fu-10", "fu-9", "fu-8", "fu-7"}
    assert len(hosts) == 7


def test_nothing_is_kept_on_the_way_back() -> None:
    assert len(select(farm(Mode.HLT, Mode.CLOUD), Choice(to=Wanted.HLT, keep=2)).hosts) == 2


def test_whoever_has_a_way_to_go_is_asked_first_and_silent_ones_last() -> None:
    seen = [
        Candidate(host="fu-1"), Candidate(host="fu-2", mode=Mode.CLOUD), Candidate(host="fu-3", mode=Mode.HLT),
        Candidate(host="fu-4"), Candidate(host="fu-5", mode=Mode.HLT),
    ]  # fmt: skip
    assert select(seen, Choice(to=Wanted.CLOUD)).hosts == ("fu-3", "fu-5", "fu-2", "fu-1", "fu-4")
    assert select(seen, Choice(to=Wanted.HLT)).hosts == ("fu-2", "fu-3", "fu-5", "fu-1", "fu-4")


def test_an_empty_choice_says_why() -> None:
    with pytest.raises(NothingToDo, match="on hold: being repaired"):
        select([Candidate(host="fu-1", held="being repaired")], Choice(to=Wanted.HLT))
    with pytest.raises(NothingToDo, match="the set is empty"):
        select([], Choice(to=Wanted.HLT))
    with pytest.raises(NothingToDo, match="10 % of 2 nodes is less than one node"):
        select(farm(Mode.HLT, Mode.HLT), Choice(to=Wanted.CLOUD, percent=10))
