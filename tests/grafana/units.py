"""Values as people read them, in Grafana's units."""

from __future__ import annotations

from datetime import UTC, datetime

STEPS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


def shown(value: object, unit: str) -> str:
    """Returns a value with its unit."""
    if isinstance(value, str) and unit == "dateTimeAsIso":
        return f"{datetime.fromtimestamp(float(value) / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s":
        return duration(float(value))
    if unit == "bytes":
        return f"{value / (1 << 20):.1f} MiB"
    number = f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
    return f"{number}{unit.removeprefix('suffix:')}" if unit.startswith("suffix:") else number


def duration(seconds: float) -> str:
    """Returns a duration in the greatest unit that it fills."""
    for size, word in STEPS:
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {word}"
    return f"{seconds:g} s"
