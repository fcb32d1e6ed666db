"""Starts one fetched server for somebody to try things on: `python -m tests.servers.run opensearch-3.4.0`.

It prints the server's address and stays until Ctrl-C; then the server ends and its data is gone.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from contract.errors import HltmodeError
from tests.servers.releases import RELEASES, Product
from tests.servers.server import IndexServer, Security
from tests.servers.settings import User

NAMES: Final = [release.name for release in RELEASES]


@click.command(
    epilog="Example: python -m tests.servers.run opensearch-3.4.0. Exit codes: 0 ended by Ctrl-C, 2 wrong usage, "
    "5 not fetched, or no Java, 6 not up in time."
)
@click.argument("name", type=click.Choice(NAMES))
@click.option("--secure", is_flag=True, help="With TLS and the users admin, writer and reader: Elasticsearch only.")
def main(name: str, *, secure: bool) -> None:
    """Start the server NAME on loopback, say where it is, and end it with Ctrl-C."""
    release = next(each for each in RELEASES if each.name == name)
    if secure and release.product is Product.OPENSEARCH:
        raise click.UsageError("the OpenSearch archives have no security plugin: --secure goes with an Elasticsearch")
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)  # a shell's background has SIGINT ignored
    try:
        with (
            suppress(KeyboardInterrupt),
            IndexServer(release, security=Security() if secure else None) as server,
            tempfile.TemporaryDirectory(prefix=f"{name}-users-") as folder,
        ):
            click.echo(server.url)
            if server.ca_file:
                click.echo(f"--ca-file {server.ca_file}")
            for line in secret_options(server.users.values(), Path(folder)):
                click.echo(line)
            click.echo("up; Ctrl-C ends it", err=True)
            while True:
                signal.pause()
    except HltmodeError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


def secret_options(users: Iterable[User], folder: Path) -> list[str]:
    """Writes name and password of each user to `folder`, and returns the options that hand them to hltmode."""
    lines = []
    for user in users:
        named, secret = folder / user.name, folder / f"{user.name}.password"
        named.write_text(f"{user.name}\n")
        secret.touch(0o600)
        secret.write_text(f"{user.password}\n")
        lines.append(f"--username-file {named} --password-file {secret}")
    return lines


if __name__ == "__main__":
    main()
