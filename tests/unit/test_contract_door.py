"""The door with a short patience: real sockets, and behind it a protocol that says what came through."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from contract import heads
from contract.callers import Allowed
from contract.config import Http
from contract.connection import Connection, Patience
from contract.door import TERMS, Door, Terms
from switcher.entrance import listen, tls_context
from tests.servers.certificates import make_certificates
from tests.waiting import until

SHORT = Patience(handshake_s=0.3, arrive_s=0.3, answer_s=0.3, idle_s=0.3, linger_s=0.3)
LONG = Patience()
REQUEST = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo(asyncio.Protocol):
    """Answers each request with its first line, or the body it asks for, unless it asks for silence."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        assert data.count(b" HTTP/1.1") == 1, "one whole request at a time"
        if b"silence" in data:
            return
        if b"stream" in data:
            connection = self.transport.get_protocol()
            assert isinstance(connection, Connection)
            connection.endless()
            self.transport.write(b"begins\n")
            return
        head, _, body = data.partition(b"\r\n\r\n")
        self.transport.write((body if b"/body" in head else head.split(b"\r\n")[0]) + b"\n")
        connection = self.transport.get_protocol()
        assert isinstance(connection, Connection)
        asyncio.get_running_loop().call_soon(connection.answered)


Story = Callable[[int, Door], Awaitable[None]]


def with_door(
    story: Story,
    patience: Patience,
    *,
    most: int = 16,
    allow: tuple[str, ...] = ("127.0.0.0/8",),
    tls: ssl.SSLContext | None = None,
    terms: Terms = TERMS,
) -> None:
    async def tell() -> None:
        listening = listen("127.0.0.1", 0, "http.port")
        door = Door(Echo, Allowed(allow), most, patience, terms)
        door.listen(listening, lambda: tls)
        try:
            await story(listening.getsockname()[1], door)
        finally:
            await door.close()
            for here in list(door._here):
                if here._transport is not None:
                    here._transport.abort()
            await asyncio.sleep(0.05)  # for what was aborted to be closed

    asyncio.run(tell())


