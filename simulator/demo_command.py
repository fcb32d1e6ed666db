"""`hltmode demo`: one BU and four filter units switch between HLT and cloud before your eyes."""

from __future__ import annotations

import io
import os
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

from contract.errors import Unreadable
from simulator import faults
from simulator.daemons import working
from simulator.demo_story import CORES, Check, Seen, checks, story
from simulator.demo_view import Progress, picture, plain_row, verdict
from simulator.farm import Farm, remove

LOOK_EVERY_S: Final = 0.2
VM_DELAYS: Final = {"*": {"start": {"delay_s": 2}, "stop": {"delay_s": 2}}}
STORED_WITHIN_S: Final = 10.0
LUMISECTION_S: Final = 1.0
SVG_WIDTH: Final = 144
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
        faults.write(farm.units[0].files.faults, VM_DELAYS)
        told = _tell(farm, console)
        if any(step.failed for step in told.steps):
            _explain(farm, told.seen)
            return False
        found = _verdict(farm)
        history = Text.from_ansi(_history(farm, colour=console.is_terminal))
        console.print("\nEvery switch, from the stores of the four collectors:", style="bold")
        console.print(history, soft_wrap=True)
        console.print("What had to be seen:", style="bold")
        console.print(verdict(found))
        if svg:
            _save(svg, told, Text.from_ansi(_history(farm, colour=True)), found)
        if stay:
            _stay(farm)
    return all(check.met for check in found)


def _tell(farm: Farm, console: Console) -> Told:
    """Goes through the story; stops at the first step that isn't over in time."""
    hosts = [unit.host for unit in farm.units]
    done: list[Progress] = []
    seen: Seen = [None] * len(hosts)
    middle: Group | None = None
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    teller = _Teller(hosts, live)
    with live or nullcontext():
        for number, step in enumerate(story(hosts)):
            teller.begin(step.title)
            begun_s = time.monotonic()
            step.act(farm)
            over_s: float | None = None
            while time.monotonic() < (begun_s + step.within_s if over_s is None else over_s + step.hold_s):
                seen = [unit.status() for unit in farm.units]
                if over_s is None and step.over(seen):
                    over_s = time.monotonic()
                    done.append(Progress(step.title, over_s - begun_s))
                    if number == PICTURED_STEP:
                        middle = picture(hosts, seen, done)
                teller.show(seen, done if over_s else [*done, Progress(step.title, None)])
                time.sleep(LOOK_EVERY_S)
            if over_s is None:
                done.append(Progress(step.title, None, failed=True))
                teller.show(seen, done)
                break
    return Told(seen, done, middle)


class _Teller:
    """Tells the story: as a live picture, or in plain lines when there is no terminal."""

    def __init__(self, hosts: Sequence[str], live: Live | None) -> None:
        self._hosts = hosts
        self._live = live
        self._shown: dict[str, str] = {}

    def begin(self, title: str) -> None:
        """Says which step begins."""
        if self._live is None:
            click.echo(title)

    def show(self, seen: Seen, steps: Sequence[Progress]) -> None:
        """Shows how the nodes stand; in plain lines only those whose mode, cores or runs are others than before."""
        if self._live is not None:
            self._live.update(picture(self._hosts, seen, steps), refresh=True)
            return
        for host, status in zip(self._hosts, seen, strict=True):
            if status is None:
                continue
            key = f"{status.mode}{status.tokens}{[run.number for run in status.runs]}"
            if self._shown.get(host) != key:
                self._shown[host] = key
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
            len(_history(farm, "--json").splitlines()),
        )
        if all(check.met for check in found) or time.monotonic() > end_s:
            return found
        time.sleep(LOOK_EVERY_S)


def _history(farm: Farm, *options: str, colour: bool = False) -> str:
    """Returns what `hltmode history` says about all nodes."""
    logs = [word for unit in farm.units for word in ("--log", str(unit.files.paths.log))]
    command = [sys.executable, "-m", "hltmode", "history", *logs, *options]
    environment = os.environ | {"COLUMNS": str(SVG_WIDTH)} | ({"FORCE_COLOR": "1"} if colour else {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise Unreadable(f"history: {done.stderr.strip()}")
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


def _save(svg: Path, told: Told, history: Text, found: Sequence[Check]) -> None:
    """Saves the picture of the middle, the history and the verdict; showing it fetches no font from anywhere."""
    console = Console(record=True, width=SVG_WIDTH, file=io.StringIO(), force_terminal=True)
    if told.middle is not None:
        console.print(told.middle)
    console.print("\n[bold]Every switch, from the stores of the four collectors:[/]")
    console.print(history)
    console.print("[bold]What had to be seen:[/]")
    console.print(verdict(found))
    svg.write_text(re.sub(r"@font-face\s*\{[^}]*\}", "", console.export_svg(title="hltmode demo")))
