"""What the command lines of several rooms take as the value of an option. Imported by commands only."""

from __future__ import annotations

import math
from typing import Any, Final

import click


class Number(click.FloatRange):
    """A number within limits; what is none (`nan`, `inf`) lies within no limits, and JSON could not keep it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number. Raises click.BadParameter."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


class Words(click.ParamType[str]):
    """Words for people; none at all tell nobody anything."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the words. Raises click.BadParameter."""
        words = str(value).strip()
        if not words:
            self.fail("some words are wanted", param, ctx)
        return words


WORDS: Final = Words()
POSITIVE: Final = Number(min=0, min_open=True)
