"""All benchmarks one after the other, ending in one table of ratios: `make bench`.

A ratio says how much of what a promise allows was used: up to 1 is good. `--write` puts the figures into a Markdown
file with the commands that made them; with `--only` it keeps there what the other benchmarks had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, amount, new_console
from benchmarks.processes import module

Answer = tuple[str, list[Figure]]

BROKEN: Final = 1  # the exit code of a benchmark whose promise is broken
RUNS: Final[dict[str, tuple[str, ...]]] = {
    "exactly_once": (),
    "farm_load": (),
    "farm_load --cluster": ("--minutes", "5"),
    "node_cost": ("--minutes", "60"),
    "backlog": (),
    "index_size": (),
    "history_at_scale": (),
    "panel_load": ("--minutes", "2"),
    "fleet": (),
}
HEAD: Final = """\
# Benchmarks

Each promise beside what was measured on a machine of {machine}. Everything ran on this one machine: servers, agents
and whoever measured. A ratio says how much of what a promise allows was used: up to 1.00 is good. Where nothing is
allowed there is none.

| benchmark | what | promise | measured | ratio | | detail | hltd or others | date |
|---|---|---|---|---|---|---|---|---|
"""
TAIL: Final = """
`make bench` runs all of them, one after the other:

```
{commands}
```
"""


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(RUNS)), help="Only this one; may be repeated.")
@click.option("--write", "path", type=click.Path(path_type=Path), help="A Markdown file for the table.")
def main(only: tuple[str, ...], path: Path | None) -> None:
    """Run all benchmarks; exit code 1 when a promise is broken."""
    console = new_console(as_json=False)
    answers = list(run(console, only or tuple(RUNS)))
    console.print(ratios(answers))
    if path is not None:
        path.write_text(page(answers, path.read_text() if path.exists() else ""))
    sys.exit(not all(figure.good for _, figures in answers for figure in figures))


def run(console: Console, names: Sequence[str]) -> Iterator[Answer]:
    """Yields the figures of each benchmark; they tell how it goes on stderr."""
    for number, name in enumerate(names, 1):
        console.print(f"[bold]{number} of {len(names)}: {command(name)}")
        program, *options = name.split()
        done = subprocess.run(
            module(f"benchmarks.{program}", *options, *RUNS[name], "--json"), stdout=subprocess.PIPE, check=False
        )
        if done.returncode not in (0, BROKEN) or not done.stdout:
            yield name, [Figure("ended without an answer", 0, done.returncode or 1, "", "see what it said")]
            continue
        yield name, [Figure(**each) for each in json.loads(done.stdout)]


def command(name: str) -> str:
    """Returns what one types to have this benchmark alone."""
    program, *options = name.split()
    return " ".join(["python -m", f"benchmarks.{program}", *options, *RUNS[name]])


def ratios(answers: Sequence[Answer]) -> Table:
    """Returns what was promised, as one table."""
    table = Table("Benchmark", "What", "Promise", "Measured", "Ratio", "")
    for name, figures in answers:
        for figure in figures:
            if figure.promise is not None:
                sign = f"[{'green' if figure.good else 'red'}]{figure.sign}[/]"
                table.add_row(name, figure.what, figure.promised, measured(figure), ratio(figure), sign)
    return table


def page(answers: Sequence[Answer], before: str) -> str:
    """Returns the Markdown page with these answers, and those of the page `before` of benchmarks that did not run."""
    machine = f"{os.cpu_count()} cores and {psutil.virtual_memory().total / 2**30:.0f} GiB"
    today = time.strftime("%Y-%m-%d", time.gmtime())
    rows = {name: [line for line in before.splitlines() if line.startswith(f"| {name} |")] for name in RUNS}
    for name, figures in answers:
        rows[name] = [row(name, figure, today) for figure in figures]
    lines = [line for name in RUNS for line in rows[name]]
    commands = "\n".join(command(name) for name in RUNS if rows[name])
    return HEAD.format(machine=machine) + "\n".join(lines) + "\n" + TAIL.format(commands=commands)


def row(name: str, figure: Figure, date: str) -> str:
    """Returns one line of the Markdown table."""
    cells = (name, figure.what, figure.promised, measured(figure), ratio(figure), figure.sign)
    return f"| {' | '.join([*cells, figure.detail, figure.others, date])} |"


def measured(figure: Figure) -> str:
    """Returns what was measured, with its unit."""
    return f"{amount(figure.measured)} {figure.unit}".rstrip()


def ratio(figure: Figure) -> str:
    """Returns the ratio, or nothing where there is none."""
    return "" if figure.ratio is None else f"{figure.ratio:.2f}"


if __name__ == "__main__":
    main()
