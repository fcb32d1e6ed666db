"""Writes dashboards, rules and provisioning of a site, and the targets of its hosts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from contract.durable import replace_durably
from contract.errors import HltmodeError, Surroundings, Unreadable
from dashboards.addresses import Addresses
from dashboards.files import files
from dashboards.provisioning.prometheus import TARGETS
from dashboards.provisioning.targets import PORT, read_hosts, target_file

FOLDER: Final = Path(__file__).parent
OUTPUT: Final = FOLDER / "prometheus" / TARGETS / "hltmode.json"
DEFAULTS: Final = Addresses()
BAD_HOSTS: Final = 2


@click.group()
def main() -> None:
    """Dashboards, rules and the configuration around them, as code."""


@main.command(
    epilog="Example: python -m dashboards write --folder site --alertmanager am-1:9093. "
    "Exit codes: 0 written or as they should be, 1 --check found another, 2 wrong usage."
)
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, help="Where they are written.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 when a file is another.")
@click.option("--runbooks", default=DEFAULTS.runbooks, show_default=True, help="Where docs/runbooks.md is read.")
@click.option("--grafana", default=DEFAULTS.grafana, show_default=True, help="For links in alerts.")
@click.option("--prometheus", default=DEFAULTS.prometheus, show_default=True, help="For Grafana.")
@click.option("--alertmanager", default=DEFAULTS.alertmanager, show_default=True, help="For Prometheus.")
@click.option(
    "--follower", default=DEFAULTS.follower, help="Where `hltmode fleet follow` is scraped, such as fleet-1:9110; none."
)
@click.option("--elasticsearch", default=DEFAULTS.elasticsearch, show_default=True, help="For Grafana.")
@click.option("--opensearch", default=DEFAULTS.opensearch, show_default=True, help="For Grafana.")
@click.option("--webhooks", default=DEFAULTS.webhooks, show_default=True, help="For Alertmanager.")
def write(folder: Path, check: bool, **addresses: str) -> None:
    """Write the files of a site."""
    stale = []
    for name, content in files(Addresses(**addresses)).items():
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


@main.command(
    epilog="Example: python -m dashboards targets hosts.txt --output /etc/prometheus/targets/farm.json. "
    "Exit codes: 0 written, 2 a line of HOSTS_FILE is wrong and nothing is written, 5 not to be written."
)
@click.argument("hosts_file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default=OUTPUT, help="Replaced as a whole.")
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True, help="Of the collectors.")
@click.option("--domain", default="", help="What follows the hosts' names in their addresses, such as cms.example.")
def targets(hosts_file: Path, output: Path, port: int, domain: str) -> None:
    """Write the targets of Prometheus from lines `host appliance`; for a BU's collector that is the BU's name twice."""
    try:
        found = read_hosts(_text(hosts_file), str(hosts_file))
        _replace(output, target_file(found, port=port, domain=domain.lstrip(".")))
    except HltmodeError as error:
        click.echo(f"targets: {error}", err=True)
        sys.exit(BAD_HOSTS if isinstance(error, Unreadable) else error.exit_code)
    click.echo(f"{output}: {len(found)} targets")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not text: {error.reason}") from error


def _replace(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path, text.encode())
    except OSError as error:
        raise Surroundings(f"{path}: cannot be written ({error.strerror}); name another with --output") from error


if __name__ == "__main__":
    main()
