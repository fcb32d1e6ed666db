"""Times as documents carry them: UTC, ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(wall_s: float) -> str:
    """Returns `wall_s` (Unix seconds) as `2026-11-23T11:20:16.452348Z`."""
    return hltd_date(wall_s) + "Z"


def hltd_date(wall_s: float) -> str:
    """Returns `wall_s` (Unix seconds) as hltd writes `fm_date`: UTC without a zone."""
    return datetime.fromtimestamp(wall_s, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def unix(text: str) -> float:
    """Returns the Unix seconds of an ISO time; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
