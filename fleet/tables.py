"""What is printed of a plan, an operation's end and its past: tables for people, the same words in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from contract.modes import Wanted
from contract.request import printable
from fleet.hosts import folded
from fleet.operation import Operation, counts
from fleet.plan import Plan, Stage
from fleet.standing import BAD, GOOD, NodeState, Standing

REASONS: Final = 8
WORKING: Final = 2  # nodes of a stage whose jobs are named
NARROW: Final = 100
PIPE_WIDTH: Final = 1000
LONGEST: Final = 400
MARK: Final = "~"
LESS_CERTAIN: Final = "speak only hltd's URLs and keep no journal: less certain"
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


class Printer(Console):
    """A console that leaves it to the command what happens when nobody reads any more; rich would end with 1."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError."""
        raise BrokenPipeError


def new_console() -> Console:
    """Returns a console for stdout; a pipe gets lines that are not cut."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    # Reasons and blockers are others' words: `[/b]` in them is no markup, `:x:` no picture.
    return Printer(width=width, highlight=False, markup=False, emoji=False)


def new_table(*headings: str, right: Iterable[str] = ()) -> Table:
    """Returns a table without lines; numbers stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    numbers = set(right)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=heading in numbers)
    return table


def put(console: Console, shown: RenderableType) -> None:
    """Prints a table; in a pipe its lines end where their words do."""
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        console.out(line.rstrip())


def plain(words: str) -> str:
    """Returns what a node says without letters that a terminal would obey."""
    return printable(words, LONGEST)


def direction(to: Wanted) -> str:
    """Returns which way an operation goes, for people."""
    return "to the cloud" if to is Wanted.CLOUD else "back to HLT"


def colour_of(standing: Standing) -> str:
    """Returns in which colour a class is written."""
    return BAD_COLOUR if standing in BAD else COLOURS.get(standing, "")


def summary(nodes: Iterable[NodeState]) -> str:
    """Returns the counts in a line."""
    return ", ".join(f"{n} {standing.value}" for standing, n in counts(nodes).items())


def show_result(console: Console, operation: Operation, nodes: Iterable[NodeState]) -> None:
    """Prints where every node ended, in groups, the bad ones with their reasons."""
    states = list(nodes)
    table = new_table("nodes", "", "which", "why", right=("nodes",))
    for standing in counts(states):
        by_words: dict[str, list[str]] = {}
        for node in (node for node in states if node.standing is standing):
            by_words.setdefault("" if standing in GOOD else node.words, []).append(node.host)
        reasons = sorted(by_words.items(), key=lambda each: -len(each[1]))
        for words, hosts in reasons[:REASONS]:
            table.add_row(str(len(hosts)), Text(standing.value, style=colour_of(standing)), folded(hosts), plain(words))
        if rest := [host for _, hosts in reasons[REASONS:] for host in hosts]:
            standing_words = Text(standing.value, style=colour_of(standing))
            table.add_row(str(len(rest)), standing_words, folded(rest), f"{len(reasons) - REASONS} more reasons")
    verdict = operation.verdict.value if operation.verdict else "not over"
    console.print(f"{operation.id}: {len(states)} nodes {direction(operation.to)}: {verdict}", style="bold")
    put(console, table)
    if uncertain := [node.host for node in states if not node.certain]:
        console.print(f"{MARK} {len(uncertain)} of them {LESS_CERTAIN}: {folded(uncertain)}", style="yellow")


def show_plan(console: Console, made: Plan) -> None:
    """Prints the stages of a plan: who is asked, what must end, how long it may take, and what stays in HLT."""
    numbers = ("stage", "nodes", "jobs to end", "expected", "HLT after", "cores")
    narrow = console.width < NARROW
    table = new_table(*numbers, *([] if narrow else ["which"]), right=numbers)
    for number, stage in enumerate(made.stages, 1):
        jobs = f"{stage.jobs}" + (f" + {stage.jobs_unknown} nodes?" if stage.jobs_unknown else "")
        cores = f"{stage.cores_after}" + (f" + {stage.cores_unknown} nodes?" if stage.cores_unknown else "")
        share = f"{stage.hlt_after} ({stage.hlt_after / made.nodes:.0%})"
        row = (str(number), str(len(stage.hosts)), jobs, span(stage.expected_s), share, cores)
        table.add_row(*row, *([] if narrow else [folded(stage.hosts)]))
    asked = sum(len(stage.hosts) for stage in made.stages)
    before = f"{made.hlt_before} with {made.cores_before} cores are in HLT now"
    console.print(f"{asked} of {made.nodes} nodes {direction(made.to)}; {before}")
    put(console, table)
    for number, stage in enumerate(made.stages if narrow else (), 1):
        console.print(f"stage {number}: {folded(stage.hosts)}")
    for number, stage in enumerate(made.stages, 1):
        for line in _jobs_lines(stage):
            console.print(f"stage {number}: {line}", style="dim")
    _tell_expected(console, made)
    _tell_nodes(console, made)
    reasons: dict[str, list[str]] = {}
    for host, why in made.left_out.items():
        reasons.setdefault(why, []).append(host)
    for why, hosts in reasons.items():
        console.print(f"left out ({len(hosts)}), {why}: {folded(hosts)}", style="dim")


def _tell_nodes(console: Console, made: Plan) -> None:
    """Prints what is peculiar about those who are asked."""
    if already := sum(stage.already for stage in made.stages):
        console.print(f"{already} of them are there already, or on the way", style="dim")
    if silent := sum(stage.silent for stage in made.stages):
        console.print(f"{silent} of them do not answer: each is tried for {span(made.limit_s)}", style="yellow")
    for words in made.others:
        console.print(words, style="yellow")
    if made.less_certain:
        words = f"{MARK} {len(made.less_certain)} of them {LESS_CERTAIN}: {folded(made.less_certain)}"
        console.print(words, style="yellow")


def _jobs_lines(stage: Stage) -> Iterator[str]:
    """Yields which jobs must end, of the first few nodes; `--json` names all."""
    for host, runs in islice(stage.working.items(), WORKING):
        words = (f"{len(pids)} jobs of run {run}, pid {', '.join(map(str, pids))}" for run, pids in runs.items())
        yield f"{host} ends {'; '.join(words)}"
    if (more := len(stage.working) - WORKING) > 0:
        yield f"and jobs of {more} more nodes, which --json names"


def _tell_expected(console: Console, made: Plan) -> None:
    if made.median_s is None:
        console.print(f"no earlier operation tells how long it takes; each node has {span(made.limit_s)}", style="dim")
        return
    slow = f", one in twenty more than {span(made.slow_s)}" if made.slow_s is not None else ""
    nodes = f"{made.earlier} nodes took {span(made.median_s)} before{slow}"
    whole = f"about {span(made.expected_s)} in all; " if made.expected_s is not None else ""
    console.print(whole + nodes, style="dim")


def span(seconds: float | None) -> str:
    """Returns such as `75 s`, `2:05 min` or `1:02:00 h`; a question mark for None."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
