"""Nodes that answer oddly: in pieces, for others, without end, of a journal begun anew. Real connections, odd words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.modes import Wanted
from fleet.client import connected
from fleet.engine import Engine
from fleet.hosts import Place
from fleet.operation import Operation
from fleet.rollout import Verdict
from fleet.standing import NodeState, Standing
from fleet.store import Store, Taken

NAME = "op-1"
KNOWN = {"fu-1": 1}  # up to where the survey has seen each journal
ACCEPTED = {"kind": "request", "id": NAME, "to": "cloud", "verdict": "accepted"}
DONE = {"kind": "switch", "id": NAME, "to": "cloud", "outcome": "done", "why": ""}
Answer = tuple[int, bytes]


class OddNode:
    """A node of which a test says how it answers; at once done with whatever it is asked, unless told otherwise."""

    def __init__(self, host: str = "fu-1") -> None:
        self.host = host
        self.mode = "HLT"
        self.records: list[dict[str, Any]] = [{"kind": "start"}]
        self.asked: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.under_way: str | None = None
        self.piece = 1 << 20
        self.on_switch: Callable[[dict[str, Any]], Answer] = self.does_it
        self.odd: dict[str, Answer | Callable[[], Answer]] = {}
        self.address = ""

    def does_it(self, request: dict[str, Any]) -> Answer:
        self.records += [ACCEPTED, DONE]
        self.mode = "cloud"
        return self.accepts(request)

    def accepts(self, request: dict[str, Any]) -> Answer:
        return 202, json.dumps({"id": request["id"], "verdict": "accepted"}).encode()

    def status(self) -> Answer:
        switch = {"request": {"id": self.under_way}} if self.under_way else None
        shown = {"host": self.host, "mode": self.mode, "journal_seq": len(self.records), "switch": switch}
        return 200, json.dumps(shown).encode()

    def journal(self, after: int) -> Answer:
        lines = [record | {"seq": seq} for seq, record in enumerate(self.records, 1) if seq > after]
        return 200, json.dumps(lines[:2]).encode()

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        path, _, query = target.partition("?")
        if method == "POST":
            self.asked.append(json.loads(body))
        if found := self.odd.get(path):
            return found() if callable(found) else found
        if method == "POST":
            return self.on_switch(self.asked[-1])
        return self.status() if path == "/status" else self.journal(int(query.partition("=")[2]))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[OddNode]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.address = "{}:{}".format(*server.sockets[0].getsockname())
        try:
            yield self
        finally:
            server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                method, target, _ = head.split("\r\n")[0].split(" ")
                lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length")]
                body = await reader.readexactly(int(lengths[0].partition(":")[2]) if lengths else 0)
                status, content = self.answer(method, target, body)
                where = "Location: /elsewhere\r\n" if status == 307 else ""
                writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(content)}\r\n{where}\r\n".encode())
                for start in range(0, len(content), self.piece):
                    writer.write(content[start : start + self.piece])
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "fleet.sqlite")
    yield made
    made.close()


def begun(store: Store, *nodes: OddNode, name: str = NAME, limit_s: float = 10.0, known: int = 1) -> Operation:
    operation = Operation(
        id=name, to=Wanted.CLOUD, who="anna", reason="gap", created_s=1.0, order=tuple(node.host for node in nodes),
        places={node.host: Place(node.address) for node in nodes}, limit_s=limit_s,
    )  # fmt: skip
    states = [NodeState(host=node.host, request_id=name) for node in nodes]
    store.begin(operation, states, {node.host: known for node in nodes})
    return operation


def nobody(_engine: Engine) -> None:
    pass


def ends(
    store: Store, node: OddNode, *, limit_s: float = 10.0, known: int = 1, token: str = "", asked_as: str = ""
) -> NodeState:
    """Returns how a node has ended that is asked to leave."""

    async def run() -> NodeState:
        async with node.serving(), connected(token) as client:
            named = node.host
            node.host = asked_as or node.host
            operation = begun(store, node, limit_s=limit_s, known=known)
            node.host = named
            await Engine(store, operation, client, nobody).run()
            return store.nodes(operation)[operation.order[0]]

    return asyncio.run(run())


def test_an_answer_that_comes_in_pieces_is_read_to_its_end(store: Store) -> None:
    node = OddNode()
    node.piece = 7
    assert ends(store, node).standing is Standing.DONE
    assert [asked["id"] for asked in node.asked] == [NAME]


def test_a_journal_that_was_begun_anew_is_read_from_its_beginning(store: Store) -> None:
    assert ends(store, OddNode(), known=500).standing is Standing.DONE


def test_an_outcome_below_what_was_read_of_an_older_journal_is_found(store: Store) -> None:
    node = OddNode()

    def does_it(request: dict[str, Any]) -> Answer:
        node.records = [{"kind": "start"}, ACCEPTED, DONE, *[{"kind": "run"}] * 30]
        return node.accepts(request)

    node.on_switch = does_it
    found = ends(store, node, known=20)
    assert (found.standing, found.certain) == (Standing.DONE, True)


def test_a_page_that_never_ends_is_not_read_for_ever(store: Store) -> None:
    node = OddNode()
    node.odd["/journal"] = (200, b'[{"kind": "run", "seq": 1}]')
    assert ends(store, node, limit_s=1.0).standing is Standing.GOING_ON


def test_a_newer_nodes_words_are_passed_over(store: Store) -> None:
    node = OddNode()

    def does_it(request: dict[str, Any]) -> Answer:
        node.records += [ACCEPTED | {"verdict": "pondered", "colour": "blue"}, {"kind": "cloudburst"}, ACCEPTED, DONE]
        node.mode = "cloudier"
        return node.accepts(request)

    node.on_switch = does_it
    found = ends(store, node)
    assert (found.standing, found.mode) == (Standing.DONE, None)


@pytest.mark.parametrize("path", ["/status", "/switch"])
def test_a_redirection_is_not_followed(store: Store, path: str) -> None:
    node = OddNode()
    node.odd[path] = (307, b"")
    found = ends(store, node, limit_s=1.0)
    assert "/elsewhere" not in "".join(head.split("\r\n")[0] for head in node.heads)
    assert found.standing in (Standing.UNREACHABLE, Standing.FAILED)
    assert "307" in found.words


@pytest.mark.parametrize("known", [0, 1])
def test_a_node_that_lets_nobody_in_has_refused(store: Store, known: int) -> None:
    node = OddNode()
    for path in ("/status", "/switch"):
        node.odd[path] = (403, b'{"error": "bearer token wanted"}')
    found = ends(store, node, token="wrong", known=known)  # noqa: S106 - it opens nothing
    assert (found.standing, found.tries) == (Standing.REFUSED, 0)
    assert "bearer token wanted" in found.words
    assert "Authorization: Bearer wrong" in node.heads[0]


def test_another_nodes_answer_is_none_and_it_is_not_asked(store: Store) -> None:
    node = OddNode("fu-2")
    found = ends(store, node, asked_as="fu-1", known=0, limit_s=1.0)
    assert (found.standing, node.asked) == (Standing.UNREACHABLE, [])
    assert "fu-2 answers at" in found.words


@pytest.mark.parametrize(("asked_as", "named"), [("fu-1", "FU-1.cms"), ("fu-1.cms", "fu-1"), ("127.0.0.1", "fu-1")])
def test_domains_and_addresses_are_no_other_node(store: Store, asked_as: str, named: str) -> None:
    assert ends(store, OddNode(named), asked_as=asked_as, known=0).standing is Standing.DONE


def test_an_answer_to_another_request_is_not_believed(store: Store) -> None:
    node = OddNode()
    node.on_switch = lambda _request: (412, b'{"id": "other", "verdict": "refused"}')
    found = ends(store, node, limit_s=1.0)
    assert (found.standing, found.words) == (
        Standing.FAILED, "it answers, but took no request: an answer to another request (other)",
    )  # fmt: skip


def test_an_answer_without_end_is_given_up(store: Store) -> None:
    node = OddNode()
    node.odd["/status"] = (200, b" " * (5 << 20))
    found = ends(store, node, known=0, limit_s=1.0)
    assert found.standing is Standing.UNREACHABLE
    assert "more than 4 MiB" in found.words


def test_a_fault_of_the_tool_with_one_node_is_no_end_of_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = OddNode("fu-1"), OddNode("fu-2")
    whole = Engine._settle

    async def settle(engine: Engine, host: str, status: Any) -> None:
        if host == "fu-1":
            raise ZeroDivisionError("a mistake of ours")
        await whole(engine, host, status)

    monkeypatch.setattr(Engine, "_settle", settle)

    async def run() -> dict[str, NodeState]:
        async with bad.serving(), good.serving(), connected() as client:
            operation = begun(store, bad, good, limit_s=2.0)
            await Engine(store, operation, client, nobody).run()
            return store.nodes(operation)

    found = asyncio.run(run())
    assert found["fu-2"].standing is Standing.DONE
    assert found["fu-1"].standing is Standing.UNREACHABLE
    assert "a mistake of ours" in found["fu-1"].words


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not met():  # noqa: ASYNC110 - what is waited for happens in other tasks, which tell nobody
            await asyncio.sleep(0.01)


def side_by_side(store: Store, story: Callable[[Store, OddNode, OddNode, Any], Awaitable[None]]) -> None:
    async def run() -> None:
        async with OddNode("fu-1").serving() as one, OddNode("fu-2").serving() as other, connected() as client:
            await story(store, one, other, client)

    asyncio.run(run())


def test_engines_run_side_by_side_in_one_process_and_each_operation_once(store: Store) -> None:
    async def story(store: Store, one: OddNode, other: OddNode, client: Any) -> None:
        one.on_switch = other.on_switch = one.accepts
        one.under_way, other.under_way = "op-1", "op-2"
        first, second = begun(store, one, name="op-1"), begun(store, other, name="op-2")
        tasks = [asyncio.create_task(Engine(store, each, client, nobody).run()) for each in (first, second)]
        await until(lambda: one.asked and other.asked)
        with pytest.raises(Taken):
            await Engine(store, first, client, nobody).run()
        assert store.runs(first)
        for node, name in ((one, "op-1"), (other, "op-2")):
            node.records += [ACCEPTED | {"id": name}, DONE | {"id": name}]
            node.under_way = None
        ended = await asyncio.gather(*tasks)
        assert [each.verdict for each in ended] == [Verdict.ALL_GOOD, Verdict.ALL_GOOD]
        assert [store.runs(each) for each in ended] == [False, False]

    side_by_side(store, story)


def test_one_that_is_cancelled_saves_what_it_knows_and_leaves_nothing_behind(store: Store) -> None:
    async def story(store: Store, one: OddNode, other: OddNode, client: Any) -> None:
        one.on_switch, one.under_way = one.accepts, NAME
        operation = begun(store, one, other)
        task = asyncio.create_task(Engine(store, operation, client, nobody).run())
        await until(lambda: one.asked and other.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) <= 1 + sum("_talk" in repr(each) for each in asyncio.all_tasks())
        assert not store.runs(operation)
        one.records, one.under_way = [*one.records, ACCEPTED, DONE], None
        found = await Engine(store, operation, client, nobody).run()
        assert found.verdict is Verdict.ALL_GOOD
        assert [len(node.asked) for node in (one, other)] == [1, 1]

    side_by_side(store, story)


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_changes_no_limit(store: Store, monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    true = time.time

    async def story(store: Store, one: OddNode, _other: OddNode, client: Any) -> None:
        one.on_switch, one.under_way = one.accepts, NAME
        operation = begun(store, one, limit_s=3.0)
        engine = Engine(store, operation, client, nobody)
        task = asyncio.create_task(engine.run())
        await until(lambda: engine.nodes["fu-1"].standing is Standing.SWITCHING)
        monkeypatch.setattr(time, "time", lambda: true() + jump_s)
        looks = len(one.heads)
        await until(lambda: len(one.heads) > looks + 1)
        assert engine.nodes["fu-1"].standing is Standing.SWITCHING
        assert (await task).verdict is Verdict.GOING_ON

    side_by_side(store, story)
