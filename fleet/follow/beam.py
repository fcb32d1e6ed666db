"""How the beam mode went, as it was heard. Pure.

Times are Unix seconds of a clock that nobody sets while it is in use. A stay without a mode is one that nobody knew.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from contract.beam import BeamMode

MOST_STAYS = 200


class Stay(msgspec.Struct, frozen=True):
    """The beam in one mode since a moment; None: in which, nobody knew."""

    mode: BeamMode | None
    since_s: float


class Beam(msgspec.Struct, frozen=True, kw_only=True):
    """The stays so far, when a mode was heard last, and what is wrong with the source since (empty: nothing)."""

    heard_s: float
    stays: tuple[Stay, ...] = ()
    trouble: str = ""

    @property
    def mode(self) -> BeamMode | None:
        """The mode that was heard last; None when nobody knows it any more."""
        return self.stays[-1].mode if self.stays else None


def heard(beam: Beam, mode: BeamMode, now_s: float, patience_s: float) -> Beam:
    """Returns `beam` after `mode` was heard."""
    beam = silent(beam, now_s, patience_s)
    return _with(replace(beam, heard_s=now_s, trouble=""), mode, now_s)


def silent(beam: Beam, now_s: float, patience_s: float) -> Beam:
    """Returns `beam` as it is at `now_s`, when nothing was heard since: after `patience_s` nobody knows the mode."""
    if now_s - beam.heard_s > patience_s and beam.mode is not None:
        return _with(beam, None, beam.heard_s + patience_s)
    return beam


def resumed(beam: Beam, alive_s: float, now_s: float, patience_s: float) -> Beam:
    """Returns `beam` for one who listened until `alive_s` and listens again from `now_s`.

    Who was away for longer than the patience gives the source its patience anew; else a silence goes on, so that one
    who dies again and again notices it as well. A clock that was set back makes nothing newer than now.
    """
    beam = replace(beam, heard_s=min(beam.heard_s, now_s), trouble="nothing heard since the start")
    if now_s - alive_s <= patience_s:
        return beam
    return replace(silent(beam, now_s, patience_s), heard_s=now_s)


def lasted_s(beam: Beam, of_those: Callable[[BeamMode | None], bool], now_s: float) -> float | None:
    """Returns for how long the beam has been in modes `of_those` without a break; None when it is in another one."""
    since_s = None
    for stay in reversed(beam.stays):
        if not of_those(stay.mode):
            break
        since_s = stay.since_s
    return None if since_s is None else max(0.0, now_s - since_s)


def _with(beam: Beam, mode: BeamMode | None, now_s: float) -> Beam:
    if beam.stays and beam.mode is mode:
        return beam
    return replace(beam, stays=(*beam.stays, Stay(mode, now_s))[-MOST_STAYS:])
