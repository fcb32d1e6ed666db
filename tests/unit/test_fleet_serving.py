"""The pure parts of the fleet tool's server: the board, events and places in them, orders; and what the wheel ships."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast

import pytest
from aiohttp import ClientSession, web

from contract.modes import Mode, Wanted
from fleet.client import Client, NodeStatus, Old
from fleet.hosts import Place
from fleet.node_sets import BadHosts
from fleet.order import BadOrder
from fleet.serving.board import Board
from fleet.serving.events import Events
from fleet.serving.forms import OrderForm
from fleet.serving.looking import Looking
from fleet.serving.orders import check, hosts_of, order_of
from fleet.serving.streaming import Streams
from fleet.standing import NoAnswer, NodeState
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PLACES = {f"fu-{n}": Place(f"127.0.0.1:{n}", f"bu-{1 + n // 3}") for n in range(1, 6)}


def status(host: str, mode: str, age_s: float, **more: object) -> NodeStatus:
    return NodeStatus(host=host, mode_name=mode, journal_seq=1, mode_age_s=age_s, **more)  # type: ignore[arg-type]


# The board


def test_a_changed_list_keeps_what_is_known_of_those_who_stay() -> None:
    board = Board(PLACES)
    for host in ("fu-1", "fu-2", "fu-3"):
        board.look(host, status(host, "HLT", 50.0), 1000.0)
    board.renew(
        {
            "fu-3": PLACES["fu-3"],
            "fu-1": PLACES["fu-1"]._replace(appliance="bu-9"),
            "fu-9": Place("127.0.0.1:9", "bu-9"),
        }
    )
    assert [(node.host, node.appliance, node.mode) for node in board.nodes] == [
        ("fu-3", PLACES["fu-3"].appliance, Mode.HLT),
        ("fu-1", "bu-9", None),
        ("fu-9", "bu-9", None),
    ]
    assert {node.host for node in board.changed()} == {"fu-1", "fu-3"}  # nothing is told of who is gone
    board.taken({"fu-2": "op-1", "fu-9": "op-1"})
    assert [node.host for node in board.changed()] == ["fu-9"]


# The looks


class Slow:
    """Nodes that answer when they are told to; `asked` are the addresses in the order in which they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    async def look(self, place: Place, host: str) -> NodeStatus:
        self.asked.append(place.address)
        await self.answer.wait()
        return status(host, "HLT", 1.0)


