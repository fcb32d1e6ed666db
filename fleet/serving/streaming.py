"""The events to one reader, as server-sent events. A reader that is slow is let go: it comes back and loads anew."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final, Protocol

from aiohttp import web

from contract.answering import connection_of
from fleet.serving.events import Events
from fleet.serving.guard import Stopped

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
LOOK_EVERY_S: Final = 2.0
STILL_HERE_S: Final = 15.0
AGAIN_MS: Final = 2000
AGAIN_LATER: Final = {"Retry-After": "10"}
FROM_ONE: Final = 0.5  # of all readers; the rest is for everybody else


class Source(Protocol):
    """Where events come from."""

    events: Events

    async def news(self, timeout_s: float) -> None:
        """Returns when there are new events, or after `timeout_s`."""

    def wake(self) -> None:
        """Wakes everybody who waits for news."""


class Streams:
    """All readers, at most `most` of them and half of those from one address.

    One that does not take what is sent for `patience_s` is let go.
    """

    def __init__(self, source: Source, most: int, patience_s: float = PATIENCE_S) -> None:
        self._source = source
        self._most = most
        self._patience_s = patience_s
        self._most_from_one = max(1, int(most * FROM_ONE))
        self._open: Counter[str] = Counter()
        self._closing = False

    def close(self) -> None:
        """Has every reader's stream end."""
        self._closing = True
        self._source.wake()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Sends events from where the reader is until one of us goes."""
        remote = request.remote or ""
        if self._open.total() >= self._most:
            raise Stopped(503, f"{self._most} readers of events are here already; see --streams", AGAIN_LATER)
        if self._open[remote] >= self._most_from_one:
            words = f"{self._most_from_one} readers of events from {remote} are here, half of all (--streams)"
            raise Stopped(503, words, AGAIN_LATER)
        self._open[remote] += 1
        try:
            return await self._stream(request)
        finally:
            self._open[remote] -= 1
            self._open += Counter()  # forgets addresses that have none any more

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        events = self._source.events
        asked = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        place = events.place(asked) if asked else events.number
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        if (connection := connection_of(request)) is not None:
            connection.endless()
        await response.prepare(request)
        text = b"retry: %d\n\n" % AGAIN_MS
        if place is None:
            place, text = events.number, text + events.reload()
        quiet_s = 0.0
        while not self._closing:
            if not events.has(place):
                break
            if not text:
                place, text = events.after(place)
            if not text and quiet_s >= STILL_HERE_S:
                text = b": still here\n\n"
            if text:
                if not await self._sent(request, response, text):
                    break
                text, quiet_s = b"", 0.0
                continue
            await self._source.news(LOOK_EVERY_S)
            quiet_s += LOOK_EVERY_S
            if request.transport is None or request.transport.is_closing():
                break
        return response

    async def _sent(self, request: web.Request, response: web.StreamResponse, text: bytes) -> bool:
        """Returns whether the reader took it; one that does not take it in time is cut off."""
        try:
            async with asyncio.timeout(self._patience_s):
                await response.write(text)
        except TimeoutError:
            log.warning("%s: too slow a reader of events; let go", request.remote)
            if request.transport is not None:
                request.transport.abort()
            return False
        except ConnectionError:
            return False
        return True
