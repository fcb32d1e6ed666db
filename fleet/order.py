"""What is ordered: who asks, why, of how many nodes, and how it goes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from contract.errors import HltmodeError
from contract.modes import Wanted
from fleet.rollout import USUAL, Ramp
from fleet.selection import Choice


class BadOrder(HltmodeError):
    """An order that makes no sense; the message says which part of it and why."""

    exit_code = 2


class Order(NamedTuple):
    """Who orders an operation, why, and how it goes; the fields of the ramp in `usual` are as usual on its way."""

    who: str
    reason: str
    most: int | None
    percent: float | None
    keep: int
    keep_total: int
    prefer_idle: bool
    ramp: Ramp
    limit_s: float | None
    hurry: bool
    deadline_s: float | None
    usual: frozenset[str] = frozenset()

    def ramp_to(self, to: Wanted) -> Ramp:
        """Returns how it spreads on the way `to` there."""
        return replace(self.ramp, **{name: getattr(USUAL[to], name) for name in self.usual})

    def choice(self, to: Wanted) -> Choice:
        """Returns which nodes it takes. Raises BadOrder for what makes no sense on the way `to` there."""
        if to is Wanted.HLT and (self.keep or self.keep_total):
            raise BadOrder("--keep and --keep-total go with the way to the cloud only")
        return Choice(
            to=to,
            count=self.most,
            percent=self.percent,
            keep=self.keep,
            keep_total=self.keep_total,
            prefer_idle=self.prefer_idle,
        )
