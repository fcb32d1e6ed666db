"""The demo's live picture: a table of nodes and the steps of the story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from contract.modes import MODES, Mode
from simulator.demo_story import Check
from switcher.view import Status


class Progress(NamedTuple):
    """A step of the story: seconds it took, None while it is still under way."""

    title: str
    took_s: float | None
    failed: bool = False


def picture(hosts: Sequence[str], seen: Sequence[Status | None], steps: Sequence[Progress]) -> Group:
    """Returns the table of nodes above the steps so far."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for name, width in (("Node", 9), ("Mode", 17), ("Cores", 16), ("Run", 5), ("LS", 3), ("Age", 6)):
        table.add_column(name, min_width=width, justify="right" if name in ("Run", "LS", "Age") else "left")
    table.add_column("Waits for", ratio=1, min_width=44, no_wrap=True)
    for host, status in zip(hosts, seen, strict=True):
        table.add_row(*(_row(host, status)))
    return Group(table, *(_step(step) for step in steps))


def _row(host: str, status: Status | None) -> tuple[Text | str, ...]:
    if status is None:
        return (host, Text("no answer", style="dim"), "", "", "", "", "")
    newest = max(status.runs, key=lambda run: run.number, default=None)
    lumisection = str(newest.queue.CMSSWMaxLS) if newest and newest.queue.CMSSWMaxLS > 0 else ""
    waits = status.blocker or (f"remembers run {status.waiting_run}" if status.waiting_run else "")
    return (
        host,
        Text(f"● {status.mode.value}", style=f"bold {MODES[status.mode].colour}"),
        _cores(status.tokens),
        str(newest.number) if newest else "",
        lumisection,
        f"{status.mode_age_s:.1f} s" if status.mode is not Mode.HLT or status.mode_age_s < 60 else "",
        waits,
    )


def _cores(tokens: dict[str, int]) -> str:
    words = {"idle": "idle", "online": "at work", "except": "broken", "quarantined": "quarantined", "cloud": "cloud"}
    return ", ".join(f"{count} {words[state]}" for state, count in tokens.items() if count)


def _step(step: Progress) -> Text:
    if step.failed:
        return Text(f" ✗ {step.title}", style="bold red")
    if step.took_s is None:
        return Text(f" … {step.title}", style="bold")
    return Text.assemble((" ✓ ", "green"), step.title, (f"  {step.took_s:.1f} s", "dim"))


def plain_row(host: str, status: Status) -> str:
    """Returns one node as a line for a pipe."""
    runs = ", ".join(str(run.number) for run in status.runs) or "none"
    blocker = f", waits for {status.blocker}" if status.blocker else ""
    return f"{host}: {status.mode.value}, {_cores(status.tokens)}, run {runs}{blocker}"


def verdict(checks: Sequence[Check]) -> Group:
    """Returns the checks, one a line."""
    return Group(*(_check(check) for check in checks))


def _check(check: Check) -> Text:
    return Text.assemble((" ✓ ", "green") if check.met else (" ✗ ", "bold red"), check.title)
