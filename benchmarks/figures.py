"""A benchmark's answer: figures beside their promises, as a table for people or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, NoReturn

from rich.console import Console
from rich.table import Table

WIDTH: Final = 160


class Figure(NamedTuple):
    """One line of the answer; seconds, MiB or a count, as `unit` says.

    The promise is what it may be at most, or with `at_least` what it must reach; None promises nothing. `others` is
    what hltd or another program has for the same.
    """

    what: str
    promise: float | None
    measured: float
    unit: str
    detail: str = ""
    others: str = ""
    at_least: bool = False

    @property
    def good(self) -> bool:
        """Whether the promise is kept."""
        if self.promise is None:
            return True
        return self.measured >= self.promise if self.at_least else self.measured <= self.promise

    @property
    def ratio(self) -> float | None:
        """How much of what is allowed was used: up to 1 is good. None where nothing is promised, or nothing allowed."""
        if not self.promise:
            return None
        if self.at_least:
            return self.promise / self.measured if self.measured else None
        return self.measured / self.promise

    @property
    def promised(self) -> str:
        """The promise in words."""
        if self.promise is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {amount(self.promise)} {self.unit}".rstrip()

    @property
    def sign(self) -> str:
        """A mark for a promise that is kept, and one for a broken one."""
        return "" if self.promise is None else "✓" if self.good else "✗"


def amount(value: float) -> str:
    """Returns `value` with three digits, and whole numbers whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def new_console(*, as_json: bool) -> Console:
    """Returns where progress and tables go: to stderr when stdout is for JSON."""
    console = Console(stderr=as_json)
    return console if console.is_terminal else Console(stderr=as_json, width=WIDTH)


def table_of(figures: Iterable[Figure]) -> Table:
    """Returns the figures as a table."""
    table = Table("What", "Promise", "Measured", "", "Detail", "hltd or others")
    for figure in figures:
        sign = f"[{'green' if figure.good else 'red'}]{figure.sign}[/]" if figure.sign else ""
        measured = f"{amount(figure.measured)} {figure.unit}".rstrip()
        table.add_row(figure.what, figure.promised, measured, sign, figure.detail, figure.others)
    return table


def finish(console: Console, figures: Sequence[Figure], *, as_json: bool) -> NoReturn:
    """Shows the figures and ends the program, with exit code 1 when a promise is broken."""
    if as_json:
        print(json.dumps([figure._asdict() for figure in figures], indent=1))
    else:
        console.print(table_of(figures))
    sys.exit(not all(figure.good for figure in figures))
