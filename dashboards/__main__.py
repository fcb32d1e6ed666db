"""Writes the dashboards and rule files; `--check` only says whether they are as they should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from dashboards.files import files
from dashboards.names import GRAFANA, RUNBOOKS

FOLDER: Final = Path(__file__).parent


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where they are written.")
@click.option("--runbooks", default=RUNBOOKS, help="Address under which docs/runbooks.md is found.")
@click.option("--grafana", default=GRAFANA, help="Address of the Grafana that shows the dashboards.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when a file is another.")
def main(folder: Path, runbooks: str, grafana: str, check: bool) -> None:
    """Write the dashboards, recording rules and alerts of a site."""
    stale = []
    for name, content in files(runbooks=runbooks, grafana=grafana).items():
        path = folder / name
        if path.exists() and path.read_text() == content:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    for name in stale:
        click.echo(f"{name}: {'is another' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
