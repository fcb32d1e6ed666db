"""How much to send at once, when to try again, and how fast a backlog may be worked off.

Pure: time and chance come in.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from collector.shipping.bulk import Fault

BASE_S: Final = 0.5
CAREFUL_BASE_S: Final = 4.0  # for faults of the surroundings, which no haste mends
CAP_S: Final = 20.0

# What a backlog may send at once, in seconds of its rate: so it rides along with the samples.
BURST_S: Final = 5.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Sends up to `documents` at once, `most` when all is well; knows the failures in a row."""

    most: int
    documents: int
    hosts: int = 1
    failures: int = 0

    def succeeded(self) -> Pace:
        """Returns the pace after all went well."""
        return replace(self, failures=0, documents=min(self.most, 2 * self.documents))

    def failed(self, sent: int, fault: Fault) -> Pace:
        """Returns the pace after a request with so many documents failed."""
        if fault is Fault.TOO_LARGE:
            return replace(self, documents=max(1, sent // 2))
        return replace(self, failures=self.failures + 1)

    def wait_s(self, fault: Fault, chance: float) -> float:
        """Returns how long to wait after the newest failure, with full jitter: `chance` is from 0 to 1.

        Full jitter spreads the agents of a farm over the whole wait, so that they don't come back as one wave. When a
        host was not even reached the others are asked at once; one that fell silent may be overloaded, and so may they.
        """
        if fault is Fault.TOO_LARGE or (fault is Fault.NOT_REACHED and self.failures < self.hosts):
            return 0.0
        base_s = CAREFUL_BASE_S if fault is Fault.SURROUNDINGS else BASE_S
        return chance * min(CAP_S, base_s * 2.0 ** min(self.failures, 16))


class Bucket(msgspec.Struct, frozen=True):
    """What may be sent of a backlog: `tokens` documents, and more as time goes by."""

    per_s: float
    tokens: float
    time_s: float

    @property
    def most(self) -> float:
        """How many tokens there can be."""
        return max(1.0, self.per_s * BURST_S)

    @property
    def full_in_s(self) -> float:
        """How long until it is full."""
        return (self.most - self.tokens) / self.per_s

    def at(self, now_s: float, per_s: float) -> Bucket:
        """Returns the bucket at `now_s` of a steady clock, filled at the rate so far; from now on `per_s` holds."""
        filled = Bucket(per_s, self.tokens + max(0.0, now_s - self.time_s) * self.per_s, now_s)
        return replace(filled, tokens=min(filled.tokens, filled.most))

    def taken(self, documents: int) -> Bucket:
        """Returns the bucket after so many documents."""
        return replace(self, tokens=max(0.0, self.tokens - documents))
