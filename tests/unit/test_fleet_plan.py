"""What an operation would mean, which nodes are meant, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.modes import Mode, Wanted
from fleet.forecast import expected_s, left_s, slow_s, times_s
from fleet.hosts import Place, expand, folded, folded_whole, place_of, read_places
from fleet.node_sets import RAISED, BadHosts, expand_names
from fleet.operation import Operation, changed, given_up, new_id
from fleet.plan import plan
from fleet.rollout import Ramp
from fleet.selection import Candidate
from fleet.standing import NodeState, Standing

PIECES = ["a", "fu-", "[1-3]", "[01-03]", "[1,3]", "[0-10/2]", "-", "2", "01", ".d", ",", "!", "&", "^", "[", " "]
HOSTS = tuple(f"fu-{number}" for number in range(1, 11))


def operation(*hosts: str, name: str = "") -> Operation:
    return Operation(
        id=name or new_id(), to=Wanted.CLOUD, who="anna", reason="", created_s=1.0, order=hosts,
        places={host: Place(host) for host in hosts}, limit_s=240.0,
    )  # fmt: skip


def waiting(order: Operation) -> list[NodeState]:
    return [NodeState(host=host, request_id=order.id) for host in order.order]


@pytest.mark.parametrize(("n", "slow"), [(0, None), (19, None), (20, 19.0), (21, 20.0), (40, 38.0), (100, 95.0)])
def test_one_in_twenty_is_told_of_twenty_and_more(n: int, slow: float | None) -> None:
    assert slow_s([float(number) for number in range(n, 0, -1)]) == slow


def test_what_sets_may_mean_is_reckoned_before_a_name_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.node_sets.NodeSet", None)  # nobody gets as far as that
    for texts in (["a[1-5000]!a[1-5000]"] * 50, ["a[1-20000]"], ["a[0-9]" * 6], [f"a[{'9' * 30}-{'9' * 31}]"]):
        with pytest.raises(BadHosts, match="more than 10"):
            expand_names(texts)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join))
def test_sets_mean_what_they_mean_to_clustershell(text: str) -> None:
    try:
        theirs = {str(name) for name in NodeSet(text)}
    except RAISED:
        theirs = None
    try:
        ours = set(expand_names([text]))
    except BadHosts as error:
        assert theirs is None or "no host name" in str(error)
    else:
        assert ours == theirs


def test_a_plan_tells_jobs_and_what_stays_in_hlt_stage_by_stage() -> None:
    seen = [Candidate(host=host, mode=Mode.HLT, jobs=2 if host != "fu-3" else None, cores=32) for host in HOSTS]
    made = plan(
        Wanted.CLOUD, HOSTS[:4], {"fu-9": "on hold"}, seen, Ramp(stages=("1", "100%")), [10.0, 20.0, 300.0], 240.0
    )
    assert [stage.hosts for stage in made.stages] == [HOSTS[:1], HOSTS[1:4]]
    assert [stage.hlt_after for stage in made.stages] == [9, 6]
    assert [(stage.jobs, stage.jobs_unknown) for stage in made.stages] == [(2, 0), (4, 1)]
    assert [stage.cores_after for stage in made.stages] == [9 * 32, 6 * 32]
    assert [stage.expected_s for stage in made.stages] == [20.0, 300.0]
    assert (made.median_s, made.hlt_before, made.cores_before, made.nodes) == (20.0, 10, 320, 10)


def test_a_way_back_adds_what_is_away() -> None:
    seen = [Candidate(host="fu-1", mode=Mode.HLT), Candidate(host="fu-2", mode=Mode.CLOUD), Candidate(host="fu-3")]
    made = plan(Wanted.HLT, ("fu-1", "fu-2", "fu-3"), {}, seen, Ramp(), [], 240.0)
    assert [(stage.hlt_after, stage.already, stage.silent, stage.jobs) for stage in made.stages] == [(3, 1, 1, 0)]
    assert made.median_s is None
    assert made.expected_s == 240.0  # one is silent, and waited for until its limit


def test_without_earlier_times_nothing_is_foretold() -> None:
    seen = [Candidate(host="fu-1", mode=Mode.HLT, jobs=2, certain=False)]
    made = plan(Wanted.CLOUD, ("fu-1",), {}, seen, Ramp(), [], 240.0)
    assert (made.expected_s, made.stages[0].expected_s, made.less_certain) == (None, None, ("fu-1",))
    assert (made.stages[0].cores_after, made.stages[0].cores_unknown) == (0, 0)


def test_the_last_of_many_is_expected_late_and_the_only_one_in_the_middle() -> None:
    times = [float(second) for second in range(1, 101)]
    assert expected_s(times, 1) == 50.0
    assert expected_s(times, 1000) == 100.0
    assert expected_s([], 5) is expected_s(times, 0) is None


def test_what_is_left_follows_from_those_that_took_as_long_already() -> None:
    times = [10.0, 20.0, 30.0, 40.0]
    way = NodeState(host="a", request_id="x", standing=Standing.SWITCHING, asked_s=100.0)
    wait = NodeState(host="b", request_id="x")
    stages = Ramp(stages=("1", "100%"), pause_s=5.0)
    nodes = {"a": way, "b": wait}
    assert left_s(("a",), {"a": way}, Ramp(), times, 240.0, 125.0) == 15.0
    assert left_s(("a",), {"a": way}, Ramp(), times, 240.0, 160.0) == 180.0  # nobody took that long: until its limit
    assert left_s(("a", "b"), nodes, stages, times, 240.0, 125.0) == 15.0 + 5.0 + 20.0
    assert left_s(("a", "b"), nodes, stages, [], 240.0, 125.0) is None


def test_only_nodes_that_arrived_tell_how_long_it_takes() -> None:
    done = NodeState(host="a", request_id="x", standing=Standing.DONE, asked_s=10.0, ended_s=40.0)
    stuck = NodeState(host="b", request_id="x", standing=Standing.STUCK, asked_s=10.0, ended_s=400.0)
    assert times_s([done, stuck]) == [30.0]


def test_an_undo_takes_what_was_or_may_have_been_moved() -> None:
    asked = {each.value: NodeState(host=each.value, request_id="x", standing=each, tries=1) for each in Standing}
    assert set(changed(asked)) == {"asked", "switching", "done", "failed", "stuck", "going on", "unreachable"}
    assert not changed({host: replace(node, tries=0) for host, node in asked.items()})
    assert not changed({host: replace(node, joined=True) for host, node in asked.items()})


def test_names_are_clustershells_and_must_be_known() -> None:
    known = {host: Place(f"{host}:9000") for host in HOSTS}
    assert expand(["fu-[1-4]!fu-2", "fu-4"], known) == ["fu-1", "fu-3", "fu-4"]
    assert folded(expand(["fu-[1-4]"], {})) == "fu-[1-4]"
    with pytest.raises(BadHosts, match="fu-11: not in the file"):
        expand(["fu-[1-11]"], known)


@given(
    st.lists(
        st.builds(
            "{}-c2f{:0{}}{}{}".format, st.sampled_from(["fu", "bu"]), st.integers(0, 12), st.integers(1, 3),
            st.sampled_from(["", "-01", "-1", "-07-02", "-07-03", "-08-03"]), st.sampled_from(["", "x", ".cern.ch"]),
        ),
        max_size=60,
    )
)  # fmt: skip
def test_names_in_short_mean_the_same_names(names: list[str]) -> None:
    assert set(expand_names([folded_whole(names)])) == set(names)


def test_a_whole_farm_is_short() -> None:
    for text in ("fu-c2f[01-40]-[01-05]-[01-08]", "a,fu-[1-3,7]", "fu-1-[01-02],fu-2-01"):
        assert folded_whole(expand_names([text])) == text
    assert folded(f"fu-{number}-x" for number in range(0, 400, 2)).endswith("…")


def test_a_file_of_nodes_says_where_they_answer(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_text("# all\nfu-1 bu-1\nfu-2 bu-1 10.0.0.2\nfu-3 bu-2 10.0.0.3:9001 # moved\n")
    places = read_places(path)
    assert [place_of(f"fu-{n}", places).address for n in (1, 2, 3)] == ["fu-1:9000", "10.0.0.2:9000", "10.0.0.3:9001"]
    assert places["fu-3"].appliance == "bu-2"
    for bad in ("fu-1\n", "fu-1 bu-1\nfu-1 bu-1\n", "-x bu-1\n", "fu-1 bu-1 10.0.0.1:99999\n", "fu-1 bu-1 a:b\n"):
        path.write_text(bad)
        with pytest.raises(BadHosts, match=f"{path}:"):
            read_places(path)


def test_an_operation_that_is_given_up_asks_nobody_more_and_forgets_nobody(tmp_path: Path) -> None:
    order = operation("fu-1", "fu-2")
    first, second = waiting(order)
    asked = replace(second, standing=Standing.SWITCHING, tries=1)
    over, nodes = given_up(order, [first, asked], 5.0)
    assert (over.over, over.called_off) == (True, True)
    assert [node.standing for node in nodes] == [Standing.LEFT_OUT, Standing.SWITCHING]
    assert changed({node.host: node for node in nodes}) == ["fu-2"]
