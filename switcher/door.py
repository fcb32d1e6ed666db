"""The door: connections before they are requests, bounded in number, size and time.

A request is handed on when it is whole, and the next one of the same connection when it is answered. So whoever sends
slowly, without end, or faster than he reads costs one connection for a bounded time and a few kilobytes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple, cast

from contract.networks import Address
from switcher import heads
from switcher.callers import Allowed, Sparing, caller_of
from switcher.heads import Unfit

log = logging.getLogger(__name__)

ACCEPT_AGAIN_S: Final = 0.2

MOST_FROM_ONE: Final = 0.25  # of all connections
MOST_STRANGERS: Final = 8
MOST_WAITING_BYTES: Final = 64 << 10
BLANK: Final = b"\r\n"  # allowed before a request
CHUNK_BYTES: Final = 16 << 10
AT_ONCE: Final = 32


class Patience(NamedTuple):
    """How long a connection may take, in seconds.

    `arrive_s` from a connection, or the first byte of a request, to its last; `answer_s` until it is answered, though
    no answer takes longer than 5 s; `idle_s` between two requests; `linger_s` for a refusal to be read.
    """

    handshake_s: float = 5.0
    arrive_s: float = 10.0
    answer_s: float = 30.0
    idle_s: float = 60.0
    linger_s: float = 2.0


PATIENCE: Final = Patience()


class Connection(asyncio.BufferedProtocol):
    """One connection: collects a request, hands it to `inner`, waits until it is answered."""

    def __init__(self, door: Door, inner: asyncio.Protocol, caller: Address) -> None:
        self.caller = caller
        self._door = door
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._busy = False
        self._refused = False
        self._ended = False
        self._gone = False
        self._slow_reader = False
        self._until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to count the time."""
        self._transport = cast(asyncio.Transport, transport)  # of a TCP server it always is one
        self._inner.connection_made(transport)
        if self._gone:
            self._transport.abort()
        self._give(self._door.patience.arrive_s)
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        """Makes room for others."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._door.left(self)
        self._inner.connection_lost(error)

    def get_buffer(self, _size_hint: int) -> bytearray:
        """Returns where to put bytes; one place for all connections, for they are taken out at once."""
        return self._door.buffer

    def buffer_updated(self, count: int) -> None:
        """Takes bytes."""
        if self._refused:
            return
        begins = not self._waiting and not self._busy
        self._waiting += memoryview(self._door.buffer)[:count]
        if begins:
            self._give(self._door.patience.arrive_s)
        self._next()
        if len(self._waiting) > MOST_WAITING_BYTES and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """Ends the connection; of one who only ends his own side, as `nc -N` does, when his requests are answered."""
        self._ended = True
        if self._transport is None or self._transport.get_extra_info("sslcontext"):
            return self._inner.eof_received()
        return self._busy or self._whole() or self._inner.eof_received()

    @property
    def last(self) -> bool:
        """Whether nothing can follow the request that is being answered."""
        return self._ended and not self._whole()

    def _whole(self) -> bool:
        length = heads.length(self._waiting) if self._waiting else None
        return isinstance(length, int) and len(self._waiting) >= length

    def pause_writing(self) -> None:
        """Hands nothing on while answers are not read."""
        self._slow_reader = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Goes on."""
        self._slow_reader = False
        self._inner.resume_writing()
        self._next()

    def answered(self) -> None:
        """Tells that the request is dealt with, though its answer may still be on its way."""
        self._busy = False
        self._give(self._door.patience.arrive_s if self._waiting else self._door.patience.idle_s)
        self._loop.call_soon(self._next)

    def give_way(self) -> bool:
        """Ends the connection when no request of it is being answered, and returns whether it did."""
        if self._busy or self._slow_reader:
            return False
        self._gone = True
        self._door.left(self)
        if self._transport is not None:
            self._transport.abort()
        return True

    def _next(self) -> None:
        """Hands on the next request if it is whole."""
        if self._busy or self._refused or self._slow_reader or self._transport is None or self._transport.is_closing():
            return
        if len(self._waiting) <= MOST_WAITING_BYTES:
            self._transport.resume_reading()
        if self._waiting[:1] in BLANK:
            self._waiting[:] = self._waiting.lstrip(BLANK)
        if not self._waiting:
            return
        length = heads.length(self._waiting)
        if isinstance(length, Unfit):
            self._refuse(length)
        elif length is not None and len(self._waiting) >= length:
            request = bytes(self._waiting[:length])
            del self._waiting[:length]
            self._busy = True
            self._give(self._door.patience.answer_s)
            self._inner.data_received(request)

    def _refuse(self, unfit: Unfit) -> None:
        """Answers what is no request, and lets the caller read that before the connection ends."""
        if self._transport is None:
            return
        self._refused = True
        self._waiting.clear()
        self._door.unfit(self, unfit)
        page = f"{unfit.words}\n".encode()
        self._transport.write(
            f"HTTP/1.1 {unfit.status} {unfit.status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(page)}\r\nConnection: close\r\n\r\n".encode()
            + page
        )
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._give(self._door.patience.linger_s)

    def _give(self, seconds: float) -> None:
        self._until_s = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._until_s:
            self._timer.cancel()
            self._watch()

    def _watch(self) -> None:
        self._timer = self._loop.call_at(self._until_s, self._look)

    def _look(self) -> None:
        if self._transport is None:
            return
        if self._loop.time() < self._until_s:
            self._watch()
        elif self._waiting and not self._busy and not self._slow_reader:
            self._refuse(
                Unfit(HTTPStatus.REQUEST_TIMEOUT, f"the whole request within {self._door.patience.arrive_s:g} s wanted")
            )
            self._watch()
        else:
            self._transport.abort()


