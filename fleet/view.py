"""An operation as people watch it: a live table in a terminal, plain lines in a pipe, JSON lines for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contract.modes import Wanted
from fleet.engine import Engine
from fleet.hosts import folded
from fleet.operation import Operation, counts
from fleet.plan import Plan
from fleet.standing import BAD, ENDED, GOOD, UNDER_WAY, NodeState, Standing

SLOWEST: Final = 8
PLAIN_EVERY_S: Final = 2.0
PIPE_WIDTH: Final = 1000
COLOURS: Final = {
    Standing.DONE: "green",
    Standing.ALREADY: "green",
    Standing.SWITCHING: "cyan",
    Standing.ASKED: "cyan",
    Standing.WAITING: "dim",
    Standing.LEFT_OUT: "dim",
    Standing.GOING_ON: "yellow",
    Standing.SUPERSEDED: "yellow",
}
BAD_COLOUR: Final = "bold red"


def new_console() -> Console:
    """Returns a console for stdout; a pipe gets lines that are not cut."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def direction(to: Wanted) -> str:
    """Returns which way an operation goes, for people."""
    return "to the cloud" if to is Wanted.CLOUD else "back to HLT"


class View:
    """Shows an engine's changes. As a context it keeps the live table."""

    def __init__(self, console: Console, *, as_json: bool) -> None:
        self._console = console
        self._as_json = as_json
        self._live: Live | None = None
        self._told: dict[str, NodeState] = {}
        self._said = ""
        self._said_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._as_json:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, engine: Engine) -> None:
        """Shows what has changed."""
        if self._as_json:
            for host, node in engine.nodes.items():
                if self._told.get(host) != node:
                    self._told[host] = node
                    print(json.dumps({"event": "node", **msgspec.to_builtins(node)}), flush=True)  # noqa: T201
            return
        if self._live:
            self._live.update(picture(engine))
            return
        words = summary(engine.nodes.values())
        if words != self._said and time.monotonic() - self._said_s > PLAIN_EVERY_S:
            self._said, self._said_s = words, time.monotonic()
            self._console.print(words)


def summary(nodes: Iterable[NodeState]) -> str:
    """Returns the counts in a line."""
    return ", ".join(f"{n} {standing.value}" for standing, n in counts(nodes).items())


def picture(engine: Engine) -> Group:
    """Returns the live table: progress, counts, and the nodes that take longest with what they wait for."""
    operation, nodes = engine.operation, list(engine.nodes.values())
    ended = sum(node.standing in ENDED for node in nodes)
    head = Text(f"{operation.id}: {len(nodes)} nodes {direction(operation.to)}", style="bold")
    head.append(f"   {engine.doing.value}, stage {engine.stage + 1}{_eta(nodes, ended)}", style="dim")
    bar = ProgressBar(total=len(nodes), completed=ended, width=60)
    numbers = Text()
    for standing, n in counts(nodes).items():
        numbers.append(f"{n} {standing.value}   ", style=BAD_COLOUR if standing in BAD else COLOURS.get(standing, ""))
    return Group(head, bar, numbers, slowest(nodes))


def slowest(nodes: Iterable[NodeState]) -> Table:
    """Returns those under way that were asked first, and what they wait for."""
    now_s = time.time()
    under_way = [node for node in nodes if node.standing in UNDER_WAY]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "mode", "for", "waits for"):
        table.add_column(heading, no_wrap=heading != "waits for")
    for node in sorted(under_way, key=lambda each: each.asked_s or now_s)[:SLOWEST]:
        waits = node.blocker or node.words
        style = BAD_COLOUR if node.stuck else ""
        table.add_row(node.host, node.mode or "", f"{now_s - (node.asked_s or now_s):.0f} s", waits, style=style)
    return table


def _eta(nodes: list[NodeState], ended: int) -> str:
    asked = [node.asked_s for node in nodes if node.asked_s is not None]
    if not asked or not ended or ended == len(nodes):
        return ""
    left_s = (time.time() - min(asked)) / ended * (len(nodes) - ended)
    return f", about {left_s:.0f} s left"


def show_result(console: Console, operation: Operation, nodes: Iterable[NodeState]) -> None:
    """Prints where every node ended, in groups, the bad ones with their reasons."""
    states = list(nodes)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("nodes", "", "which", "why"):
        table.add_column(heading)
    for standing in counts(states):
        some = [node for node in states if node.standing is standing]
        by_words: dict[str, list[str]] = {}
        for node in some:
            by_words.setdefault("" if standing in GOOD else node.words, []).append(node.host)
        for words, hosts in sorted(by_words.items(), key=lambda each: -len(each[1]))[:SLOWEST]:
            style = BAD_COLOUR if standing in BAD else COLOURS.get(standing, "")
            table.add_row(str(len(hosts)), Text(standing.value, style=style), folded(hosts), words)
    verdict = operation.verdict.value if operation.verdict else "not over"
    console.print(f"{operation.id}: {len(states)} nodes {direction(operation.to)}: {verdict}", style="bold")
    console.print(table)
    if uncertain := sum(not node.certain for node in states):
        console.print(f"{uncertain} of them speak only hltd's URLs and keep no journal: less certain", style="yellow")


def show_plan(console: Console, made: Plan) -> None:
    """Prints the stages of a plan: who is asked, what must end, how long it may take, and what stays in HLT."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("stage", "nodes", "jobs to end", "expected", "HLT after", "cores"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("which")
    for number, stage in enumerate(made.stages, 1):
        jobs = f"{stage.jobs}" + (f" + {stage.jobs_unknown} nodes?" if stage.jobs_unknown else "")
        cores = f"{stage.cores_after}" + (f" + {stage.cores_unknown} nodes?" if stage.cores_unknown else "")
        share = f"{stage.hlt_after} ({stage.hlt_after / made.nodes:.0%})"
        table.add_row(
            str(number), str(len(stage.hosts)), jobs, span(stage.expected_s), share, cores, folded(stage.hosts)
        )
    asked = sum(len(stage.hosts) for stage in made.stages)
    before = f"{made.hlt_before} with {made.cores_before} cores are in HLT now"
    console.print(f"{asked} of {made.nodes} nodes {direction(made.to)}; {before}")
    console.print(table)
    _tell_expected(console, made)
    if already := sum(stage.already for stage in made.stages):
        console.print(f"{already} of them are there already, or on the way", style="dim")
    if silent := sum(stage.silent for stage in made.stages):
        console.print(f"{silent} of them do not answer: each is tried for {span(made.limit_s)}", style="yellow")
    if made.less_certain:
        words = "speak only hltd's URLs and keep no journal, less certain"
        console.print(f"{len(made.less_certain)} of them {words}: {folded(made.less_certain)}", style="yellow")
    reasons: dict[str, list[str]] = {}
    for host, why in made.left_out.items():
        reasons.setdefault(why, []).append(host)
    for why, hosts in reasons.items():
        console.print(f"left out ({len(hosts)}), {why}: {folded(hosts)}", style="dim")


def _tell_expected(console: Console, made: Plan) -> None:
    if made.median_s is None or made.slow_s is None:
        console.print(f"no earlier operation tells how long it takes; each node has {span(made.limit_s)}", style="dim")
        return
    nodes = f"{made.earlier} nodes took {span(made.median_s)} before, one in twenty more than {span(made.slow_s)}"
    whole = f"about {span(made.expected_s)} in all; " if made.expected_s is not None else ""
    console.print(whole + nodes, style="dim")


def span(seconds: float | None) -> str:
    """Returns such as `45 s`, `2:05 min` or `1:02:00 h`; a question mark for None."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
