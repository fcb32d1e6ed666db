"""The door with a short patience: real sockets, and behind it a protocol that says what came through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from switcher.callers import Allowed
from switcher.door import Connection, Door, Patience
from switcher.entrance import listen

SHORT = Patience(handshake_s=0.3, arrive_s=0.3, answer_s=0.3, idle_s=0.3, linger_s=0.3)
LONG = Patience()
REQUEST = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"


class Echo(asyncio.Protocol):
    """Answers each request with its first line, unless it asks for silence."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        assert data.count(b" HTTP/1.1") == 1, "one whole request at a time"
        if b"silence" in data:
            return
        self.transport.write(data.split(b"\r\n")[0] + b"\n")
        connection = self.transport.get_protocol()
        assert isinstance(connection, Connection)
        asyncio.get_running_loop().call_soon(connection.answered)


Story = Callable[[int, Door], Awaitable[None]]


def with_door(story: Story, patience: Patience, *, most: int = 16, allow: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
    async def tell() -> None:
        listening = listen("127.0.0.1", 0, "http.port")
        door = Door(Echo, Allowed(allow), most, patience)
        door.listen(listening, lambda: None)
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


async def until(met: Callable[[], bool]) -> None:
    for _ in range(1000):
        if met():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 10 s")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Returns what comes until the end, of which a reset is one kind."""
    found = b""
    try:
        while chunk := await reader.read(1 << 16):
            found += chunk
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("patience", [LONG, SHORT])
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
        (b"", b""),
        (b"GET /slow", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 408 "),
        (b"GET /silence HTTP/1.1\r\n\r\n", b""),
        (REQUEST + b"\r\n", b"GET /1 "),
        (REQUEST + b"GET", b"GET /1 HTTP/1.1\nHTTP/1.1 408 "),
        (b"\x16\x03\x01", b"HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999, b"HTTP/1.1 413 "),
    ],
)
def test_every_connection_ends_whatever_a_caller_leaves_undone(sent: bytes, answer: bytes) -> None:
    async def story(port: int, door: Door) -> None:
        reader, writer = await connect(port)
        writer.write(sent)
        assert (await rest(reader)).startswith(answer)
        writer.close()
        await until(lambda: door.open == 0)

    with_door(story, SHORT)


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