class Door:
    """Accepts connections for the protocols that `make` makes: `most` in all, a quarter of them from one address.

    Of callers who are not `allowed` there are never more than a few, just enough to tell them so. Where there is no
    room, the connection gives way that waits longest, of the address that has most; so one who comes with a request
    finds room however many others only hold connections.
    """

    def __init__(
        self, make: Callable[[], asyncio.Protocol], allowed: Allowed, most: int, patience: Patience = PATIENCE
    ) -> None:
        self.patience = patience
        self.buffer = bytearray(CHUNK_BYTES)
        self.allowed = allowed
        self.most = most
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._here: dict[Connection, None] = {}  # oldest first
        self._count: Counter[Address] = Counter()
        self._listening: dict[socket.socket, Callable[[], ssl.SSLContext | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._said = {"full": Sparing(), "unfit": Sparing()}

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._here)

    def listen(self, listening: socket.socket, tls: Callable[[], ssl.SSLContext | None]) -> None:
        """Accepts at `listening`; each connection speaks by what `tls` returns then, plainly if that is None."""
        listening.settimeout(0.0)
        self._listening[listening] = tls
        self._loop.add_reader(listening, self._accept, listening)

    async def close(self) -> None:
        """Accepts no more; connections under way are left to their protocols."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def left(self, connection: Connection) -> None:
        """Forgets a connection; it may be forgotten twice."""
        if connection in self._here:
            del self._here[connection]
            self._count[connection.caller] -= 1
            if not self._count[connection.caller]:
                del self._count[connection.caller]

    def unfit(self, connection: Connection, unfit: Unfit) -> None:
        """Hears of bytes that were refused."""
        self._say("unfit", connection.caller, f"refused with {unfit.status}: {unfit.words}")

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted (%s); trying again", error.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(ACCEPT_AGAIN_S, self._accept_again, listening)
                return
            accepted.settimeout(0.0)
            caller = caller_of(peer)
            if full := self._full_for(caller):
                self._say("full", caller, full)
                if not self._make_room(caller):
                    accepted.close()
                    continue
            connection = Connection(self, self._make(), caller)
            self._here[connection] = None
            self._count[caller] += 1
            task = self._loop.create_task(self._connect(connection, accepted, self._listening[listening]()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _full_for(self, caller: Address) -> str:
        """Returns why there is no room for one more connection from `caller`, empty when there is."""
        if self._count[caller] >= self._most_from_one:
            return f"{self._count[caller]} connections from one address; see http.connections"
        if caller not in self.allowed and len(self._strangers()) >= MOST_STRANGERS:
            return f"{MOST_STRANGERS} connections from callers who may not ask; see http.allow"
        if len(self._here) >= self.most:
            return f"{self.most} connections are open; see http.connections"
        return ""

    def _make_room(self, caller: Address) -> bool:
        """Ends the connection that can best be spared for one of `caller`; returns whether there was one."""
        if caller not in self.allowed:
            candidates = self._strangers()
        else:
            crowd = caller if self._count[caller] >= self._most_from_one else self._count.most_common(1)[0][0]
            candidates = [here for here in self._here if here.caller == crowd]
        return any(here.give_way() for here in candidates)

    @property
    def _most_from_one(self) -> int:
        return max(1, int(self.most * MOST_FROM_ONE))

    def _strangers(self) -> list[Connection]:
        return [here for here in self._here if here.caller not in self.allowed]

    async def _connect(self, connection: Connection, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=self.patience.handshake_s if tls else None
            )
        except OSError as error:  # TimeoutError and ssl.SSLError are two of them
            self.left(connection)
            reason = getattr(error, "reason", "") or error.strerror or str(error) or type(error).__name__
            self._say("unfit", connection.caller, f"no TLS connection ({reason})")
        except asyncio.CancelledError:
            self.left(connection)
            accepted.close()
            raise

    def _say(self, kind: str, caller: Address, words: str) -> None:
        added = self._said[kind].admit(str(caller), self._loop.time())
        if added is not None:
            log.warning("%s: %s%s", caller, words, added)
