"""As much of an HTTP/1.1 server as a simulated farm needs: thousands of addresses in one process at next to no cost.

Requests of one connection are answered one after the other. Chunked bodies are not understood (411).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

LARGEST_HEAD_BYTES: Final = 16 << 10
LARGEST_WAITING_BYTES: Final = 64 << 10
HEAD_END: Final = b"\r\n\r\n"


class Asked(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    remote: str


class Page(NamedTuple):
    """One answer; with `close` it ends with the connection."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    close: bool = False


Respond = Callable[[Page | None], None]
Handler = Callable[[Asked, Respond], None]


class _Unfit(Exception):
    """A request that is not answered with more than this page."""

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.page = Page(status, f"{words}\n".encode(), close=True)


class Connection(asyncio.Protocol):
    """One connection. `handle` calls its second argument with the page, once and whenever it likes; None hangs up."""

    def __init__(self, handle: Handler, largest_body: int) -> None:
        self._handle = handle
        self._largest_body = largest_body
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        self._transport = cast(asyncio.Transport, transport)  # of a server of TCP it always is one

    def connection_lost(self, _error: Exception | None) -> None:
        """Forgets it."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Takes what has come in, and deals with the next request when it is whole."""
        self._waiting += data
        if not self._busy:
            self._next()
        elif len(self._waiting) > LARGEST_WAITING_BYTES and self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        if self._transport is None or self._busy:
            return
        try:
            found = self._take(self._transport)
        except _Unfit as error:
            self._busy = True
            self._respond(error.page, keep=False)
            return
        if found is not None:
            asked, keep = found
            self._busy = True
            self._handle(asked, functools.partial(self._respond, keep=keep))

    def _take(self, transport: asyncio.Transport) -> tuple[Asked, bool] | None:
        """Returns the next request and whether the connection goes on after it; None while it is not whole."""
        end = self._waiting.find(HEAD_END)
        if end < 0:
            if len(self._waiting) > LARGEST_HEAD_BYTES:
                raise _Unfit(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too long")
            return None
        first, *lines = self._waiting[:end].decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _Unfit(HTTPStatus.BAD_REQUEST, "not HTTP/1")
        method, target, version = words
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + len(HEAD_END) + self._body_length(headers)
        if len(self._waiting) < whole:
            return None
        body = bytes(self._waiting[end + len(HEAD_END) : whole])
        del self._waiting[:whole]
        wanted = headers.get("connection", "").lower()
        keep = wanted == "keep-alive" if version == "HTTP/1.0" else wanted != "close"
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        remote = str(transport.get_extra_info("peername", ("",))[0])
        return Asked(method, url.path, query, headers, body, remote), keep

    def _body_length(self, headers: Mapping[str, str]) -> int:
        if "transfer-encoding" in headers:
            raise _Unfit(HTTPStatus.LENGTH_REQUIRED, "Content-Length wanted")
        text = headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()):
            raise _Unfit(HTTPStatus.BAD_REQUEST, "Content-Length: a number wanted")
        if len(text) > 12 or int(text) > self._largest_body:
            raise _Unfit(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Maximum request body size {self._largest_body} exceeded"
            )
        return int(text)

    def _respond(self, page: Page | None, *, keep: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if page is None:
            transport.close()
            return
        goes_on = keep and not page.close
        head = (
            f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\nContent-Type: {page.kind}\r\n"
            f"Content-Length: {len(page.body)}\r\nConnection: {'keep-alive' if goes_on else 'close'}\r\n\r\n"
        )
        transport.write(head.encode() + page.body)
        if not goes_on:
            transport.close()
            return
        self._busy = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