def test_looks_follow_a_changed_list_and_nothing_is_told_of_who_is_gone() -> None:
    async def story() -> None:
        nodes = Slow()
        told: list[str] = []
        places = {host: PLACES[host] for host in ("fu-1", "fu-2", "fu-3")}
        looking = Looking(cast(Client, nodes), places, 600.0, lambda host, _look: told.append(host), lambda _h: False)
        running = asyncio.ensure_future(looking.run())
        await until(lambda: len(nodes.asked) == 3)
        gone_for_a_moment = {"fu-2": places["fu-2"]}
        looking.renew(gone_for_a_moment)
        looking.renew({**gone_for_a_moment, "fu-1": Place("127.0.0.1:1", "bu-1"), "fu-4": PLACES["fu-4"]})
        await until(lambda: len(nodes.asked) == 5)
        nodes.answer.set()
        await until(lambda: len(told) == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert sorted(nodes.asked) == [f"127.0.0.1:{n}" for n in (1, 1, 2, 3, 4)]
        assert sorted(told) == ["fu-1", "fu-2", "fu-4"]
        assert sorted(host for _, host in looking._due) == ["fu-1", "fu-2", "fu-4"]

    asyncio.run(story())


def test_only_what_changed_is_told() -> None:
    board = Board(PLACES)
    board.look("fu-1", status("fu-1", "HLT", 50.0), 1000.0)
    assert [(node.host, node.mode, node.since_s) for node in board.changed()] == [("fu-1", Mode.HLT, 950.0)]
    board.look("fu-1", status("fu-1", "HLT", 55.4), 1005.0)  # the same, but for the clocks
    assert board.changed() == ()
    board.look("fu-1", status("fu-1", "HLT", 5.0), 1005.0)  # it was away in between
    assert [node.since_s for node in board.changed()] == [1000.0]


def test_who_comes_to_rest_elsewhere_is_a_switchover() -> None:
    board = Board(PLACES)
    board.look("fu-1", status("fu-1", "HLT", 50.0), 1000.0)
    assert board.arrived() == ()  # the first look is none
    board.look("fu-1", status("fu-1", "activatingCloud", 1.0), 1010.0)
    board.look("fu-1", status("fu-1", "cloud", 0.0), 1030.0)
    (arrived,) = board.arrived()
    assert (arrived.to, arrived.at_s, arrived.took_s) == (Mode.CLOUD, 1030.0, 21.0)
    board.look("fu-1", NoAnswer("gone"), 1040.0)
    board.look("fu-1", status("fu-1", "cloud", 20.0), 1050.0)
    assert board.arrived() == ()


@pytest.mark.parametrize(
    ("look", "words"),
    [(NoAnswer("gone"), "gone"), (status("fu-1", "newMode", 1.0), "in a mode that is not known here: newMode")],
)
def test_a_node_without_a_mode_says_why(look: NoAnswer | NodeStatus, words: str) -> None:
    board = Board(PLACES)
    board.look("fu-1", look, 1000.0)
    assert (board.nodes[0].mode, board.nodes[0].silent) == (None, words)
    assert board.counts()["no answer"] == len(PLACES)


def test_what_an_operation_sees_is_shown_and_keeps_what_it_does_not_know() -> None:
    board = Board(PLACES)
    board.look("fu-1", status("fu-1", "HLT", 50.0, tokens={"online": 32}), 1000.0)
    board.look("fu-2", Old(0), 1000.0)
    seen = NodeState(host="fu-1", request_id="op", mode=Mode.ACTIVATING_CLOUD, blocker="2 jobs", stuck=True)
    board.in_operation(seen, 1001.0)
    node = board.nodes[0]
    assert (node.mode, node.since_s, node.blocker, node.stuck, node.cores) == (
        Mode.ACTIVATING_CLOUD, 1001.0, "2 jobs", True, 32,
    )  # fmt: skip
    assert board.in_hlt() == (1, 0)
    board.in_operation(NodeState(host="elsewhere", request_id="op", mode=Mode.HLT), 1001.0)


# Events


def test_a_reader_gets_what_it_missed_in_order_and_once() -> None:
    events = Events("e")
    for n in range(5):
        events.add("nodes", b"[%d]" % n)
    assert (events.newest, events.place("e-2")) == ("e-5", 2)
    number, text = events.after(2)
    assert number == 5
    assert text.decode() == "".join(f"id: e-{n + 1}\nevent: nodes\ndata: [{n}]\n\n" for n in (2, 3, 4))
    assert events.after(5) == (5, b"")


@pytest.mark.parametrize("name", ["", "e", "e-6", "e--1", "f-2", "e-1e1", "e-²", f"e-{'9' * 40}"])
def test_an_id_that_is_none_of_ours_has_no_place(name: str) -> None:
    events = Events("e")
    for _ in range(5):
        events.add("nodes", b"[]")
    assert events.place(name) is None


def test_old_events_go_by_number_and_by_bytes_and_their_readers_must_reload() -> None:
    few = Events("e", kept=3)
    small = Events("e", kept_bytes=200)
    for n in range(50):
        few.add("nodes", b"[%d]" % n)
        small.add("nodes", b"[%d]" % n)
    assert (few.has(46), few.has(47), few.has(50), few.has(51)) == (False, True, True, False)
    assert not small.has(40)
    assert len(small.after(48)[1]) < 200


def test_a_reader_that_takes_nothing_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    class Source:
        def __init__(self) -> None:
            self.events = Events("e", kept=100_000, kept_bytes=1 << 30)

        async def news(self, timeout_s: float) -> None:
            await asyncio.sleep(min(timeout_s, 0.01))

        def wake(self) -> None:
            pass

    async def run() -> None:
        source = Source()
        streams = Streams(source, 2, patience_s=0.2)
        ended = asyncio.Event()

        async def stream(request: web.Request) -> web.StreamResponse:
            try:
                return await streams.stream(request)
            finally:
                ended.set()

        application = web.Application()
        application.router.add_get("/events", stream)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/events"):
            for _ in range(200):  # far more than sockets take in; nobody reads it
                source.events.add("nodes", b"x" * (256 << 10))
            async with asyncio.timeout(60):
                await ended.wait()
        await runner.cleanup()

    asyncio.run(run())
    assert "127.0.0.1: too slow a reader of events; let go" in caplog.text


# Orders


def test_nodes_are_named_by_sets_lists_and_appliances() -> None:
    assert hosts_of("fu-[1-3]", (), PLACES) == ["fu-1", "fu-2", "fu-3"]
    assert hosts_of(["fu-5", "fu-1"], (), PLACES) == ["fu-1", "fu-5"]
    assert hosts_of("", ["bu-2"], PLACES) == ["fu-3", "fu-4", "fu-5"]
    assert hosts_of("fu-1", ["bu-2"], PLACES) == ["fu-1", "fu-3", "fu-4", "fu-5"]


@pytest.mark.parametrize("text", ["@all", "fu-*", "fu-?", "-", "@x:y", "", " "])
def test_groups_wildcards_and_stdin_are_not_taken_over_http(text: str) -> None:
    with pytest.raises(BadHosts):
        hosts_of(text, (), PLACES)


def test_an_order_says_one_thing() -> None:
    for form in (
        OrderForm(), OrderForm(to=Wanted.HLT, undo="op"), OrderForm(undo="a", retry="b"),
        OrderForm(undo="op", hosts="fu-1"), OrderForm(to=Wanted.HLT, count=1, percent=2.0),
    ):  # fmt: skip
        with pytest.raises(BadOrder):
            check(form)
    with pytest.raises(BadOrder):
        order_of(OrderForm(to=Wanted.HLT, keep_total=1), Wanted.HLT, "x")
    order = order_of(OrderForm(to=Wanted.CLOUD, ramp="1, 5%", reason="a\x00b\n"), Wanted.CLOUD, "10.0.0.1")
    assert (order.who, order.reason) == ("http 10.0.0.1", "ab")
    assert (order.ramp_to(Wanted.CLOUD).stages, order.ramp_to(Wanted.CLOUD).bad_share) == (("1", "5%"), 0.1)
    unsaid = order_of(OrderForm(to=Wanted.HLT), Wanted.HLT, "x")
    assert (unsaid.ramp_to(Wanted.HLT).stages, unsaid.ramp_to(Wanted.HLT).bad_share) == (("100%",), 1.0)
    assert unsaid.ramp_to(Wanted.CLOUD).stages == ("1", "5%", "100%")


# What is shipped


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    page = {f"fleet/page/{path.name}" for path in (ROOT / "fleet" / "page").iterdir()}
    assert {"fleet/page/index.html", "fleet/page/page.css", "fleet/page/page.js"} <= page
    assert page <= shipped
