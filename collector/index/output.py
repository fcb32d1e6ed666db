"""Findings and differences for people and machines: a table on a terminal, plain lines in a pipe, JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import click
import msgspec

from collector.index.findings import Finding, State

COLUMNS: Final = ("server", "what", "name", "state")
COLOURS: Final = {
    State.IN_PLACE: "green",
    State.INSTALLED: "bold green",
    State.UPDATED: "bold green",
    State.NOT_HAD: "yellow",
    State.MISSING: "yellow",
    State.OLDER: "yellow",
    State.OTHER: "yellow",
    State.LACKING: "yellow",
}


def show(found: Sequence[tuple[str, Finding]], *, as_json: bool) -> None:
    """Prints the findings, each with the name of its sink. Indices that are in place are one line together."""
    if as_json:
        for sink, finding in found:
            line = {"sink": sink, "what": finding.what, "name": finding.name, "state": finding.state,
                    "words": finding.words}  # fmt: skip
            click.echo(msgspec.json.encode(line).decode())
        return
    rows = shortened(found)
    if sys.stdout.isatty():
        _draw(rows)
    else:
        for sink, finding in rows:
            click.echo("  ".join(str(cell) for cell in (sink, *finding) if cell))


def shortened(found: Iterable[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
    """Returns the findings with the indices in place counted instead of listed: there may be hundreds."""
    rest: list[tuple[str, Finding]] = []
    counts: dict[str, int] = {}
    for sink, finding in found:
        if finding.what == "index" and finding.state is State.IN_PLACE:
            counts[sink] = counts.get(sink, 0) + 1
        else:
            rest.append((sink, finding))
    return rest + [(sink, Finding("index", f"{n} indices", State.IN_PLACE)) for sink, n in counts.items()]


def _draw(rows: Iterable[tuple[str, Finding]]) -> None:
    """Draws a table, and below it what is said about its lines: sentences don't fit into columns."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - a pipe needs none of it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn, notes = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False), []
    for name in COLUMNS:
        drawn.add_column(name, no_wrap=True)
    for sink, finding in rows:
        colour = COLOURS.get(finding.state, "red")
        drawn.add_row(sink, finding.what, finding.name, Text(finding.state, style=colour))
        if finding.words:
            notes.append(Text(f"{finding.what} {finding.name}: {finding.words}", style=colour))
    console = Console()
    console.print(drawn)
    for note in notes:
        console.print(note)


def show_difference(lines: Iterable[str]) -> None:
    """Prints a unified diff; click leaves the colours out where nobody sees them."""
    for line in lines:
        heading = line.startswith(("---", "+++"))
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.secho(line, fg=None if heading else colour, bold=heading)
