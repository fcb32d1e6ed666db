"""`hltmode doctor`: says what this machine lacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from contract.config import load
from hltmode.doctor_checks import Finding, machine, node

MARKS: Final = {Finding.GOOD: ("✓", "green"), Finding.WARNING: ("!", "yellow"), Finding.BAD: ("✗", "red")}


@click.command(
    epilog="Example: hltmode doctor --config /etc/hltmode/node.toml. Exit codes: 0 nothing bad was found (warnings "
    "may be), 1 something was, 3 configuration."
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="Also check the node of this TOML file.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(path: Path | None, *, as_json: bool) -> None:
    """Say what this machine lacks; with a configuration, what its node lacks too."""
    checks = [*machine(), *(node(load(path)) if path else ())]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(checks)))
    else:
        for check in checks:
            mark, colour = MARKS[check.finding]
            click.echo(f"{click.style(mark, fg=colour)} {check.what:<22} {check.words}")
        if path is None:
            click.echo("With --config node.toml, folders, ports and programs of a node are checked too.")
    sys.exit(1 if any(check.finding is Finding.BAD for check in checks) else 0)
