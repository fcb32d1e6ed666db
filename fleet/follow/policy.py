"""What a policy wants of the farm in each beam mode. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contract.beam import BeamMode


class Want(StrEnum):
    """Where a rule wants the farm; `stay`: nothing new is begun."""

    CLOUD = "cloud"
    HLT = "HLT"
    STAY = "stay"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """While the beam is in one of `modes`: where the farm is wanted.

    For the cloud the beam must have been in these modes for `after_s`; `keep` nodes of the farm stay in HLT.
    """

    name: str
    modes: frozenset[BeamMode]
    want: Want
    after_s: float = 0.0
    keep: int = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules; a mode that none names wants HLT.

    After `patience_s` without a known mode the farm is wanted in HLT. Between two turns towards the cloud lie
    `between_s`. Nodes that have not come back are asked again after `again_s`, then more and more seldom.
    """

    rules: tuple[Rule, ...]
    patience_s: float = 120.0
    between_s: float = 1800.0
    again_s: float = 60.0

    def rule(self, mode: BeamMode) -> Rule | None:
        """Returns the rule that names `mode`."""
        return next((rule for rule in self.rules if mode in rule.modes), None)


def span(seconds: float) -> str:
    """Returns a time as people say it: `45 s`, `10 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 5 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
