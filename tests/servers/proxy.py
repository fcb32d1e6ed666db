"""A line to an HTTP server that breaks in the way one asks for, on real sockets.

    Pass      carries everything as it is
    Refuse    nobody listens; open connections are reset
    BlackHole connects, reads, and never answers
    Slow      answers late, or a few bytes at a time
    Cut       the server gets the request whole and carries it out, the client loses the connection before the answer
    Status    the proxy answers itself with an error, the server hears nothing
    Garble    the server's answer arrives cut in the middle, or is no JSON
    Full      single documents of a bulk request are refused with 429, the others are carried

A mode holds from the next request on; Refuse from the moment it is set. Each of the last three may have a `share`: the
part of the requests it befalls, the others pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from tests.servers import full_queue
from tests.servers.settings import LOOPBACK

PIECES_PER_S: Final = 20  # how evenly a slow line trickles
HEAD_LIMIT_BYTES: Final = 1 << 20
DONE_WITHIN_S: Final = 10.0


class Pass(msgspec.Struct, frozen=True):
    """Carries everything as it is."""


class Refuse(msgspec.Struct, frozen=True):
    """Nobody listens; open connections are reset."""


class BlackHole(msgspec.Struct, frozen=True):
    """Connects, reads, and never answers."""


class Slow(msgspec.Struct, frozen=True):
    """Passes the answer on `delay_s` later, and not faster than `bytes_per_s`."""

    delay_s: float = 0.0
    bytes_per_s: float | None = None


class Cut(msgspec.Struct, frozen=True):
    """Has the server carry the request out and closes the connection instead of passing the answer on."""

    share: float = 1.0


class Status(msgspec.Struct, frozen=True):
    """Answers with an error itself."""

    code: int
    share: float = 1.0
    retry_after_s: int | None = None


class Garble(msgspec.Struct, frozen=True):
    """Spoils the server's answer: half of it and the connection's end, or if not `truncated` text that is no JSON."""

    truncated: bool = True
    share: float = 1.0


class Full(msgspec.Struct, frozen=True):
    """Refuses a part of the documents of each bulk request, as a server does whose queue is full for some shards."""

    documents: float = 0.5


Mode = Pass | Refuse | BlackHole | Slow | Cut | Status | Garble | Full


class Message(msgspec.Struct, frozen=True):
    """A request or an answer: its first line and headers as they came, and its body."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> str:
        """Such as `POST /_bulk HTTP/1.1`."""
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    def header(self, name: str) -> str | None:
        """Returns a header's value, or None."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name:
                return value.strip()
        return None

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays for another."""
        return (self.header("connection") or "").lower() != "close"


class FaultProxy:
    """A proxy in front of `target`, in a thread of its own. As a context it serves.

    `requests` counts what came from clients, `forwarded` what the server was sent, `fates` what became of the requests
    by the name of the mode that befell them, `refused` the single documents that were. `wait_for_requests` waits for
    the next ones.
    """

    def __init__(self, target: str, mode: Mode | None = None, *, seed: int = 1) -> None:
        address = urlsplit(target)
        assert address.scheme == "http", "the proxy reads what it carries: TLS is not for it"
        assert address.hostname and address.port
        self._target = (address.hostname, address.port)
        self._mode: Mode = mode or Pass()
        self._dice = random.Random(seed)
        self._counted = threading.Condition()
        self.requests = 0
        self.forwarded = 0
        self.refused = 0
        self.fates: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept: socket.socket = bound(0)
        self.port: int = self._kept.getsockname()[1]

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def mode(self) -> Mode:
        """How it treats requests now."""
        return self._mode

    def switch(self, mode: Mode) -> None:
        """Sets the mode; when this returns, it holds."""
        self._do(lambda: self._switch(mode))

    def wait_for_requests(self, count: int, timeout_s: float = 20.0) -> bool:
        """Waits until `count` requests have come since the start, and returns whether they did."""
        with self._counted:
            return self._counted.wait_for(lambda: self.requests >= count, timeout_s)

    def start(self) -> Self:
        """Begins to serve."""
        self._thread.start()
        self._do(lambda: self._switch(self._mode))
        return self

    def stop(self) -> None:
        """Closes everything."""
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DONE_WITHIN_S)
        self._loop.close()
        self._kept.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(DONE_WITHIN_S)

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        if isinstance(mode, Refuse):
            await self._deafen()
        elif self._server is None:
            self._server = await asyncio.start_server(self._accept, sock=self._kept, limit=HEAD_LIMIT_BYTES)

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            # a bound socket that does not listen refuses connections, and keeps the port from others
            self._kept = bound(self.port)
        for writer in list(self._clients):
            writer.transport.abort()

    async def _close(self) -> None:
        await self._deafen()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.add(writer)
        line = Line(*self._target)
        try:
            # the other side may go at any moment, and a proxy that is closed cancels what it does
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while (request := await read_message(reader)) is not None:
                    mode = self._count()
                    if isinstance(mode, BlackHole):
                        await reader.read()  # until the client has given up
                        break
                    if not await self._serve(mode, request, writer, line) or not request.keeps_alive:
                        break
        finally:
            line.close()
            self._clients.discard(writer)
            self._tasks.discard(task)
            writer.close()

    def _count(self) -> Mode:
        """Counts a request and returns the mode that befalls it."""
        mode = self._mode
        share = mode.share if isinstance(mode, Cut | Status | Garble) else 1.0
        if self._dice.random() >= share:
            mode = Pass()
        with self._counted:
            self.requests += 1
            self.fates[type(mode).__name__] += 1
            self._counted.notify_all()
        return mode

    async def _serve(self, mode: Mode, request: Message, writer: asyncio.StreamWriter, line: Line) -> bool:
        """Deals with one request and returns whether the connection stays."""
        if isinstance(mode, Status):
            await send(writer, refusal(mode))
            return True
        self.forwarded += 1
        if isinstance(mode, Full) and "/_bulk" in request.first_line:
            refused = full_queue.chosen(self._dice, mode.documents, len(list(full_queue.actions(request.body))))
            self.refused += sum(refused)
            answer = await line.ask(with_body(request, full_queue.without(request.body, refused)))
            if answer is not None and " 200 " in answer.first_line:
                answer = with_body(answer, full_queue.answered(request.body, answer.body, refused))
        else:
            answer = await line.ask(request)
        if answer is None:
            return False
        return await deliver(mode, answer, writer)


