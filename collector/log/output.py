"""The log's standing and its dead letters for people and machines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final

import click
import msgspec

from collector.log.upkeep import DeadLetter, Standing
from collector.tables import Row, plain, show
from contract.times import iso

KEPT_COLUMNS: Final = ("kind", "documents", "oldest", "newest")
SINK_COLUMNS: Final = (
    "sink", "captured", "delivered", "dead", "dropped", "backlog", "oldest waits", "dead letters", "adds up"
)  # fmt: skip
DEAD_COLUMNS: Final = ("number", "when", "kept", "index", "id", "reason")


def show_standing(standing: Standing) -> None:
    """Prints what the log holds and how each sink stands."""
    show(
        KEPT_COLUMNS,
        [(kind, str(kept.n), _time(kept.oldest_s), _time(kept.newest_s)) for kind, kept in standing.kept.items()],
    )
    show(SINK_COLUMNS, [_sink_row(name, standing) for name in standing.sinks])


def standing_json(standing: Standing) -> str:
    """Returns the standing as one JSON object."""
    sinks = {
        name: msgspec.to_builtins(each.account) | {"backlog": each.account.backlog, "adds_up": each.adds_up}
        for name, each in standing.sinks.items()
    }
    return msgspec.json.encode({"kept": standing.kept, "sinks": sinks}).decode()


def show_dead(letters: Iterable[DeadLetter]) -> None:
    """Prints dead letters: what it is and below it the reason, which fits into no column; in a pipe a line each."""
    if not sys.stdout.isatty():
        plain(DEAD_COLUMNS, [_dead_row(each) for each in letters], click.echo)
        return
    for each in letters:
        gone = "" if each.kept else "  (no longer in the log)"
        click.secho(f"{_time(each.time_s)}  {each.id}{gone}", bold=True)
        click.echo(f"    {each.index_name}: {each.reason}")


def _dead_row(each: DeadLetter) -> Row:
    kept = "yes" if each.kept else "no"
    return str(each.number), _time(each.time_s), kept, each.index_name, each.id, each.reason


def _sink_row(name: str, standing: Standing) -> Row:
    each = standing.sinks[name]
    account = each.account
    numbers = (account.captured, account.delivered, account.dead, account.dropped, account.backlog)
    waits = "-" if account.oldest_s is None else f"{max(0.0, time.time() - account.oldest_s):.0f} s"
    adds_up = "yes" if each.adds_up else f"no: {each.counted} counted"
    return (name, *(str(number) for number in numbers), waits, str(account.dead_letters), adds_up)


def _time(time_s: float | None) -> str:
    return "-" if time_s is None else iso(time_s)[:19].replace("T", " ")