async def connect(port: int, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Returns what comes until the end, of which a reset is one kind."""
    found = b""
    try:
        while chunk := await reader.read(1 << 16):
            found += chunk
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("patience", [LONG, SHORT._replace(arrive_s=10.0, answer_s=10.0, idle_s=10.0)])
def test_requests_in_one_piece_or_many_are_handed_on_whole_and_one_by_one(patience: Patience) -> None:
    async def story(port: int, _door: Door) -> None:
        reader, writer = await connect(port)
        body = b"POST /2 HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n"
        everything = b"\r\n" + REQUEST + body + REQUEST
        for at in range(0, len(everything), 7):
            writer.write(everything[at : at + 7])
            await asyncio.sleep(0)
        writer.write(everything * 5)
        for number in (1, 2, 1) * 6:
            assert f"/{number} ".encode() in await reader.readline()
        writer.close()

    with_door(story, patience)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", None),
        (b"GET /slow", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 408 "),
        (b"GET /silence HTTP/1.1\r\n\r\n", None),
        (REQUEST + b"\r\n", b"GET /1 "),
        (REQUEST + b"GET", b"GET /1 HTTP/1.1\nHTTP/1.1 408 "),
        (b"\x16\x03\x01", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, b"HTTP/1.1 413 "),
    ],
)
def test_every_connection_ends_whatever_a_caller_leaves_undone(sent: bytes, answer: bytes | None) -> None:
    """`answer` is how it begins, None where there is none."""

    async def story(port: int, door: Door) -> None:
        reader, writer = await connect(port)
        writer.write(sent)
        found = await rest(reader)
        assert found.startswith(answer) if answer is not None else found == b""
        writer.close()
        await until(lambda: door.open == 0)

    with_door(story, SHORT)


@pytest.mark.parametrize("sent", [REQUEST, b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999])
def test_one_who_goes_on_sending_a_byte_at_a_time_is_not_waited_for(sent: bytes) -> None:
    async def story(port: int, door: Door) -> None:
        reader, writer = await connect(port)
        writer.write(sent[:-5000] if len(sent) > 5000 else b"")
        answer = asyncio.ensure_future(rest(reader))
        for byte in b"GET /" + b"a" * 100_000 if sent is REQUEST else sent[-5000:]:
            if answer.done():
                break
            with suppress(ConnectionError):
                writer.write(bytes([byte]))
                await writer.drain()
            await asyncio.sleep(0.02)
        assert (await answer).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await until(lambda: door.open == 0)

    with_door(story, SHORT)


def test_an_answer_without_end_has_no_limit_of_time_and_ends_with_its_caller() -> None:
    async def story(port: int, door: Door) -> None:
        reader, writer = await connect(port)
        writer.write(b"GET /stream HTTP/1.1\r\n\r\n")
        assert await reader.readline() == b"begins\n"
        (streaming,) = door._here
        unanswered, other = await connect(port)
        other.write(b"GET /silence HTTP/1.1\r\n\r\n")
        assert await rest(unanswered) == b""
        other.close()
        assert streaming._transport is not None
        streaming._transport.write(b"goes on\n")
        assert await reader.readline() == b"goes on\n"
        writer.write_eof()
        assert await rest(reader) == b""
        writer.close()
        await until(lambda: door.open == 0)

    with_door(story, SHORT)


def test_a_body_may_be_larger_than_what_waits_otherwise() -> None:
    body = b"x" * ((1 << 20) - 1) + b"\n"
    large = b"POST /body HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def story(port: int, _door: Door) -> None:
        reader, writer = await connect(port)
        writer.write((REQUEST + large) * 3)
        for _ in range(3):
            assert b"/1 " in await reader.readline()
            assert await reader.readexactly(len(body) + 1) == body + b"\n"
        writer.write(b"POST /body HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (len(body) + 1))
        assert (await rest(reader)).startswith(b"HTTP/1.1 413 ")
        writer.close()

    with_door(story, LONG, terms=Terms(largest_body_bytes=len(body)))


def test_one_who_sends_without_reading_is_read_no_more() -> None:
    async def story(port: int, door: Door) -> None:
        _reader, writer = await connect(port)
        writer.transport.set_write_buffer_limits(high=0)
        with pytest.raises((ConnectionError, TimeoutError)):
            async with asyncio.timeout(10):
                for _ in range(10_000):
                    writer.write(b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n")
                    await writer.drain()
        assert sum(len(here._waiting) for here in door._here) < 128 << 10
        writer.transport.abort()

    with_door(story, Patience(answer_s=0.5, arrive_s=0.5, idle_s=0.5))


def test_who_only_holds_connections_gives_way_to_one_who_asks() -> None:
    async def story(port: int, door: Door) -> None:
        held = [await connect(port, f"127.0.0.{2 + number % 8}") for number in range(40)]
        held += [await connect(port, "127.0.0.99") for _ in range(20)]
        for source in ("127.0.0.1", "127.0.0.99"):
            reader, writer = await connect(port, source)
            writer.write(REQUEST)
            assert b"/1 " in await reader.readline()
            writer.close()
        assert door.open <= 16
        for _reader, writer in held:
            writer.transport.abort()

    with_door(story, LONG)


def test_where_every_connection_is_at_work_a_new_one_is_turned_away() -> None:
    async def story(port: int, door: Door) -> None:
        held = [await connect(port, f"127.0.0.{2 + number}") for number in range(16)]
        for _reader, writer in held:
            writer.write(b"GET /silence HTTP/1.1\r\n\r\n")
        await until(lambda: door.open == 16 and all(here._busy for here in door._here))
        turned_away = await connect(port)
        assert await rest(turned_away[0]) == b""
        assert door.open == 16
        for _reader, writer in [*held, turned_away]:
            writer.transport.abort()

    with_door(story, LONG)


def test_strangers_share_a_few_connections_and_leave_the_others_their_room() -> None:
    async def story(port: int, door: Door) -> None:
        held = [await connect(port, f"127.0.1.{1 + number}") for number in range(100)]
        reader, writer = await connect(port)
        writer.write(REQUEST)
        assert b"/1 " in await reader.readline()
        assert door.open <= 9
        for _reader, each in [*held, (reader, writer)]:
            each.transport.abort()

    with_door(story, LONG, allow=("127.0.0.1/32",))


# What a packet costs


def feed(door: Door, connection: Connection, piece: bytes) -> None:
    """Gives bytes to a connection as the loop does."""
    assert connection.get_buffer(-1) is door.buffer
    door.buffer[: len(piece)] = piece
    connection.buffer_updated(len(piece))


def test_a_head_is_parsed_once_and_its_end_not_looked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def counting(waiting: bytes | bytearray, looked_at: int, largest_body_bytes: int) -> int | heads.Unfit | None:
        asked.append((len(waiting), looked_at))
        return find(waiting, looked_at, largest_body_bytes)

    find = heads.length
    monkeypatch.setattr(heads, "length", counting)
    head = b"POST /body HTTP/1.1\r\nContent-Length: 5000\r\n\r\n"

    async def story(port: int, door: Door) -> None:
        reader, writer = await connect(port)
        await until(lambda: door.open == 1)
        (connection,) = door._here
        for _ in range(2):
            asked.clear()
            for at in range(len(head)):
                feed(door, connection, head[at : at + 1])
            assert asked == [(at + 1, at) for at in range(len(head))]
            for at in range(5000):
                feed(door, connection, b"%d" % (at % 10))
            assert len(asked) == len(head), "nothing is looked for while the body comes"
            assert await reader.readline() == b"0123456789" * 500 + b"\n"
            await until(lambda: not connection._busy)
        writer.close()

    with_door(story, LONG)


# TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    folder = tmp_path_factory.mktemp("tls")
    ca = make_certificates(folder)
    context = tls_context(Http(tls_cert_file=f"{folder}/server.pem", tls_key_file=f"{folder}/server.key"))
    assert context is not None
    return context, ca


async def records(port: int, ca: Path, texts: list[bytes]) -> bytes:
    """Sends each text in a TLS record of its own, all in one piece, and returns the first line of the answer."""
    loop = asyncio.get_running_loop()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    speaking = ssl.create_default_context(cafile=str(ca)).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.socket() as caller:
        caller.settimeout(0.0)
        await loop.sock_connect(caller, ("127.0.0.1", port))

        async def say(what: Callable[[], Any]) -> Any:
            while True:
                try:
                    return what()
                except ssl.SSLWantReadError:
                    await loop.sock_sendall(caller, outgoing.read())
                    incoming.write(await loop.sock_recv(caller, 1 << 16))

        await say(speaking.do_handshake)
        for text in texts:
            speaking.write(text)
        found = b""
        while not found.endswith(b"\n"):
            found += await say(lambda: speaking.read(1 << 16))
        return found


def test_over_tls_nobody_gets_the_bytes_of_another(tls: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = tls
    head, body = b"POST /body HTTP/1.1\r\nContent-Length: 20\r\n\r\n", b"what I have to say.."

    async def story(port: int, door: Door) -> None:
        secret = b"GET /1 HTTP/1.1\r\nAuthorization: Bearer " + b"secret" * 50 + b"\r\n\r\n"
        assert await records(port, ca, [secret]) == b"GET /1 HTTP/1.1\n"
        assert await records(port, ca, [head, body]) == body + b"\n"
        assert await records(port, ca, [head[:9], head[9:], body[:1], body[1:]]) == body + b"\n"

    with_door(story, LONG, tls=context)


def test_one_who_never_begins_tls_gives_way_with_socket_and_task(tls: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = tls

    async def story(port: int, door: Door) -> None:
        silent = [await connect(port, f"127.0.0.{2 + number % 8}") for number in range(100)]
        ended = [asyncio.ensure_future(rest(reader)) for reader, _ in silent]
        await until(lambda: sum(each.done() for each in ended) >= len(silent) - door.most)
        await until(lambda: len(door._tasks) <= door.open <= door.most)
        assert await records(port, ca, [REQUEST]) == b"GET /1 HTTP/1.1\n"
        for _, writer in silent:
            writer.transport.abort()
        await asyncio.gather(*ended)
        await until(lambda: door.open == 0)

    with_door(story, Patience(handshake_s=60.0), tls=context)


def test_a_machine_without_descriptors_is_said_once_and_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    class Full(socket.socket):
        """A socket at which nothing can be accepted at first, as when the process may open no more files."""

        refusals = 3

        def accept(self) -> tuple[socket.socket, Any]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def tell() -> None:
        listening = Full()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        door = Door(Echo, Allowed(["127.0.0.0/8"]), 16)
        door.listen(listening, lambda: None)
        reader, writer = await connect(listening.getsockname()[1])
        writer.write(REQUEST)
        assert await reader.readline() == b"GET /1 HTTP/1.1\n"
        writer.close()
        await until(lambda: door.open == 0)
        await door.close()

    caplog.set_level(logging.ERROR)
    asyncio.run(tell())
    assert [record.message for record in caplog.records] == [
        "no connection can be accepted (Too many open files); trying again"
    ]
