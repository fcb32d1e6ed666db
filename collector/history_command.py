"""`hltmode history`: past switches from the logs of one or many nodes."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import click

from collector.history import Wish, moment_s, select, summarize
from collector.history_output import (
    PLAIN_COLUMNS,
    SUMMARY_COLUMNS,
    TERMINAL_COLUMNS,
    csv_lines,
    draw,
    json_lines,
    outcome_lines,
    plain,
    plain_rows,
    summary_rows,
    terminal_rows,
)
from collector.reading import Switchover, switchovers
from contract.config import load

SHOWN = 50
Names = tuple[str, ...]


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


@click.command(
    epilog="Examples: hltmode history --since 7d --slowest 10; hltmode history --log fu1.sqlite --log fu2.sqlite "
    "--summary. Exit codes: 0 shown (perhaps nothing), 1 a file is no log, 2 wrong usage, 3 configuration, 5 no log."
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="The node's TOML file: its log is read.")
@click.option("--log", "logs", multiple=True, type=click.Path(path_type=Path), help="A log to read; may be repeated.")
@click.option("--since", type=Moment(), help="Started at or after: an ISO time, or 90m, 12h, 7d ago.")
@click.option("--until", type=Moment(), help="Started before.")
@click.option("--node", "nodes", multiple=True, metavar="PATTERN", help="Of these nodes only, such as 'fu-c2f01-*'.")
@click.option("--appliance", "appliances", multiple=True, metavar="PATTERN", help="Of these appliances only.")
@click.option("--outcome", "outcomes", multiple=True, help="Ended so: done, refused, superseded or vms_failed.")
@click.option("--who", default="*", metavar="PATTERN", help="Asked for by.")
@click.option("--slowest", type=click.IntRange(min=1), help="The N that took longest, slowest first.")
@click.option("--limit", type=click.IntRange(min=1), help=f"The newest N; {SHOWN} in a table, else all.")
@click.option("--summary", is_flag=True, help="Counts of outcomes, and p50, p95 and max of each phase.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
def history(  # noqa: PLR0913 - each is an option of the command
    *,
    path: Path | None,
    logs: tuple[Path, ...],
    since: float | None,
    until: float | None,
    nodes: Names,
    appliances: Names,
    outcomes: Names,
    who: str,
    slowest: int | None,
    limit: int | None,
    summary: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show past switches: when, which node, how it ended, how long each phase took, who asked and why.

    Reads the logs of collectors, also while they are written; durations are seconds, times UTC. A switch that is in
    several of the logs is shown once.
    """
    if as_csv and (as_json or summary):
        raise click.UsageError("--csv goes neither with --json nor with --summary")
    wish = Wish(
        since_s=-math.inf if since is None else since,
        until_s=math.inf if until is None else until,
        nodes=nodes,
        appliances=appliances,
        outcomes=outcomes,
        who=who,
        slowest=slowest or 0,
        limit=limit or (0 if summary or as_json or as_csv else SHOWN),
    )
    every = _read([*logs] if logs else [load(path).paths.log])
    found = select(every, wish)
    if summary:
        _show_summary(found, as_json=as_json)
    elif as_json:
        json_lines(found, click.echo)
    elif as_csv:
        csv_lines(found, click.echo)
    else:
        if sys.stdout.isatty():
            draw(TERMINAL_COLUMNS, terminal_rows(found))
        else:
            plain(PLAIN_COLUMNS, plain_rows(found), click.echo)
        click.echo(f"{len(found)} of {len(every)} switches", err=True)


def _read(logs: list[Path]) -> list[Switchover]:
    """Returns the switchovers of all `logs`, each once."""
    found: dict[str, Switchover] = {}
    for log in logs:
        found.update(switchovers(log))
    return list(found.values())


def _show_summary(found: list[Switchover], *, as_json: bool) -> None:
    summaries = summarize(found)
    if as_json:
        json_lines(summaries, click.echo)
        return
    for line in outcome_lines(summaries):
        click.echo(line)
    if sys.stdout.isatty():
        draw(SUMMARY_COLUMNS, summary_rows(summaries))
    else:
        plain(SUMMARY_COLUMNS, summary_rows(summaries), click.echo)
