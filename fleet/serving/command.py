"""`hltmode fleet serve`: the fleet tool over HTTP, and a page of the farm."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from contract.options import Number
from fleet.farm import Farm
from fleet.options import of_farm

PORT: Final = 9800
STREAMS: Final = 64


@click.command(
    epilog="Example: hltmode fleet serve --nodes farm.txt --clients-token-file token. Exit codes: 0 ended by SIGTERM, "
    "2 wrong usage, 3 a token can't be read, 5 the store, the port or a file is not to be had."
)
@of_farm
@click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="As which it is called; may be repeated.")
@click.option(
    "--clients-token-file",
    type=click.Path(path_type=Path),
    envvar="HLTMODE_FLEET_CLIENTS_TOKEN_FILE",
    help="Who bears the token in it may act. Without it the server only shows.",
)
@click.option("--certificate", type=click.Path(path_type=Path), help="PEM file for HTTPS; with --key.")
@click.option("--key", type=click.Path(path_type=Path), help="PEM file with the certificate's key.")
@click.option(
    "--every",
    "every_s",
    type=Number(0.5, 600.0),
    default=5.0,
    show_default=True,
    help="Seconds between two looks at a node.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, 10_000),
    default=STREAMS,
    show_default=True,
    help="Readers of events at once; of connections there may be four times as many, 256 at least.",
)
def serve(farm: Farm, clients_token_file: Path | None, **entrance: object) -> None:
    """Offer all of this over HTTP as JSON, and a page of the farm at /, until SIGTERM.

    GET /openapi.json describes it. Everybody who reaches it may look; acting takes the token. What was begun goes on
    without the client, and a server that is killed and started again carries it on.
    """
    if not farm.places:
        raise click.UsageError("--nodes is wanted: the file says which nodes the farm has")
    if (entrance["certificate"] is None) != (entrance["key"] is None):
        raise click.UsageError("--certificate and --key go together")
    from fleet.serving.server import Entrance, run  # noqa: PLC0415 - other commands need no server

    run(farm, clients_token_file, Entrance(**entrance))  # type: ignore[arg-type]  # click has checked what it passes on