class Line:
    """The connection to the server that belongs to one client's connection; made when first needed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message) -> Message | None:
        """Returns the server's whole answer, or None when the server is away or goes away."""
        try:
            if self._ends is None:
                self._ends = await asyncio.open_connection(*self._address, limit=HEAD_LIMIT_BYTES)
            reader, writer = self._ends
            await send(writer, request.head + request.body)
            answer = await read_message(reader, bodiless=request.first_line.startswith("HEAD "))
        except (OSError, asyncio.IncompleteReadError):
            answer = None
        if answer is None or not answer.keeps_alive:
            self.close()
        return answer

    def close(self) -> None:
        """Closes the connection if there is one."""
        if self._ends is not None:
            self._ends[1].close()
            self._ends = None


async def deliver(mode: Mode, answer: Message, writer: asyncio.StreamWriter) -> bool:
    """Gives the server's answer to the client in the way of the mode, and returns whether the connection stays."""
    whole = answer.head + answer.body
    match mode:
        case Cut():
            writer.transport.abort()
            return False
        case Garble(truncated=True):
            await send(writer, whole[: len(answer.head) + len(answer.body) // 2])
            return False
        case Garble():
            await send(writer, spoiled(answer))
        case Slow():
            await asyncio.sleep(mode.delay_s)
            await trickle(writer, whole, mode.bytes_per_s)
        case _:
            await send(writer, whole)
    return answer.keeps_alive


async def trickle(writer: asyncio.StreamWriter, data: bytes, bytes_per_s: float | None) -> None:
    """Sends `data` no faster than that."""
    if bytes_per_s is None:
        await send(writer, data)
        return
    piece = max(1, int(bytes_per_s / PIECES_PER_S))
    for start in range(0, len(data), piece):
        await send(writer, data[start : start + piece])
        await asyncio.sleep(piece / bytes_per_s)


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Sends `data` and waits until it is under way."""
    writer.write(data)
    await writer.drain()


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Message | None:
    """Returns the next message, or None when the connection has ended. Raises IncompleteReadError within one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    message = Message(head, b"")
    if bodiless:
        return message
    if (message.header("transfer-encoding") or "").lower() == "chunked":
        return Message(head, await read_chunks(reader))
    return Message(head, await reader.readexactly(int(message.header("content-length") or 0)))


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Returns a chunked body as it came, sizes and all."""
    raw = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        raw += line + await reader.readexactly(size + 2)
        if size == 0:
            return raw


def with_body(whole: Message, body: bytes) -> Message:
    """Returns the message with another body, whose length it tells."""
    lines = whole.head.split(b"\r\n")[:-2]
    kept = [line for line in lines if line.split(b":")[0].lower() not in (b"content-length", b"transfer-encoding")]
    return Message(b"\r\n".join([*kept, b"Content-Length: %d" % len(body), b"", b""]), body)


def refusal(mode: Status) -> bytes:
    """Returns the answer with which an overloaded or ailing server, or a balancer before it, sends a client away."""
    # both clients look for this header before they believe that they talk to the right product
    headers = ["X-Elastic-Product: Elasticsearch", "Content-Type: application/json"]
    if mode.retry_after_s is not None:
        headers.append(f"Retry-After: {mode.retry_after_s}")
    return message(f"{mode.code} Refused", headers, b'{"error":"refused by the proxy","status":%d}' % mode.code)


def spoiled(answer: Message) -> bytes:
    """Returns the answer with its good status and a body that is no JSON, as a proxy's page would be."""
    status = answer.first_line.split(" ", 1)[1]
    headers = ["X-Elastic-Product: Elasticsearch", "Content-Type: application/json"]
    return message(status, headers, b"<html><body>It works!</body></html>")


def message(status: str, headers: list[str], body: bytes) -> bytes:
    """Returns an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def bound(port: int) -> socket.socket:
    """Returns a socket bound to that loopback port, or to a free one for 0, that does not listen."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind((LOOPBACK, port))
    return kept
