"""Anything at the socket of a real daemon: an answer that blames the caller or none, and the daemon as it was."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import heads
from contract.request import BadRequest
from tests.fuzz.budget import BUDGET, tried
from tests.fuzz.inputs import JSON_VALUES, NASTY, bent
from tests.integration.node import Node, wait_for

PATHS = [
    "/status",
    "/journal",
    "/switch",
    *(f"/cgi-bin/{name}_cgi.py" for name in ("exclude", "include", "cloud_mode_active", "start", "stop", "runl")),
    "/cgi-bin/run_active_cgi.py",
    "/cgi-bin/",
    "/",
    "*",
    "/../data/mode",
    "/cgi-bin/../../../etc/passwd",
]
POST = b"POST /switch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GROWS_MIB = 24


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node in cloud that nothing brings out, so that requests and runs are taken and start no process of note."""
    overlay: dict[str, dict[str, Any]] = {
        "igniter": {"command": ["/bin/true"]},
        "http": {"requests_per_s": 0},
        "jobs": {"command": ["/bin/true"]},
    }
    made = Node(tmp_path_factory.mktemp("fuzzed"), overlay=overlay)
    made.start()
    assert made.daemon is not None
    wait_for("rest", lambda: made.status()["vms"] == "up")
    wait_for("a box file", made.paths.box.exists)
    process = psutil.Process(made.daemon.pid)
    before, resident = outside(made), process.memory_info().rss
    yield made
    assert made.status()["host"] == "fu-1"
    assert "Traceback" not in made.log
    assert made.log.isascii()
    assert outside(made) == before
    assert process.memory_info().rss - resident < GROWS_MIB << 20
    wait_for("every connection ended", lambda: len(process.net_connections()) <= 2)
    made.clean()


def outside(node: Node) -> list[str]:
    """Returns what lies below the node's root beside its watch directory, tokens and state."""
    ours = (node.paths.watch_dir, node.paths.state_dir, node.paths.resources_dir)
    found = [path for path in node.root.rglob("*") if not any(folder in (path, *path.parents) for folder in ours)]
    return sorted(str(path.relative_to(node.root)) for path in found)


def talk(node: Node, sent: bytes, pieces: int = 1) -> list[int]:
    """Sends bytes in so many pieces, ends our side, and returns the statuses of the answers until the other ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", node.port), 8) as connection:
        try:
            step = max(1, len(sent) // pieces)
            for start in range(0, len(sent), step):
                connection.sendall(sent[start : start + step])
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(1 << 16):
                received += chunk
        except TimeoutError:
            raise
        except OSError:  # reset: what was on its way to us is lost, and may be cut anywhere
            return []
    return statuses(received)


def statuses(received: bytes) -> list[int]:
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] ([0-9]{3}) ", head)
        assert status and end, received[:200]
        length = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
        if status[1] == b"100":
            received = rest
            continue
        found.append(int(status[1]))
        received = rest[int(length[1]) :] if length else b""
    return found


def harmless(found: list[int]) -> None:
    # 503 is the daemon's own word for a disk or cloud tool that takes long, on a machine under load.
    assert all(200 <= status < 500 or status == 503 for status in found), found


QUERIES = st.dictionaries(
    st.sampled_from(["run", "buname", "id", "who", "reason", "after", "x", ""]),
    st.one_of(
        st.sampled_from([b"1", b"100", b"999999999", b"0", b"-1", b"../x", b"bu-1", b"op-1", b"a" * 300, b"%", b"\0"]),
        st.sampled_from(NASTY),
        st.binary(max_size=12),
    ).map(lambda value: value[:3000]),
    max_size=3,
)


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    path = draw(st.sampled_from(PATHS)).encode()
    if draw(st.integers(0, 5)) == 0:
        path = draw(bent([path]))
    query = draw(QUERIES)
    quoted = draw(st.integers(0, 7)) > 0
    pairs = [
        key.encode() + b"=" + (quote_from_bytes(value).encode() if quoted else value) for key, value in query.items()
    ]
    return path + (b"?" + b"&".join(pairs) if pairs else b"")


HEADERS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(
                [b"Connection", b"Content-Type", b"Expect", b"Upgrade", b"Authorization", b"Cookie", b"Range", b"Host",
                 b"Content-Encoding", b"Transfer-Encoding", b"Content-Length", b"Accept-Encoding", b"If-None-Match"]
            ),
            st.sampled_from(
                [b"close", b"keep-alive", b"upgrade", b"100-continue", b"websocket", b"application/json", b"chunked",
                 b"gzip", b"multipart/form-data; boundary=x", b"5", b"-1", b"bytes=0-", b"", b"Bearer x", b"a=\x01"]
            ),
        ),
        st.tuples(st.binary(max_size=10), st.binary(max_size=30)),
    ),
    max_size=4,
)  # fmt: skip

BODIES = st.one_of(
    st.just(b""),
    bent([b'{"id": "op-1", "to": "cloud", "who": "a", "reason": "b", "hurry": false, "deadline_s": 5}']),
    st.fixed_dictionaries(
        {"id": st.just("op-1") | JSON_VALUES, "to": st.sampled_from(["cloud", "HLT"]) | JSON_VALUES},
        optional={"who": JSON_VALUES, "reason": JSON_VALUES, "deadline_s": JSON_VALUES, "hurry": JSON_VALUES},
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(16_000, 17_000).map(lambda size: b" " * size),
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    method = draw(
        st.sampled_from([b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"TRACE", b"QUERY"])
    )
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    body = draw(BODIES) if method == b"POST" else b""
    headers = [(b"Host", b"x"), *draw(HEADERS)]
    if body:
        headers += [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
    lines = [method + b" " + draw(targets()) + b" " + version, *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@BUDGET
@given(st.binary(max_size=600) | bent([b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"]))
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(b"GET / HTTP/9.9\r\n\r\n")
@example(b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n")
@example(b"\r\n" * 5000)
@example(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 3000)
def test_raw_bytes(node: Node, sent: bytes) -> None:
    tried["raw bytes"] += 1
    harmless(talk(node, sent))


@BUDGET
@given(st.lists(requests(), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 9))
@example(
    [b'POST /switch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"\xff" '], 1, 9
)
def test_requests_whole_cut_and_in_a_row(node: Node, sent: list[bytes], pieces: int, cut: int) -> None:
    tried["requests"] += 1
    everything = b"".join(sent)
    whole = everything[: len(everything) * cut // 5] if cut < 5 else everything
    harmless(talk(node, whole, pieces))


@BUDGET
@given(requests() | bent([b"POST /switch HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"]) | st.binary(max_size=200))
def test_where_a_request_ends_does_not_depend_on_how_it_comes(sent: bytes) -> None:
    """What is known of the first bytes is never taken back when more come."""
    tried["heads"] += 1
    known: int | heads.Unfit | None = None
    ends = {*range(1, len(sent) + 1, 1 + len(sent) // 40), len(sent)} - {0}
    for end in sorted(ends):
        found = heads.length(sent[:end])
        assert known is None or found == known
        known = found
        if isinstance(found, int):
            assert 0 < found <= heads.LARGEST_HEAD_BYTES + heads.LARGEST_BODY_BYTES


def test_the_errors_of_requests_are_printable_however_they_are_made() -> None:
    assert str(BadRequest("a\nb\x1b[2J\u202e")) == "a\\nb\\x1b[2J\\u202e"
    assert len(str(BadRequest("\x00" * 10_000))) <= 1501
