"""Rows of words as a table on a terminal, as aligned plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import click

Row = Sequence[str]
Print = Callable[[str], None]

WRAPPED: Final = ("phases s", "who and why", "waits for")


def show(columns: Row, rows: Sequence[Row]) -> None:
    """Prints a table on a terminal, plain lines in a pipe."""
    if sys.stdout.isatty():
        draw(columns, rows)
    else:
        plain(columns, rows, click.echo)


def draw(columns: Row, rows: Iterable[Row]) -> None:
    """Draws a table on the terminal."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - a pipe needs none of it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        wraps = name in WRAPPED
        drawn.add_column(name, justify="right" if name.endswith(" s") and not wraps else "left", no_wrap=not wraps)
    for row in rows:
        drawn.add_row(*(Text(cell, style=_colour(cell)) for cell in row))
    Console().print(drawn)


def _colour(cell: str) -> str:
    if cell == "done":
        return "green"
    return "red" if cell in ("refused", "vms_failed") or cell.endswith("(stuck)") else ""


def plain(columns: Row, rows: Iterable[Row], put: Print) -> None:
    """Prints aligned columns."""
    every = [columns, *rows]
    widths = [max(len(row[at]) for row in every) for at in range(len(columns))]
    for row in every:
        put("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
