"""`hltmode fleet`: asks many nodes to leave or to come back, watches them, and tells where each has ended."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from contract.modes import MODES, Wanted
from contract.times import iso
from fleet.client import Look, NodeStatus, Old, connected
from fleet.engine import Engine
from fleet.hosts import BadHosts, expand, folded
from fleet.operation import Operation, changed, counts
from fleet.options import TO, Farm, Order, of_farm, of_order
from fleet.ordering import ordered
from fleet.rollout import EXIT_CODES, Verdict
from fleet.standing import BAD, Standing
from fleet.store import Store, Taken
from fleet.survey import mode_of, survey
from fleet.view import View, new_console, show_plan, show_result

Result = TypeVar("Result")
CODES: Final = (
    "Exit codes: 0 every node is where it was wanted, 2 wrong usage or no node left, 4 another one has the operation "
    "or some of the nodes, 5 the store can't be used, 10 some nodes are not, 11 some are still on their way, "
    "12 stopped, too many were bad, 13 called off."
)
PLAIN_CODES: Final = "Exit codes: 0 shown, 2 wrong usage, 5 the store can't be used."

LISTED: Final = ("id", "to", "who", "reason", "created_s", "of", "verdict")

hosts_argument = click.argument("hosts", nargs=-1, required=True)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON lines for machines.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def fleet() -> None:
    """Ask many nodes at once and know the truth about each.

    HOSTS are sets as ClusterShell writes them ('fu-c2f[01-40]-[01-08]', '@group', 'a!b', 'a&b'), or - for stdin.
    """


@fleet.command(epilog=f"Example: hltmode fleet exclude 'fu-c2f[01-40]-[01-08]' --ramp 1,5%,100% --reason gap. {CODES}")
@hosts_argument
@of_farm
@of_order
@json_option
def exclude(hosts: tuple[str, ...], farm: Farm, order: Order, as_json: bool) -> None:
    """Ask nodes to leave for the cloud."""
    _order(hosts, Wanted.CLOUD, farm, order, as_json=as_json)


@fleet.command(epilog=f"Example: hltmode fleet include 'fu-c2f[01-40]-[01-08]' --reason 'beam is back'. {CODES}")
@hosts_argument
@of_farm
@of_order
@json_option
def include(hosts: tuple[str, ...], farm: Farm, order: Order, as_json: bool) -> None:
    """Ask nodes to come back to the trigger."""
    _order(hosts, Wanted.HLT, farm, order, as_json=as_json)


@fleet.command(epilog=f"Example: hltmode fleet plan cloud 'fu-c2f[01-40]-[01-08]' --keep 5. {PLAIN_CODES}")
@click.argument("to", type=click.Choice(list(TO)))
@hosts_argument
@of_farm
@of_order
@json_option
def plan(to: str, hosts: tuple[str, ...], farm: Farm, order: Order, as_json: bool) -> None:
    """Show what an operation would do, stage by stage; nobody is asked."""
    with closing(Store(farm.store)) as store:
        found = _watching(lambda tell: ordered(farm, store, expand(hosts, farm.places), TO[to], order, tell=tell))
    if as_json:
        click.echo(msgspec.json.encode(found.plan))
    else:
        show_plan(new_console(), found.plan)


@fleet.command(epilog=f"Example: hltmode fleet status 'fu-c2f[01-40]-[01-08]'. {PLAIN_CODES}")
@hosts_argument
@of_farm
@json_option
def status(hosts: tuple[str, ...], farm: Farm, as_json: bool) -> None:
    """Show in which mode the nodes are, by appliance, and who is stuck or does not answer."""
    names = expand(hosts, farm.places)

    async def look(tell: Callable[[int], None]) -> dict[str, Look]:
        async with connected(farm.token) as client:
            return await survey(client, names, farm.places, tell)

    looks = _watching(look)
    if as_json:
        for host, found in looks.items():
            words = msgspec.to_builtins(found) | {"host": host, "mode": mode_of(found), "kind": type(found).__name__}
            click.echo(json.dumps(words))
        return
    _show_status(new_console(), looks, farm)


@fleet.command(epilog=f"Example: hltmode fleet watch last. {CODES}")
@click.argument("operation", default="last")
@of_farm
@json_option
def watch(operation: str, farm: Farm, as_json: bool) -> None:
    """Come back to an operation; one that nobody runs any more is carried on."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        if found.over:
            _end(store, found, as_json=as_json)
        if store.runs(found):
            raise Taken(f"{found.id}: another process runs it and shows it; `cancel` calls it off")
        _run(store, found, farm, as_json=as_json)


@fleet.command(epilog="Example: hltmode fleet cancel last. Exit codes: 0 called off, 2 no such operation.")
@click.argument("operation")
@of_farm
def cancel(operation: str, farm: Farm) -> None:
    """Have an operation ask nobody any more; nodes that are on their way go on (see `undo`)."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        if found.over:
            click.echo(f"{found.id}: is over already: {found.verdict}")
            return
        store.call_off(found.id)
        if not store.runs(found):
            waiting = [node for node in store.nodes(found).values() if node.standing is Standing.WAITING]
            words = f"{len(waiting)} nodes are not asked; `hltmode fleet watch {found.id}` settles the rest"
            click.echo(f"{found.id}: {words}")
            return
    click.echo(f"{found.id}: called off")


@fleet.command(epilog=f"Example: hltmode fleet undo last. {CODES}")
@click.argument("operation")
@of_farm
@of_order
@json_option
def undo(operation: str, farm: Farm, order: Order, as_json: bool) -> None:
    """Ask those nodes back that an operation has moved, or may have moved; no others."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        hosts = changed(store.nodes(found))
    to = Wanted.HLT if found.to is Wanted.CLOUD else Wanted.CLOUD
    _again(found, hosts, to, farm, order, as_json=as_json)


