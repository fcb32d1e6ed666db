"""Writes the rule files; `--check` only says whether they are as they should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from dashboards.rules.files import files

FOLDER: Final = Path(__file__).parents[1] / "prometheus"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where they are written.")
@click.option("--runbooks", help="Address under which docs/runbooks.md is found.")
@click.option("--dashboards", help="Address of the Grafana that shows the dashboards.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when a file is another.")
def main(folder: Path, runbooks: str | None, dashboards: str | None, check: bool) -> None:
    """Write the recording rules and the alerts of a site."""
    addresses = {name: text for name, text in (("runbooks", runbooks), ("dashboards", dashboards)) if text}
    stale = []
    for name, content in files(**addresses).items():
        path = folder / name
        if path.exists() and path.read_text() == content:
            continue
        stale.append(name)
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    for name in stale:
        click.echo(f"{name}: {'is another' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
