"""What the fleet tool reads: answers of nodes that lie, files of nodes, names that operators type."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.beam import BeamMode
from contract.modes import Wanted
from contract.request import Answer, Request, Verdict
from fleet.client import Client, NodeStatus, Old, connected
from fleet.follow.beam_sources import NoBeamMode, mode_of_series, word_of
from fleet.follow.policy_file import BeamSource
from fleet.hosts import Place, expand, read_names, read_places
from fleet.journal_lines import told
from fleet.node_sets import BadHosts
from fleet.sources.found import BadSource
from fleet.sources.instant import samples_of
from fleet.sources.prometheus import nodes_of
from fleet.standing import Answered, Denied, NoAnswer, NotSent
from tests.fuzz.budget import BUDGET, one_line, tried
from tests.fuzz.inputs import bent, either

STATUS = msgspec.json.encode(
    {
        "host": "fu-1", "mode": "HLT", "journal_seq": 3, "appliance": "bu-1", "mode_age_s": 1.5, "blocker": "",
        "stuck": False, "switch": {"request": {"id": "op-1"}}, "runs": [{"jobs": [1, 2]}],
    }
)  # fmt: skip
JOURNAL = msgspec.json.encode(
    [
        {"kind": "request", "seq": 1, "id": "op-1", "to": "cloud", "verdict": "accepted"},
        {"kind": "switch", "seq": 2, "id": "op-1", "to": "cloud", "outcome": "done", "why": ""},
    ]
)
ANSWER = msgspec.json.encode(Answer(id="op-1", verdict=Verdict.ACCEPTED))
REQUEST = Request(id="op-1", to=Wanted.CLOUD)
OLD = [b"4\n", b"0\n", b"<html>exclude requested</html>"]
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Liar:
    """A node that answers everything with the same bytes."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.says = b""
        self.server = self.loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.place = Place(f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.says)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def tell(self, says: bytes, *, old: bool = False) -> list[object]:
        """Returns what the client makes of an answer to each of its questions."""
        self.says = says

        async def ask() -> list[object]:
            async with connected() as asked:
                return [
                    await asked.look(self.place, "fu-1"),
                    await asked._look_at_old(self.place),
                    await asked.ask(self.place, REQUEST, old=old),
                    await self._journal(asked),
                ]

        return self.loop.run_until_complete(ask())

    async def _journal(self, asked: Client) -> object:
        lines, _whole = await asked.journal(self.place, 0, 3)
        return told(lines, 0, "op-1", Wanted.CLOUD)

    def close(self) -> None:
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


def words(found: list[object]) -> None:
    kinds = (NodeStatus, Old, Denied, NoAnswer, Answered, NotSent)
    assert all(isinstance(each, kinds) for each in found[:3]), found


@BUDGET
@given(either([STATUS, JOURNAL, ANSWER]) | bent(OLD), st.sampled_from(["ours", "old"]))
@example(b"9" * 5000, "old")
@example(b'{"host": "\xff", "mode": "HLT", "journal_seq": 1}', "ours")
@example(b'[{"kind": "request", "seq": 1, "id": "op-1", "verdict": "?"}]', "ours")
@example(b'[{"kind": "request", "seq": -1, "id": "op-1", "verdict": "already"}]', "ours")
@example(b"[" * 9000, "ours")
def test_the_body_of_an_answer_is_understood_or_called_none(liar: Liar, body: bytes, kind: str) -> None:
    tried["answers of nodes"] += 1
    words(liar.tell(PAGE % (len(body), body), old=kind == "old"))


@BUDGET
@given(bent([PAGE % (len(STATUS), STATUS), b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n4\n"]))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd")
@example(b"HTTP/1.1 302 Found\r\nLocation: http://x\r\n\r\n")
def test_anything_in_the_place_of_an_answer_is_called_none(liar: Liar, raw: bytes) -> None:
    tried["raw answers"] += 1
    words(liar.tell(raw))


FILE = b"# a farm\nfu-c2f01-01 bu-1 10.0.0.1:9000\nfu-c2f01-02 bu-1\nfu-c2f01-03 bu-2 [::1]:9000\n"


@BUDGET
@given(bent([FILE, FILE * 3]))
def test_a_file_of_nodes_is_places_or_an_error_with_its_line(tmp_path: Path, content: bytes) -> None:
    tried["file of nodes"] += 1
    path = tmp_path / "farm.txt"
    path.write_bytes(content)
    for read in (read_places, read_names):
        try:
            read(path)
        except BadHosts as error:
            one_line(error)
            assert str(path) in str(error)


SETS = [b"fu-c2f[01-40]-[01-08]", b"@all", b"a[1-9/2],b", b"fu[1-3]!fu2", b"fu[1-3]^x[1-3]", b"a[1-5]&a[2-3]"]


@BUDGET
@given(bent(SETS))
@example(b"a[1-99999999999]")
@example(b"a[" + b"1-9" * 500 + b"]")
@example(b"@*")
@example(b"@x:$(touch /tmp/x)")
def test_a_set_of_names_is_names_or_an_error(word: bytes) -> None:
    tried["sets of names"] += 1
    try:
        names = expand([f" {word.decode(errors='replace')}"], {})
    except BadHosts as error:
        one_line(error)
        return
    assert len(set(names)) == len(names) <= 10_000
    assert all(name.isascii() and "/" not in name for name in names)


BEAM_WORDS = [b"STABLE BEAMS\n", b'"Ramp Down"']
BEAM_JSON = [b'{"beam_mode": "SQUEEZE"}', b'{"beam_mode": 4, "lhc": {"mode": [1, {"x": null}]}}']
SERIES = [
    b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{"mode":"RAMP","host":"fu-1"},"value":[1.5,"1"]}]}}',
    b'{"status":"error","error":"parse error"}',
]
DEEP = b'{"beam_mode": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}"


@BUDGET
@given(either(BEAM_JSON) | bent(BEAM_WORDS), st.sampled_from(["beam_mode", "lhc.mode"]))
@example(b'{"beam_mode": "\xff"}', "beam_mode")
@example(b'{"beam_mode": ' + b"[" * 9000, "beam_mode")
@example(DEEP, "beam_mode")
@example(b'{"beam_mode": ' + b"9" * 5000 + b"}", "beam_mode")
@example(b'"\\ud800"', "beam_mode")
def test_what_a_beam_source_says_is_a_mode_or_none(content: bytes, field: str) -> None:
    tried["beam sources"] += 1
    try:
        assert word_of(content, BeamSource(field=field, names={"4": "ADJUST"})) in BeamMode
    except NoBeamMode as error:
        one_line(error)


@BUDGET
@given(either(SERIES), st.sampled_from([200, 400, 500]))
@example(b'{"status": "\xff"}', 200)
@example(b'{"status": ' + b"[" * 9000, 200)
@example(b'{"status":"success","data":{"result":[{"metric":{"mode":"RAMP"},"value":[1,"nan"]}]}}', 200)
def test_an_answer_of_a_prometheus_is_understood_or_refused(body: bytes, status: int) -> None:
    tried["answers of Prometheus"] += 1
    try:
        samples = samples_of("http://x", status, body)
        nodes_of(samples)
        assert mode_of_series(samples, BeamSource()) in BeamMode
    except (BadSource, NoBeamMode) as error:
        one_line(error)
