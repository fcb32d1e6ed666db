"""`hltmode demo`: one BU and four filter units switch between HLT and cloud before your eyes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from contract.errors import TimedOut
from simulator.daemons import working
from simulator.demo_story import CORES, Check, Seen, checks, story
from simulator.demo_view import Progress, picture, plain_row, verdict
from simulator.farm import Farm, remove

LOOK_EVERY_S: Final = 0.2
STORED_WITHIN_S: Final = 10.0
LUMISECTION_S: Final = 1.0
SVG_WIDTH: Final = 132
PICTURED_STEP: Final = 4  # two nodes in cloud, one on its way: the table shows most


class Told(NamedTuple):
    """How the story went: what was seen last, the steps, and the picture taken in the middle."""

    seen: Seen
    steps: list[Progress]
    middle: Group | None


@click.command(
    epilog="Example: hltmode demo --stay. Exit codes: 0 everything was seen that had to be, 1 something was not, "
    "5 a port or folder is not to be had."
)
@click.option("--stay", is_flag=True, help="Keep the farm up until Ctrl-C, for a look around.")
@click.option("--keep", is_flag=True, help="Keep the temporary folder with all files and logs.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Also save the picture as SVG.")
def demo(*, stay: bool, keep: bool, svg: Path | None) -> None:
    """Run a simulated appliance for about a minute: real processes, real files, real HTTP on loopback.

    Two nodes give their cores to the cloud and come back; a third is called back half-way.
    """
    root = Path(tempfile.mkdtemp(prefix="hltmode-demo-"))
    console = Console()
    click.echo(f"Everything of this demo lies in {root}")
    try:
        good = _run(root, console, stay=stay, svg=svg)
    except KeyboardInterrupt:
        click.echo("ended")
        good = False
    finally:
        if keep:
            click.echo(f"Kept: {root}")
        else:
            remove(root)
    sys.exit(0 if good else 1)


def _run(root: Path, console: Console, *, stay: bool, svg: Path | None) -> bool:
    with Farm(root, 4, cores=CORES, lumisection_s=LUMISECTION_S) as farm:
        told = _tell(farm, console)
        if any(step.failed for step in told.steps):
            _explain(farm, told.seen)
            return False
        found = _verdict(farm)
        table = _history(farm, "--summary") if console.is_terminal else _history(farm)
        console.print("\nSwitches, from the stores of the four collectors:", style="bold")
        console.print(Text.from_ansi(_history(farm)))
        if table:
            console.print(Text.from_ansi(table)) if console.is_terminal else None
        console.print("What had to be seen:", style="bold")
        console.print(verdict(found))
        if svg:
            _save(svg, told, _history(farm))
        if stay:
            _stay(farm)
    return all(check.met for check in found)


def _tell(farm: Farm, console: Console) -> Told:
    """Goes through the story; stops at the first step that isn't over in time."""
    hosts = [unit.host for unit in farm.units]
    done: list[Progress] = []
    seen: Seen = [None] * len(hosts)
    middle: Group | None = None
    shown: dict[str, str] = {}
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or nullcontext():
        for number, step in enumerate(story(hosts)):
            begun_s = time.monotonic()
            if live is None:
                click.echo(f"{step.title} ...")
            step.act(farm)
            over = False
            while not over and time.monotonic() < begun_s + step.within_s:
                seen = [unit.status() for unit in farm.units]
                over = step.over(seen)
                if live is not None:
                    live.update(picture(hosts, seen, [*done, Progress(step.title, None)]), refresh=True)
                else:
                    _plain(hosts, seen, shown)
                if not over:
                    time.sleep(LOOK_EVERY_S)
            done.append(Progress(step.title, time.monotonic() - begun_s, failed=not over))
            if number == PICTURED_STEP:
                middle = picture(hosts, seen, done)
            if not over:
                break
        if live is not None:
            live.update(picture(hosts, seen, done), refresh=True)
    return Told(seen, done, middle)


def _plain(hosts: Sequence[str], seen: Seen, shown: dict[str, str]) -> None:
    """Prints each node whose mode or cores have changed."""
    for host, status in zip(hosts, seen, strict=True):
        if status is None:
            continue
        key = f"{status.mode}{status.tokens}{[run.number for run in status.runs]}"
        if shown.get(host) != key:
            shown[host] = key
            click.echo(f"  {plain_row(host, status)}")


def _verdict(farm: Farm) -> list[Check]:
    """Returns the checks, once BU and collectors have caught up or have had the time to."""
    end_s = time.monotonic() + STORED_WITHIN_S
    while True:
        vms = sum(1 for unit in farm.units for _ in working(unit.files.paths.state_dir, "igniter"))
        found = checks(
            [unit.records() for unit in farm.units],
            [unit.status() for unit in farm.units],
            vms,
            farm.summary(),
            len(json.loads(_history(farm, "--json") or "[]")),
        )
        if all(check.met for check in found) or time.monotonic() > end_s:
            return found
        time.sleep(LOOK_EVERY_S)


def _history(farm: Farm, *options: str) -> str:
    """Returns what `hltmode history` says about all nodes."""
    logs = [word for unit in farm.units for word in ("--log", str(unit.files.paths.log))]
    command = [sys.executable, "-m", "hltmode", "history", *logs, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TimedOut(f"history: {done.stderr.strip()}")
    return done.stdout


def _explain(farm: Farm, seen: Seen) -> None:
    for unit, status in zip(farm.units, seen, strict=True):
        click.echo(plain_row(unit.host, status) if status else f"{unit.host}: no answer", err=True)
        log = (unit.files.config.parent / "switcher.log").read_text().splitlines()
        click.echo("\n".join(f"    {line}" for line in log[-8:]), err=True)


def _stay(farm: Farm) -> None:
    click.echo("\nThe farm stays up; Ctrl-C ends it. Try:")
    first = farm.units[0]
    click.echo(f"  curl http://{first.address}:9000/cgi-bin/exclude_cgi.py")
    click.echo(f"  curl http://{first.address}:9000/status")
    click.echo(f"  curl http://{first.address}:9109/metrics")
    click.echo(f"  hltmode mode --follow --file {first.files.paths.mode}")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo("")


def _save(svg: Path, told: Told, history: str) -> None:
    """Saves the picture of the middle and the history; no font is fetched from anywhere to show it."""
    console = Console(record=True, width=SVG_WIDTH, file=Path("/dev/null").open("w"), force_terminal=True)
    if told.middle is not None:
        console.print(told.middle)
    console.print()
    console.print(Text.from_ansi(history))
    text = console.export_svg(title="hltmode demo")
    svg.write_text(re.sub(r"@font-face\s*\{[^}]*\}", "", text))
