"""`hltmode collector log`: how the log stands, sending again what was sent, and dead letters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import click
import msgspec

from collector.log import upkeep as log_upkeep
from collector.log.output import show_dead, show_standing, standing_json
from collector.options import Decorated, Moment, with_options
from contract.config import load

CODES: Final = "2 wrong usage, 3 configuration, 5 no log, or no such sink."
NOTE: Final = "a running collector begins with its next sample"


def which_log(command: Decorated) -> Decorated:
    """Adds the options that say which log."""
    return with_options(
        (
            click.option("--config", "path", type=click.Path(path_type=Path), help="The node's TOML file."),
            click.option("--log", "log", type=click.Path(path_type=Path), help="The log itself, above --config."),
        )
    )(command)


def which_sink(command: Decorated) -> Decorated:
    """Adds the option that says which sink."""
    return click.option("--sink", help="Its name in [[sink]]; needed where there are several.")(command)


@click.group("log")
def log_group() -> None:
    """The collector's log: its standing, sending again, dead letters."""


@log_group.command(
    epilog="Example: hltmode collector log status --config /etc/hltmode/node.toml. "
    f"Exit codes: 0 all accounts add up, 1 one does not, {CODES}"
)
@which_log
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(path: Path | None, log: Path | None, as_json: bool) -> None:
    """Show what the log holds, and for each sink: captured = delivered + dead + dropped + backlog."""
    standing = log_upkeep.standing(_log(path, log))
    if as_json:
        click.echo(standing_json(standing))
    else:
        show_standing(standing)
    if not all(sink.adds_up for sink in standing.sinks.values()):
        raise SystemExit(1)


@log_group.command(
    epilog="Example: hltmode collector log replay --sink index --since 2026-11-23T08:00 --until 2026-11-23T10:00. "
    f"Exit codes: 0 captured again, {CODES}"
)
@which_log
@which_sink
@click.option("--since", type=Moment(), required=True, help="Made at or after: an ISO time, or 90m, 12h, 7d ago.")
@click.option("--until", type=Moment(), default=math.inf, help="Made before.")
def replay(path: Path | None, log: Path | None, sink: str | None, since: float, until: float) -> None:
    """Send again what was made in a time range.

    Ids and indices never change, so nothing is doubled; what the server still has stays as it is.
    """
    if since > until:
        raise click.UsageError("--since lies after --until: nothing can be between them")
    where = _log(path, log)
    name = log_upkeep.sink_named(where, sink)
    n = log_upkeep.replay(where, name, since, until)
    click.echo(f"{n} documents are to be sent to {name} again; {NOTE}")


@log_group.command(
    epilog=f"Example: hltmode collector log dead --retry --config /etc/hltmode/node.toml. Exit codes: 0 done, {CODES}"
)
@which_log
@which_sink
@click.option("--retry", "again", is_flag=True, help="Send them again, those that the log still has.")
@click.option("--forget", is_flag=True, help="Take them off the list.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def dead(path: Path | None, log: Path | None, sink: str | None, again: bool, forget: bool, as_json: bool) -> None:
    """List the documents that a sink has refused for good, with its reason."""
    if again and forget:
        raise click.UsageError("--retry goes not with --forget")
    where = _log(path, log)
    name = log_upkeep.sink_named(where, sink)
    if again:
        click.echo(f"{log_upkeep.retry(where, name)} documents are to be sent to {name} again; {NOTE}")
    elif forget:
        click.echo(f"{log_upkeep.forget(where, name)} dead letters of {name} forgotten")
    elif as_json:
        for letter in log_upkeep.dead_letters(where, name):
            click.echo(msgspec.json.encode(letter).decode())
    else:
        show_dead(log_upkeep.dead_letters(where, name))


def _log(path: Path | None, log: Path | None) -> Path:
    return log or load(path).paths.log
