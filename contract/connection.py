"""One connection before it is a request: collects bytes, hands whole requests on one by one, and counts the time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol, cast

from contract import heads
from contract.heads import Unfit
from contract.networks import Address

MOST_WAITING_BYTES: Final = 64 << 10
BLANK: Final = b"\r\n"  # allowed before a request


class Patience(NamedTuple):
    """How long a connection may take, in seconds.

    `arrive_s` from a connection, or the first byte of a request, to its last; `answer_s` until it is answered;
    `idle_s` between two requests; `linger_s` for a refusal to be read.
    """

    handshake_s: float = 5.0
    arrive_s: float = 10.0
    answer_s: float = 30.0
    idle_s: float = 60.0
    linger_s: float = 2.0


PATIENCE: Final = Patience()
Page = Callable[[Unfit], tuple[str, bytes]]  # the content type and body of a refusal


class Keeper(Protocol):
    """Who keeps the connections: the door.

    `buffer` is one place for the bytes of all connections: they are put there and taken out in one go. It must be a
    view, for TLS puts a second record at `buffer[offset:]`, which of a bytearray would be a copy.
    """

    patience: Patience
    buffer: memoryview
    largest_body_bytes: int
    page: Page

    def left(self, connection: Connection) -> None:
        """Forgets a connection; it may be forgotten twice."""

    def unfit(self, connection: Connection, unfit: Unfit) -> None:
        """Hears of bytes that were refused."""


class Connection(asyncio.BufferedProtocol):
    """One connection: collects a request, hands it to `inner`, waits until it is answered."""

    def __init__(self, door: Keeper, inner: asyncio.Protocol, caller: Address) -> None:
        self.caller = caller
        self._door = door
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._length: int | Unfit | None = None  # of the first request in `_waiting`, once that is known
        self._looked_at = 0  # bytes of `_waiting` in which no head ends
        self._busy = False
        self._refused = False
        self._ended = False
        self._gone = False
        self._slow_reader = False
        self._endless = False
        self._until_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stop_connecting: Callable[[], object] | None = None

    def connecting(self, stop: Callable[[], object]) -> None:
        """Tells how to end it while there is no transport, as in a TLS handshake."""
        self._stop_connecting = stop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to count the time."""
        self._transport = cast(asyncio.Transport, transport)  # of a TCP server it always is one
        self._stop_connecting = None
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

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Returns where to put bytes."""
        return self._door.buffer

    def buffer_updated(self, count: int) -> None:
        """Takes bytes."""
        if self._refused:
            return
        begins = not self._waiting and not self._busy
        self._waiting += self._door.buffer[:count]
        if begins:
            self._give(self._door.patience.arrive_s)
        self._next()
        if len(self._waiting) > self._most_waiting and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool | None:
        """Ends the connection; of one who only ends his own side, as `nc -N` does, when his requests are answered."""
        self._ended = True
        if self._transport is None or self._transport.get_extra_info("sslcontext"):
            return self._inner.eof_received()
        return (self._busy and not self._endless) or self._whole() or self._inner.eof_received()

    @property
    def last(self) -> bool:
        """Whether nothing can follow the request that is being answered."""
        return self._ended and not self._whole()

    @property
    def _most_waiting(self) -> int:
        """How many bytes may wait: a whole request in any case."""
        return max(MOST_WAITING_BYTES, self._length) if isinstance(self._length, int) else MOST_WAITING_BYTES

    def _whole(self) -> bool:
        length = self._first_length()
        return isinstance(length, int) and len(self._waiting) >= length

    def _first_length(self) -> int | Unfit | None:
        """Returns what `heads.length` says of what waits. No byte of a head is looked at for every packet."""
        if self._length is None:
            if self._waiting[:1] in BLANK:
                self._waiting[:] = self._waiting.lstrip(BLANK)
                self._looked_at = 0
            if self._waiting:
                self._length = heads.length(self._waiting, self._looked_at, self._door.largest_body_bytes)
                self._looked_at = len(self._waiting)
        return self._length

    def pause_writing(self) -> None:
        """Hands nothing on while answers are not read."""
        self._slow_reader = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Goes on."""
        self._slow_reader = False
        self._inner.resume_writing()
        self._next()

    def endless(self) -> None:
        """Tells that the answer under way goes on until one side ends it; whoever sends it sees to slow readers."""
        self._endless = True
        self._give(math.inf)

    def answered(self) -> None:
        """Tells that the request is dealt with, though its answer may still be on its way."""
        self._busy = self._endless = False
        self._give(self._door.patience.arrive_s if self._waiting else self._door.patience.idle_s)
        self._loop.call_soon(self._next)

    def give_way(self) -> bool:
        """Ends the connection when no request of it is being answered, and returns whether it did.

        Without a transport it counts until the one who makes that has let go of the socket.
        """
        if self._busy or self._slow_reader or self._gone:
            return False
        self._gone = True
        if self._transport is not None:
            self._door.left(self)
            self._transport.abort()
        elif self._stop_connecting is not None:
            self._stop_connecting()
        return True

    def _next(self) -> None:
        """Hands on the next request if it is whole."""
        if self._busy or self._refused or self._slow_reader or self._transport is None or self._transport.is_closing():
            return
        length = self._first_length()
        if len(self._waiting) <= self._most_waiting:
            self._transport.resume_reading()
        if isinstance(length, Unfit):
            self._refuse(length)
        elif length is not None and len(self._waiting) >= length:
            request = bytes(self._waiting[:length])
            del self._waiting[:length]
            self._length, self._looked_at = None, 0
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
        kind, page = self._door.page(unfit)
        self._transport.write(
            f"HTTP/1.1 {unfit.status} {unfit.status.phrase}\r\nContent-Type: {kind}\r\n"
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
