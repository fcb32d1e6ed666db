"""The commands that keep nodes out of every operation, and let them in again."""

from __future__ import annotations

from contextlib import closing

import click
import msgspec

from contract.options import WORDS
from fleet.farm import Farm
from fleet.hosts import folded
from fleet.looks import show_holds
from fleet.options import PLAIN_CODES, json_option, of_farm, who_option
from fleet.store import Store
from fleet.tables import new_console
from fleet.targets import Which, chosen, of_hosts


@click.command(
    epilog="Example: hltmode fleet hold fu-c2f01-01-01 --reason 'new disk'. Exit codes: 0 done, 2 wrong usage."
)
@of_hosts
@who_option
@click.option("--reason", type=WORDS, required=True, help="Why nobody may switch them.")
@of_farm
def hold(which: Which, who: str, reason: str, farm: Farm) -> None:
    """Have no operation take these nodes until they are released."""
    names = chosen(which, farm).hosts
    with closing(Store(farm.store)) as store:
        store.hold(names, who, reason)
    click.echo(f"{len(names)} on hold: {folded(names)}")


@click.command(epilog=f"Example: hltmode fleet holds. {PLAIN_CODES}")
@of_farm
@json_option
def holds(farm: Farm, as_json: bool) -> None:
    """List the nodes on hold: since when, by whom and why."""
    with closing(Store(farm.store)) as store:
        found = store.holds().values()
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(each))
    else:
        show_holds(new_console(), found)


@click.command(epilog="Example: hltmode fleet release fu-c2f01-01-01. Exit codes: 0 done, 2 wrong usage.")
@of_hosts
@of_farm
def release(which: Which, farm: Farm) -> None:
    """Let operations take these nodes again."""
    with closing(Store(farm.store)) as store:
        click.echo(f"{store.release(chosen(which, farm).hosts)} released")
