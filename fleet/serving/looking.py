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
        self._places: dict[str, Place] = {}
        self._every_s = every_s
        self._tell = tell
        self._others_look = others_look
        self._at_once = at_once
        self._under_way = 0
        self._first: set[str] = set()
        self._due: list[tuple[float, str]] = []
        self.renew(places)

    def renew(self, places: Mapping[str, Place]) -> None:
        """Looks at these from now on, at those that are new at once. What comes of a look at another is not told."""
        before = self._places
        self._places = {host: before[host] if before.get(host) == place else place for host, place in places.items()}
        new = {host for host, place in self._places.items() if before.get(host) is not place}
        self._first = (self._first | new) & places.keys()
        stay = [(at_s, host) for at_s, host in self._due if host in places and host not in new]
        self._due = [*((0.0, host) for host in places if host in new), *stay]
        heapq.heapify(self._due)

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        clock = asyncio.get_running_loop().time
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
        place = self._places[host]
        try:
            found = await self._client.look(place, host)
        finally:
            self._under_way -= 1
        if self._places.get(host) is not place:
            return
        ended_s = clock()
        self._tell(host, found)
        wait_s = max(self._every_s, PATIENCE * (ended_s - began_s), OLD_EVERY_S if isinstance(found, Old) else 0.0)
        if host in self._first:
            self._first.discard(host)
            wait_s *= random.random()  # noqa: S311 - from here on their turns are spread evenly
        self._again(host, ended_s + wait_s)

    def _again(self, host: str, at_s: float) -> None:
        heapq.heappush(self._due, (at_s + random.uniform(-SPREAD, SPREAD) * self._every_s, host))  # noqa: S311 - jitter
