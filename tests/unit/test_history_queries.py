"""Questions to past switches."""

from __future__ import annotations

import msgspec
import pytest

from collector.history.past import Switchover
from collector.history.queries import next_place, page, switchover_query
from collector.history.questions import Wish, percentile, select, summarize
from collector.options import moment_s
from contract.modes import Wanted
from contract.times import iso
from tests.unit.test_collector_facts import NOW_S


def switch(at_s: float, duration_s: float = 1.0, *, to: Wanted = Wanted.CLOUD, **fields: str | bool) -> Switchover:
    phases = {"check": 0.5, "drain": duration_s - 0.5} if to is Wanted.CLOUD else {"stop_vms": duration_s}
    known = {"host": "fu-1", "appliance": "bu-1", "switch_id": f"r{at_s:g}", "outcome": "done", "who": "shift"}
    facts = {
        "from_mode": "HLT", "to": to, "started": iso(NOW_S + at_s), "ended": iso(NOW_S + at_s + duration_s),
        "duration_s": duration_s, "phases": phases,
    }  # fmt: skip
    return msgspec.convert(known | facts | fields, Switchover)


def ids(found: list[Switchover]) -> list[str]:
    return [each.switch_id for each in found]


def test_switches_come_oldest_first_and_the_limit_keeps_the_newest() -> None:
    found = [switch(3), switch(1), switch(2)]
    assert ids(select(found, Wish())) == ["r1", "r2", "r3"]
    assert ids(select(found, Wish(limit=2))) == ["r2", "r3"]


def test_the_slowest_come_slowest_first() -> None:
    assert ids(select([switch(1, 5.0), switch(2, 9.0), switch(3, 7.0)], Wish(slowest=2))) == ["r2", "r3"]


def test_since_includes_and_until_excludes_its_moment() -> None:
    assert ids(select([switch(at) for at in (1, 2, 3)], Wish(since_s=NOW_S + 2, until_s=NOW_S + 3))) == ["r2"]


@pytest.mark.parametrize(
    "wish",
    [
        Wish(nodes=("fu-2*", "nothing")),
        Wish(appliances=("bu-2",)),
        Wish(outcomes=("refused", "superseded")),
        Wish(who="Level*"),
    ],
)
def test_a_wish_picks_by_node_appliance_outcome_and_who(wish: Wish) -> None:
    other = switch(2, host="fu-22", appliance="bu-2", outcome="refused", who="LevelZero")
    assert ids(select([switch(1), other], wish)) == ["r2"]


def test_moments_are_iso_times_or_times_ago() -> None:
    assert moment_s("90m", 10_000.0) == 4600.0
    assert moment_s("2d", 200_000.0) == 27_200.0
    assert moment_s("2026-11-23T11:20", 0.0) == moment_s("2026-11-23T11:20:00Z", 0.0)
    with pytest.raises(ValueError, match="isoformat"):
        moment_s("yesterday", 0.0)


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 1.0)] == [50.0, 95.0, 100.0]
    assert percentile([3.0], 0.95) == 3.0


def test_a_summary_counts_outcomes_by_side_and_times_only_what_ended_well() -> None:
    found = [switch(n, float(n)) for n in range(1, 21)]
    found += [switch(50, 999.0, outcome="superseded", was_stuck=True), switch(60, 4.0, to=Wanted.HLT)]
    back, away = summarize(found)
    assert (away.to, away.outcomes, away.stuck) == (Wanted.CLOUD, {"done": 20, "superseded": 1}, 1)
    whole = away.durations["whole"]
    assert (whole.n, whole.p50_s, whole.p95_s, whole.max_s) == (20, 10.0, 19.0, 20.0)
    assert away.durations["check"].max_s == 0.5
    assert (back.to, set(back.durations)) == (Wanted.HLT, {"stop_vms", "whole"})


def test_no_switches_make_no_summary() -> None:
    assert summarize([]) == []


def test_the_next_page_begins_before_those_that_are_equal_to_the_last() -> None:
    assert next_place([(9,), (8,), (7,), (7,)]) == (8,)


def test_a_page_of_equals_is_gone_through_by_host_and_id() -> None:
    place = next_place([(7,), (7,)])
    assert place == (7, "", "")
    assert [list(key) for key in page({}, "started", size=2, after=place)["sort"]] == [
        ["started"], ["host"], ["switch_id"],
    ]  # fmt: skip
    assert next_place([(7, "fu-1", "r1"), (7, "fu-1", "r2")]) == (7, "fu-1", "r2")


@pytest.mark.parametrize(
    ("pattern", "asked"),
    [("fu-0[12]", "fu-0?"), ("fu-[!]a]*", "fu-?*"), ("a*[b", "a*[b"), ("a*[]", "a*[]"), ("a*[]]", "a*?")],
)
def test_a_server_is_asked_for_any_letter_where_a_pattern_names_some(pattern: str, asked: str) -> None:
    (among,) = switchover_query(Wish(nodes=(pattern,)))["bool"]["filter"]
    assert among["bool"]["should"] == [{"wildcard": {"host": {"value": asked}}}]
