"""Asks every node how it stands, again and again, and never so often that it is a load."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fleet.client import Client, Look, Old
from fleet.hosts import Place

AT_ONCE: Final = 64
TICK_S: Final = 0.05
SPREAD: Final = 0.1
PATIENCE: Final = 6.0  # a node that lets us wait is asked so many times more seldom than it took
OLD_EVERY_S: Final = 30.0  # hltd starts an interpreter for each question: about 50 ms of its CPU


class Looking:
    """Looks at each of `places` every `every_s` seconds, at `at_once` of them at a time; `tell` hears each answer.

    Nodes for which `others_look` is true are left to those others.
    """

    def __init__(
        self,
        client: Client,
        places: Mapping[str, Place],
        every_s: float,
        tell: Callable[[str, Look], None],
        others_look: Callable[[str], bool],
        at_once: int = AT_ONCE,
    ) -> None:
        self._client = client
        self._places = places
        self._every_s = every_s
        self._tell = tell
        self._others_look = others_look
        self._at_once = at_once
        self._under_way = 0
        self._first = set(places)

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        clock = asyncio.get_running_loop().time
        self._due = [(clock(), host) for host in self._places]
        heapq.heapify(self._due)
        async with asyncio.TaskGroup() as looks:
            while True:
                for host in self._next(clock()):
                    self._under_way += 1
                    looks.create_task(self._look(host))
                await asyncio.sleep(TICK_S)

    def _next(self, now_s: float) -> Iterable[str]:
        """Yields the nodes whose turn it is."""
        while self._due and self._due[0][0] <= now_s and self._under_way < self._at_once:
            _, host = heapq.heappop(self._due)
            if self._others_look(host):
                self._again(host, now_s + self._every_s)
            else:
                yield host

    async def _look(self, host: str) -> None:
        clock = asyncio.get_running_loop().time
        began_s = clock()
        try:
            found = await self._client.look(self._places[host], host)
        finally:
            self._under_way -= 1
        ended_s = clock()
        self._tell(host, found)
        wait_s = max(self._every_s, PATIENCE * (ended_s - began_s), OLD_EVERY_S if isinstance(found, Old) else 0.0)
        if host in self._first:
            self._first.discard(host)
            wait_s *= random.random()  # noqa: S311 - from here on their turns are spread evenly
        self._again(host, ended_s + wait_s)

    def _again(self, host: str, at_s: float) -> None:
        heapq.heappush(self._due, (at_s + random.uniform(-SPREAD, SPREAD) * self._every_s, host))  # noqa: S311 - jitter
