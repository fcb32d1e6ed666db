"""`hltmode history`: past switches, and who is stuck, from the logs of one or many collectors or from an index."""

from __future__ import annotations

import math
import sys
import time
from typing import Final

import click
from msgspec.structs import replace

from collector.history.options import Place, which_place, which_switches
from collector.history.output import (
    PLAIN_COLUMNS,
    STUCK_COLUMNS,
    SUMMARY_COLUMNS,
    TERMINAL_COLUMNS,
    csv_lines,
    json_lines,
    outcome_lines,
    plain_rows,
    stuck_csv_lines,
    stuck_rows,
    summary_rows,
    terminal_rows,
)
from collector.history.past import NodeNow, Switchover
from collector.history.questions import Wish, stuck_nodes, summarize
from collector.history.stores import Answer
from collector.tables import draw, plain, show

SHOWN: Final = 50

# Of a node that nobody has heard of for longer, nobody knows whether it is stuck now.
HEARD_WITHIN_S: Final = 3600.0


@click.command(
    epilog="Examples: hltmode history --since 7d --slowest 10 --phase drain; hltmode history --log fu1.sqlite "
    "--log fu2.sqlite --summary; hltmode history --index --config node.toml --stuck. Exit codes: 0 shown (perhaps "
    "nothing), 1 a file is no log, 2 wrong usage, 3 configuration, 5 no log, or the index can't be asked."
)
@which_place
@which_switches(SHOWN)
@click.option("--stuck", is_flag=True, help="Instead: the nodes that are stuck now, heard of in the last hour.")
@click.option("--summary", is_flag=True, help="Counts of outcomes, and p50, p95 and max of each phase.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
def history(*, place: Place, wish: Wish, stuck: bool, summary: bool, as_json: bool, as_csv: bool) -> None:
    """Show past switches: when, which node, how it ended, how long each phase took, who asked and why.

    Reads the logs of collectors, also while they are written, or asks an index server: options and answers are the
    same. Durations are seconds, times UTC. A switch that is in several of the logs is shown once. Of a node with
    unmodified hltd switches are observed: nobody knows who asked, and a duration that nobody saw is left out.
    """
    if as_csv and (as_json or summary):
        raise click.UsageError("--csv goes neither with --json nor with --summary")
    if stuck and (summary or wish.slowest or wish.outcomes or wish.who != "*"):
        raise click.UsageError("--stuck goes with none of --summary, --slowest, --outcome and --who")
    if stuck:
        _show_stuck(_stuck_now(place, wish), as_json=as_json, as_csv=as_csv)
        return
    with place.store() as store:
        answer = store.switches(wish)
    if summary:
        _show_summary(answer.switches, as_json=as_json)
    elif as_json:
        json_lines(answer.switches, click.echo)
    elif as_csv:
        csv_lines(answer.switches, click.echo)
    else:
        _show_table(answer)


def _show_table(answer: Answer) -> None:
    if sys.stdout.isatty():
        draw(TERMINAL_COLUMNS, terminal_rows(answer.switches))
    else:
        plain(PLAIN_COLUMNS, plain_rows(answer.switches), click.echo)
    click.echo(f"{len(answer.switches)} of {answer.total} switches", err=True)


def _show_summary(found: list[Switchover], *, as_json: bool) -> None:
    summaries = summarize(found)
    if as_json:
        json_lines(summaries, click.echo)
        return
    for line in outcome_lines(summaries):
        click.echo(line)
    show(SUMMARY_COLUMNS, summary_rows(summaries))


def _stuck_now(place: Place, wish: Wish) -> list[NodeNow]:
    if math.isinf(wish.since_s):
        wish = replace(wish, since_s=time.time() - HEARD_WITHIN_S)
    with place.store() as store:
        return stuck_nodes(store.nodes(wish), wish, place.limits)


def _show_stuck(found: list[NodeNow], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        json_lines(found, click.echo)
    elif as_csv:
        stuck_csv_lines(found, click.echo)
    else:
        show(STUCK_COLUMNS, stuck_rows(found))
        click.echo(f"{len(found)} nodes are stuck", err=True)