@fleet.command(epilog=f"Example: hltmode fleet retry last. {CODES}")
@click.argument("operation")
@of_farm
@of_order
@json_option
def retry(operation: str, farm: Farm, order: Order, as_json: bool) -> None:
    """Ask those nodes once more that an operation could not bring where they were wanted."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        again = {*BAD, Standing.GOING_ON, Standing.LEFT_OUT}
        hosts = [host for host, node in store.nodes(found).items() if node.standing in again]
    _again(found, hosts, found.to, farm, order, as_json=as_json)


@fleet.command(epilog=f"Example: hltmode fleet history. {PLAIN_CODES}")
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


@fleet.command(
    epilog="Example: hltmode fleet hold fu-c2f01-01-01 --reason 'new disk'. Exit codes: 0 done, 2 wrong usage."
)
@hosts_argument
@click.option("--who", default="", help="Who wants it so.")
@click.option("--reason", required=True, help="Why nobody may switch them.")
@of_farm
def hold(hosts: tuple[str, ...], who: str, reason: str, farm: Farm) -> None:
    """Have no operation take these nodes until they are released."""
    names = expand(hosts, farm.places)
    with closing(Store(farm.store)) as store:
        store.hold(names, who or "somebody", reason)
    click.echo(f"{len(names)} on hold: {folded(names)}")


@fleet.command(epilog="Example: hltmode fleet release fu-c2f01-01-01. Exit codes: 0 done, 2 wrong usage.")
@hosts_argument
@of_farm
def release(hosts: tuple[str, ...], farm: Farm) -> None:
    """Let operations take these nodes again."""
    with closing(Store(farm.store)) as store:
        click.echo(f"{store.release(expand(hosts, farm.places))} released")


def _order(hosts: Sequence[str], to: Wanted, farm: Farm, order: Order, *, as_json: bool, of: str = "") -> None:
    names = expand(hosts, farm.places)
    with closing(Store(farm.store)) as store:
        found = _watching(lambda tell: ordered(farm, store, names, to, order, of=of, tell=tell))
        operation = found.begin(store)
        if not as_json:
            show_plan(new_console(), found.plan)
        _run(store, operation, farm, as_json=as_json)


def _again(operation: Operation, hosts: Sequence[str], to: Wanted, farm: Farm, order: Order, *, as_json: bool) -> None:
    if not hosts:
        raise BadHosts(f"{operation.id}: there is no such node in it")
    farm = farm._replace(places={host: operation.places[host] for host in hosts})
    _order(hosts, to, farm, order, as_json=as_json, of=operation.id)


def _run(store: Store, operation: Operation, farm: Farm, *, as_json: bool) -> None:
    """Runs an operation and ends with its exit code; Ctrl-C and SIGTERM leave it for `watch`."""

    async def run(view: View) -> Operation:
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())
        async with connected(farm.token) as client:
            return await Engine(store, operation, client, view.tell).run()

    try:
        with View(new_console(), as_json=as_json) as view:
            operation = asyncio.run(run(view))
    except asyncio.CancelledError:
        waiting = sum(node.standing is Standing.WAITING for node in store.nodes(operation).values())
        words = f"detached: {waiting} nodes wait to be asked; those that were asked go on by themselves"
        click.echo(f"{operation.id} {words}; `hltmode fleet watch {operation.id}` comes back", err=True)
        sys.exit(EXIT_CODES[Verdict.GOING_ON])
    _end(store, operation, as_json=as_json)


def _end(store: Store, operation: Operation, *, as_json: bool) -> None:
    nodes = store.nodes(operation)
    if as_json:
        ended = {standing.value: n for standing, n in counts(nodes.values()).items()}
        click.echo(json.dumps({"event": "over", "id": operation.id, "verdict": operation.verdict, "nodes": ended}))
    else:
        show_result(new_console(), operation, nodes.values())
    sys.exit(EXIT_CODES[operation.verdict] if operation.verdict else EXIT_CODES[Verdict.GOING_ON])


def _watching(work: Callable[[Callable[[int], None]], Coroutine[Any, Any, Result]]) -> Result:
    """Runs `work`, which looks at many nodes, and tells on a terminal how far it is."""
    console = Console(stderr=True)

    async def run() -> Result:
        with console.status("looking at the nodes") as words:
            return await work(lambda n: words.update(f"looking at the nodes: {n}"))

    return asyncio.run(run())


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
            words = f"stuck in {look.mode.value} for {look.mode_age_s:.0f} s, waits for: {look.blocker}"
            console.print(f"{host}: {words}", style="bold red")
    silent = [host for host in looks if mode_of(looks[host]) is None]
    if silent:
        console.print(f"no answer: {folded(silent)}", style="red")
    if old := [host for host, look in looks.items() if isinstance(look, Old)]:
        console.print(f"only hltd's URLs, less certain: {folded(old)}", style="yellow")
