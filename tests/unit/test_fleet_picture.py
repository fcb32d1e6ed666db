"""What an operator sees of an operation: while it runs, before it, and afterwards."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console, RenderableType

from contract.modes import Mode, Wanted
from fleet.client import NodeStatus, Old
from fleet.farm import Farm
from fleet.hosts import Place
from fleet.journal_lines import JournalLine
from fleet.looks import Why, look_words, show_history, show_status, show_why
from fleet.operation import Operation
from fleet.past import part, past
from fleet.picture import Moment, modes, picture, shortened
from fleet.plan import plan
from fleet.rollout import Doing, Ramp, Verdict
from fleet.selection import Candidate
from fleet.standing import NoAnswer, NodeState, Standing
from fleet.tables import put, show_plan, show_result, span

HOSTS = tuple(f"fu-{number:02}" for number in range(1, 21))
OPERATION = Operation(
    id="op-7", to=Wanted.CLOUD, who="anna", reason="fill [/gap] :tada:", created_s=100.0, order=HOSTS,
    places={host: Place(host) for host in HOSTS}, ramp=Ramp(stages=("10", "100%")), limit_s=240.0,
)  # fmt: skip


def node(number: int, standing: Standing = Standing.WAITING, **more: object) -> NodeState:
    fields: dict[str, object] = {"host": HOSTS[number], "request_id": "op-7", "standing": standing, "mode": Mode.HLT}
    return NodeState(**(fields | more))  # type: ignore[arg-type]  # fields of the struct


def some_nodes() -> dict[str, NodeState]:
    states = [
        node(0, Standing.DONE, mode=Mode.CLOUD, asked_s=110.0, ended_s=130.0),
        node(1, Standing.REFUSED, words="no VM stack\x1b[31m", asked_s=110.0, ended_s=111.0),
        node(2, Standing.SWITCHING, mode=Mode.ACTIVATING_CLOUD, asked_s=110.0, blocker="merge script", stuck=True),
        node(3, Standing.SWITCHING, mode=Mode.ACTIVATING_CLOUD, asked_s=140.0, blocker="8 jobs", certain=False),
        node(4, Standing.UNREACHABLE, mode=None, words="no answer in time", asked_s=110.0, ended_s=150.0),
        *(node(number) for number in range(5, 20)),
    ]
    return {state.host: state for state in states}


def shown(what: RenderableType, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    put(console, what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def printed(width: int = 1000) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False), file


@pytest.mark.parametrize("width", [40, 62, 120, 300])
def test_the_live_table_fits_its_terminal_and_names_who_holds_it_up(width: int) -> None:
    text = shown(picture(Moment(OPERATION, some_nodes(), Doing.WATCHING, 0, (20.0, 30.0), 150.0), width), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("20 nodes to the cloud")
    assert lines[1].startswith("3 ended, 15%")
    slow = [line for line in lines if line.startswith("fu-")]
    assert [line.split()[0] for line in slow] == ["fu-03", "fu-04"]
    assert any(line.startswith("1 refused: fu-02") for line in lines)
    assert "\x1b" not in text
    if width >= 120:
        assert "fill [/gap] :tada:" in lines[0]
        assert "about 3:50 min left, as earlier ones took  stage 1 of 2, watching  50 s gone" in lines[1]
        assert "HLT 16" in text
        assert "unknown 1" in text
        assert "1 under way stuck" in text
        assert "stuck: merge script" in slow[0]
        assert slow[1].startswith("fu-04 ~")
        assert "~ 1 of them speak only hltd's URLs" in text


def test_without_any_times_no_end_is_foretold() -> None:
    waiting = {host: NodeState(host=host, request_id="op-7") for host in HOSTS}
    text = shown(picture(Moment(OPERATION, waiting, Doing.ASKING, 0, (), 101.0), 120))
    assert "no earlier times; each node has 4:00 min" in text
    assert modes(waiting.values()) == {
        "HLT": 0, "activatingCloud": 0, "cloud": 0, "deactivatingCloud": 0, "unknown": 20,
    }  # fmt: skip


def test_a_result_groups_nodes_by_class_and_reason_and_marks_the_less_certain() -> None:
    console, file = printed()
    show_result(console, OPERATION, some_nodes().values())
    text = file.getvalue()
    assert "1  refused      fu-02" in text
    assert "no VM stack[31m" in text
    assert "15  waiting      fu-[06-20]" in text
    assert "1 of them speak only hltd's URLs and keep no journal: less certain: fu-04" in text


@pytest.mark.parametrize("width", [70, 1000])
def test_a_plan_names_nodes_jobs_time_and_what_stays(width: int) -> None:
    seen = [Candidate(host=host, mode=Mode.HLT, jobs=2, cores=32, certain=host != "fu-01") for host in HOSTS]
    seen[1] = Candidate(host="fu-02")
    made = plan(Wanted.CLOUD, HOSTS[:15], {"fu-20": "on hold: anna"}, seen, OPERATION.ramp, [10.0, 20.0, 300.0], 240.0)
    console, file = printed(width)
    show_plan(console, made)
    text = file.getvalue()
    assert "15 of 20 nodes to the cloud; 19 with 608 cores are in HLT now" in text
    assert "fu-[01-10]" in text
    assert "fu-[11-15]" in text
    assert "10 (50%)    320" in text
    assert "1 of them do not answer" in text
    assert "less certain: fu-01" in " ".join(text.split())
    assert "left out (1), on hold: anna: fu-20" in text


def test_a_long_wait_keeps_its_lumisections_and_loses_its_pids() -> None:
    waits = "run 398123: 8 jobs, pid 10001, 10002, 10003, 10004 and 4 more until LS 57 (merged LS 51)"
    assert shortened(waits, 100) == waits
    assert shortened(waits, 60) == "run 398123: 8 jobs until LS 57 (merged LS 51)"
    assert shortened("run 5: merge script, pid 12", 10) == "run 5: merge script"


def test_the_past_tells_how_long_it_took_and_what_a_node_took() -> None:
    over = Operation(
        id="op-8", to=Wanted.HLT, who="ben", reason="", created_s=100.0, order=HOSTS[:5], places={}, limit_s=1.0,
        verdict=Verdict.PARTIAL, of="op-7",
    )  # fmt: skip
    told = past(over, list(some_nodes().values())[:5])
    assert (told.duration_s, told.median_s, told.slow_s, told.less_certain) == (50.0, 20.0, None, 1)
    assert (told.nodes, told.counts) == (5, {"switching": 2, "done": 1, "refused": 1, "unreachable": 1})
    assert past(OPERATION, some_nodes().values()).duration_s is None
    console, file = printed()
    show_history(console, [told])
    assert "50 s  20 s         partial" in file.getvalue()
    assert "(1 of them less certain ~)  ben (after op-7)" in file.getvalue()


def test_all_about_one_node() -> None:
    seen = NodeStatus(host="fu-03", journal_seq=7, mode_name="activatingCloud", mode_age_s=130.0, blocker="8 jobs")
    parts = [part(OPERATION, some_nodes()["fu-02"])]
    lines = [JournalLine(kind="switch", seq=7, id="op-7", outcome="done", time="2026-11-25T07:00:00.5Z")]
    console, file = printed()
    show_why(console, "fu-03", Why(seen, None, parts, lines))
    text = file.getvalue()
    assert "fu-03: activatingCloud for 2:10 min, waits for: 8 jobs" in text
    assert "refused   1 s  no VM stack[31m" in text
    assert "7  2026-11-25 07:00:00  switch  op-7" in text
    show_why(console, "fu-04", Why(Old(4), None, [], []))
    assert "fu-04: 4 cores in the cloud; ~" in file.getvalue()


def test_a_status_marks_old_nodes_for_people_and_machines() -> None:
    looks = {"fu-01": NodeStatus(host="fu-01", journal_seq=1, mode_name="HLT"), "fu-02": Old(0), "fu-03": NoAnswer("?")}
    console, file = printed()
    show_status(console, looks, Farm.__new__(Farm, None, {"fu-02": Place("fu-02", "bu-1")}, ""))  # type: ignore[arg-type]  # it looks at the places only
    text = file.getvalue()
    assert "no answer: fu-03" in text
    assert "~ 1 of them speak only hltd's URLs and keep no journal: less certain: fu-02" in text
    words = look_words("fu-02", Old(0))
    assert (words["certain"], words["mode"], words["kind"]) == (False, Mode.HLT, "Old")
    assert json.dumps(words)


def test_times_are_told_in_the_unit_that_fits() -> None:
    assert [span(seconds) for seconds in (None, 0.4, 99.4, 125.0, 3725.0)] == [
        "?", "0 s", "99 s", "2:05 min", "1:02:05 h",
    ]  # fmt: skip
