"""The documents as they are read again, whether from a log or from an index."""

from __future__ import annotations

import msgspec

from contract.modes import Mode, Wanted


class Switchover(msgspec.Struct, frozen=True, kw_only=True):
    """One switchover document, as collector.documents or collector.sources.observed makes it.

    Times are UTC, durations seconds. One that was only `observed` may be without duration.
    """

    host: str
    appliance: str = ""
    switch_id: str
    who: str = ""
    reason: str = ""
    from_mode: Mode
    to: Wanted
    outcome: str
    why: str = ""
    started: str
    ended: str
    duration_s: float | None = None
    phases: dict[str, float] = {}
    was_stuck: bool = False
    observed: bool = False


class NodeNow(msgspec.Struct, frozen=True, kw_only=True, rename={"seen": "@timestamp"}):
    """What the newest box document of a node says of its switch; `seen` is when it was made. Times are UTC."""

    host: str
    appliance: str = ""
    mode: Mode | None = None
    mode_since: str | None = None
    mode_age_s: float | None = None
    switch_id: str | None = None
    stuck: bool | None = None
    blocker: str | None = None
    vms: str | None = None
    box_old: bool = False
    seen: str
