"""What options of several commands are made of."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

import click

from contract.times import unix

Decorated = Callable[..., None]

UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


class Moment(click.ParamType[float]):
    """An ISO time (UTC without a zone), or a time ago such as 90m, 12h or 7d."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns Unix seconds."""
        if isinstance(value, float):
            return value
        try:
            return moment_s(str(value), time.time())
        except ValueError:
            return self.fail(
                f"{value!r} is neither a time such as 2026-11-23T11:20 nor one ago such as 12h", param, ctx
            )


def moment_s(text: str, now_s: float) -> float:
    """Returns the Unix seconds of an ISO time, or of a time ago such as `90m`, `12h` or `7d`. Raises ValueError."""
    ago = AGO.fullmatch(text.strip())
    return now_s - float(ago[1]) * UNITS_S[ago[2]] if ago else unix(text.strip())


def with_options(options: tuple[Callable[[Decorated], Decorated], ...]) -> Callable[[Decorated], Decorated]:
    """Returns a decorator that adds all `options`, the first of them first in --help."""

    def add(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return add
