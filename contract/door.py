"""The door: connections before they are requests, bounded in number, size and time.

A request is handed on when it is whole, and the next one of the same connection when it is answered. So whoever sends
slowly, without end, or faster than he reads costs one connection for a bounded time and a few kilobytes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from contract.callers import Allowed, Sparing, caller_of
from contract.connection import PATIENCE, Connection, Page, Patience
from contract.heads import LARGEST_BODY_BYTES, Unfit
from contract.networks import Address

log = logging.getLogger(__name__)

ACCEPT_AGAIN_S: Final = 0.2

MOST_STRANGERS: Final = 8
CHUNK_BYTES: Final = 16 << 10
AT_ONCE: Final = 32


def plain(unfit: Unfit) -> tuple[str, bytes]:
    """Returns a refusal as a line of text."""
    return "text/plain; charset=utf-8", f"{unfit.words}\n".encode()


class Terms(NamedTuple):
    """What else a door is told.

    `from_one` is the share of all connections that one address may have, `setting` what people change to have more of
    them, `page` what one reads who sends no request.
    """

    from_one: float = 0.25
    largest_body_bytes: int = LARGEST_BODY_BYTES
    setting: str = "http.connections"
    page: Page = plain


TERMS: Final = Terms()
EVERYBODY: Final = Allowed(("0.0.0.0/0", "::/0"))


class Door:
    """Accepts connections for the protocols that `make` makes: `most` in all, a share of them from one address.

    Of callers who are not `allowed` there are never more than a few, just enough to tell them so. Where there is no
    room, the connection gives way that waits longest, of the address that has most; so one who comes with a request
    finds room however many others only hold connections.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        allowed: Allowed,
        most: int,
        patience: Patience = PATIENCE,
        terms: Terms = TERMS,
    ) -> None:
        self.patience = patience
        self.largest_body_bytes = terms.largest_body_bytes
        self.page = terms.page
        self.buffer = memoryview(bytearray(CHUNK_BYTES))
        self.allowed = allowed
        self.most = most
        self._terms = terms
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._here: dict[Connection, None] = {}  # oldest first
        self._count: Counter[Address] = Counter()
        self._listening: dict[socket.socket, Callable[[], ssl.SSLContext | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._said = {"accept": Sparing(), "full": Sparing(), "unfit": Sparing()}

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
                added = self._said["accept"].admit("", self._loop.time())
                if added is not None:
                    log.error("no connection can be accepted (%s); trying again%s", error.strerror, added)
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
            connection.connecting(task.cancel)
            task.add_done_callback(functools.partial(self._connected, connection, accepted))

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _full_for(self, caller: Address) -> str:
        """Returns why there is no room for one more connection from `caller`, empty when there is."""
        if self._count[caller] >= self._most_from_one:
            return f"{self._count[caller]} connections from one address; see {self._terms.setting}"
        if caller not in self.allowed and len(self._strangers()) >= MOST_STRANGERS:
            return f"{MOST_STRANGERS} connections from callers who may not ask; see http.allow"
        if len(self._here) >= self.most:
            return f"{self.most} connections are open; see {self._terms.setting}"
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
        return max(1, int(self.most * self._terms.from_one))

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

    def _connected(self, connection: Connection, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        """Deals with the end of a task that may not even have begun."""
        self._tasks.discard(task)
        if task.cancelled():
            self.left(connection)
            accepted.close()

    def _say(self, kind: str, caller: Address, words: str) -> None:
        added = self._said[kind].admit(str(caller), self._loop.time())
        if added is not None:
            log.warning("%s: %s%s", caller, words, added)
