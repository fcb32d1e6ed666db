"""The commands that only look: how nodes stand, and what was done before."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from typing import Final

import click
import msgspec
from ClusterShell.NodeSet import NodeSet
from rich.console import Console
from rich.table import Table

from contract.modes import MODES
from contract.times import iso
from fleet.client import Look, NodeStatus, Old, connected
from fleet.hosts import folded, place_of
from fleet.operation import counts
from fleet.options import PLAIN_CODES, Farm, json_option, of_farm
from fleet.running import watching
from fleet.store import Store
from fleet.survey import mode_of, survey
from fleet.tables import new_console
from fleet.targets import Which, chosen, of_hosts

LISTED: Final = ("id", "to", "who", "reason", "created_s", "of", "verdict")


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
        click.echo("\n".join(hosts) if one_a_line else str(NodeSet.fromlist(hosts)))


@click.command(epilog=f"Example: hltmode fleet status 'fu-c2f[01-40]-[01-08]'. {PLAIN_CODES}")
@of_hosts
@of_farm
@json_option
def status(which: Which, farm: Farm, as_json: bool) -> None:
    """Show in which mode the nodes are, by appliance, and who is stuck or does not answer."""
    names, farm = chosen(which, farm)

    async def look(tell: Callable[[int], None]) -> dict[str, Look]:
        async with connected(farm.token) as client:
            return await survey(client, names, farm.places, tell)

    looks = watching(look)
    if as_json:
        for host, found in looks.items():
            words = msgspec.to_builtins(found) | {"host": host, "mode": mode_of(found), "kind": type(found).__name__}
            click.echo(json.dumps(words))
        return
    _show_status(new_console(), looks, farm)


@click.command(epilog=f"Example: hltmode fleet history. {PLAIN_CODES}")
@of_farm
@json_option
def history(farm: Farm, as_json: bool) -> None:
    """List the operations: who, when, which way, and how each ended."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("operation", "when", "to", "nodes", "ended", "who", "reason", ""):
        table.add_column(heading)
    with closing(Store(farm.store)) as store:
        for each in store.operations():
            nodes = counts(store.nodes(each).values())
            if as_json:
                words = {name: getattr(each, name) for name in LISTED}
                click.echo(json.dumps(words | {"nodes": {standing.value: n for standing, n in nodes.items()}}))
                continue
            ended = each.verdict.value if each.verdict else "not over"
            numbers = ", ".join(f"{n} {standing.value}" for standing, n in nodes.items())
            when = iso(each.created_s)[:19].replace("T", " ")
            table.add_row(each.id, when, each.to.value, str(len(each.order)), ended, each.who, each.reason, numbers)
    if not as_json:
        new_console().print(table)


def _show_status(console: Console, looks: dict[str, Look], farm: Farm) -> None:
    by_appliance: dict[str, list[str]] = defaultdict(list)
    for host, look in looks.items():
        named = look.appliance if isinstance(look, NodeStatus) else ""
        place = farm.places.get(host)
        by_appliance[named or (place.appliance if place else "")].append(host)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("appliance")
    for mode in MODES:
        table.add_column(mode.value, justify="right")
    table.add_column("no answer", justify="right")
    for appliance, hosts in [*sorted(by_appliance.items()), ("all", list(looks))]:
        modes = [mode_of(looks[host]) for host in hosts]
        table.add_row(appliance or "?", *(str(modes.count(mode) or "") for mode in MODES), str(modes.count(None) or ""))
    console.print(table)
    for host, look in looks.items():
        if isinstance(look, NodeStatus) and look.stuck:
            words = f"stuck in {look.mode_name} for {look.mode_age_s:.0f} s, waits for: {look.blocker}"
            console.print(f"{host}: {words}", style="bold red")
    silent = [host for host in looks if mode_of(looks[host]) is None]
    if silent:
        console.print(f"no answer: {folded(silent)}", style="red")
    if old := [host for host, look in looks.items() if isinstance(look, Old)]:
        console.print(f"only hltd's URLs, less certain: {folded(old)}", style="yellow")
