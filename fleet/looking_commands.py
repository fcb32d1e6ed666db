"""The commands that only look: how nodes stand, and what was done before."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing

import click
import msgspec

from fleet.client import Look, NodeStatus, connected
from fleet.farm import Farm
from fleet.hosts import expand, folded_whole, place_of
from fleet.journal_lines import JournalLine
from fleet.looks import Why, look_words, show_history, show_status, show_why
from fleet.options import PLAIN_CODES, json_option, of_farm
from fleet.past import part, past
from fleet.running import watching
from fleet.store import Store
from fleet.survey import survey
from fleet.tables import new_console
from fleet.targets import Which, chosen, of_hosts


@click.command(
    epilog="Example: hltmode fleet nodes --from boxes:/fff/ramdisk/appliance/boxes --mode HLT. "
    "Exit codes: 0 shown, 2 wrong usage or no such node, 3 configuration, 5 a source that can't be asked."
)
@of_hosts
@of_farm
@click.option("--expand", "one_a_line", is_flag=True, help="One name a line.")
@json_option
def nodes(which: Which, farm: Farm, one_a_line: bool, as_json: bool) -> None:
    """Say which nodes are meant; nothing is done to them."""
    hosts, farm = chosen(which, farm)
    if as_json:
        for host in hosts:
            place = place_of(host, farm.places)
            click.echo(json.dumps({"host": host, "appliance": place.appliance, "address": place.address}))
    else:
        click.echo("\n".join(hosts) if one_a_line else folded_whole(hosts))


@click.command(epilog=f"Example: hltmode fleet status 'fu-c2f[01-40]-[01-08]'. {PLAIN_CODES}")
@of_hosts
@of_farm
@json_option
def status(which: Which, farm: Farm, as_json: bool) -> None:
    """Show in which mode the nodes are, by appliance, and who is stuck or does not answer."""
    names, farm = chosen(which, farm)

    async def look(tell: Callable[[int], None]) -> dict[str, Look]:
        async with connected(farm.token, farm.trust) as client:
            return await survey(client, names, farm.places, tell)

    looks = watching(look)
    if as_json:
        for host, found in looks.items():
            click.echo(msgspec.json.encode(look_words(host, found)))
        return
    show_status(new_console(), looks, farm)


@click.command(epilog=f"Example: hltmode fleet history --limit 5. {PLAIN_CODES}")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="So many of the newest.")
@of_farm
@json_option
def history(limit: int, farm: Farm, as_json: bool) -> None:
    """List the operations: who, when, why, which way, how each ended, and how long it took."""
    with closing(Store(farm.store)) as store:
        found = [past(each, store.nodes(each).values()) for each in store.operations(newest=limit)]
    if as_json:
        for each in found:
            click.echo(msgspec.json.encode(each))
    else:
        show_history(new_console(), found)


@click.command(epilog=f"Example: hltmode fleet why fu-c2f01-01-01. {PLAIN_CODES}")
@click.argument("node")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="So much of each.")
@of_farm
@json_option
def why(node: str, limit: int, farm: Farm, as_json: bool) -> None:
    """Tell why one node is as it is: how it stands, its last operations, and the end of its journal."""
    (host,) = one = expand([node], farm.places)[:1]
    with closing(Store(farm.store)) as store:
        parts = [part(each, store.nodes(each)[host]) for each in store.operations(newest=limit, host=host)]
        hold = store.holds().get(host)
    place = place_of(host, farm.places)

    async def look(_tell: Callable[[int], None]) -> tuple[Look, list[JournalLine]]:
        async with connected(farm.token, farm.trust) as client:
            seen = (await survey(client, one, farm.places, lambda _n: None))[host]
            if not isinstance(seen, NodeStatus):
                return seen, []
            lines, _ = await client.journal(place, max(0, seen.journal_seq - limit), seen.journal_seq)
            return seen, lines

    seen, lines = watching(look)
    if as_json:
        words = {"host": host, "address": place.address, "held": hold, "parts": parts, "journal": lines}
        click.echo(msgspec.json.encode(words | {"status": look_words(host, seen)}))
    else:
        show_why(new_console(), host, Why(seen, hold, parts, lines))
