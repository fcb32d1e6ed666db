"""A seeded schedule of bad days: what befalls server, proxy and agents, and when. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from tests.servers import proxy
from tests.servers.proxy import BlackHole, Cut, Full, Garble, Pass, Refuse, Slow


class Do(Enum):
    """What is done to the server or an agent."""

    STOP_SERVER = auto()
    KILL_SERVER = auto()
    START_SERVER = auto()
    KILL_AGENT = auto()
    START_AGENT = auto()


class Event(NamedTuple):
    """At `at_s` after the beginning the proxy gets a mode, or something is done, to agent `agent` if to one."""

    at_s: float
    what: Do | proxy.Mode
    agent: int = -1

    def __str__(self) -> str:
        if isinstance(self.what, Do):
            words = self.what.name.lower().replace("_", " ")
            return f"{words} {self.agent + 1}" if self.agent >= 0 else words
        return f"proxy: {self.what}"


FAULTS: Final[tuple[Do | proxy.Mode, ...]] = (
    Do.STOP_SERVER,
    BlackHole(),
    Slow(delay_s=1.5),
    Cut(),
    proxy.Status(429, retry_after_s=1),
    Do.KILL_SERVER,
    proxy.Status(503),
    Garble(),
    Slow(bytes_per_s=400.0),
    Garble(truncated=False),
    Cut(share=0.5),
    Refuse(),
    Full(documents=0.5),
)
MEAN_LIFE_S: Final = 60.0
LEAST_LIFE_S: Final = 3.0
DEAD_S: Final = (0.2, 3.0)


def schedule(seed: int, span_s: float, agents: int) -> list[Event]:
    """Returns what happens within `span_s`; at its end nothing is said about what is still broken."""
    dice = random.Random(seed)  # noqa: S311 - dice need no secrecy
    return sorted([*_faults(dice, span_s), *_kills(dice, span_s, agents)], key=lambda event: event.at_s)


def _faults(dice: random.Random, span_s: float) -> Iterator[Event]:
    """Yields each fault once, in an order that the seed gives, and the calm after it."""
    order = list(FAULTS)
    dice.shuffle(order)
    part_s = span_s / len(order)
    for number, fault in enumerate(order):
        began_s = part_s * (number + dice.uniform(0.05, 0.25))
        yield Event(began_s, fault)
        after = Do.START_SERVER if isinstance(fault, Do) else Pass()
        yield Event(began_s + part_s * dice.uniform(0.4, 0.7), after)


def _kills(dice: random.Random, span_s: float, agents: int) -> Iterator[Event]:
    for agent in range(agents):
        at_s = dice.expovariate(1 / MEAN_LIFE_S)
        while at_s < span_s:
            yield Event(at_s, Do.KILL_AGENT, agent)
            at_s += dice.uniform(*DEAD_S)
            yield Event(at_s, Do.START_AGENT, agent)
            at_s += LEAST_LIFE_S + dice.expovariate(1 / MEAN_LIFE_S)
