"""The commands that have nodes switch, or look after an operation that does."""

from __future__ import annotations

from contextlib import closing

import click

from contract.modes import Wanted
from fleet.completion import operation_argument
from fleet.farm import Farm
from fleet.operation import changed, missed, open_words
from fleet.options import (
    CODES,
    PLAIN_CODES,
    TO,
    dry_option,
    json_option,
    of_farm,
    of_order,
    resume_option,
)
from fleet.order import Order
from fleet.running import again, look_back, look_on, order_all, run_operation, show_all
from fleet.standing import Standing
from fleet.store import Store, Taken
from fleet.targets import Which, chosen, of_hosts


@click.command(
    epilog=f"Example: hltmode fleet exclude 'fu-c2f[01-40]-[01-08]' --ramp 1,5%,25%,100% --reason gap. {CODES}"
)
@of_hosts
@of_farm
@of_order
@dry_option
@resume_option
@json_option
def exclude(which: Which, farm: Farm, order: Order, dry_run: bool, resumed: str, as_json: bool) -> None:
    """Ask nodes to leave for the cloud."""
    if resumed:
        _resume(resumed, Wanted.CLOUD, which, farm, as_json=as_json)
    (show_all if dry_run else order_all)(*chosen(which, farm), Wanted.CLOUD, order, as_json=as_json)


@click.command(epilog=f"Example: hltmode fleet include 'fu-c2f[01-40]-[01-08]' --reason 'beam is back'. {CODES}")
@of_hosts
@of_farm
@of_order
@dry_option
@resume_option
@json_option
def include(which: Which, farm: Farm, order: Order, dry_run: bool, resumed: str, as_json: bool) -> None:
    """Ask nodes to come back to the trigger."""
    if resumed:
        _resume(resumed, Wanted.HLT, which, farm, as_json=as_json)
    (show_all if dry_run else order_all)(*chosen(which, farm), Wanted.HLT, order, as_json=as_json)


@click.command(epilog=f"Example: hltmode fleet plan cloud 'fu-c2f[01-40]-[01-08]' --keep 5. {PLAIN_CODES}")
@click.argument("to", type=click.Choice(list(TO)))
@of_hosts
@of_farm
@of_order
@json_option
def plan(to: str, which: Which, farm: Farm, order: Order, as_json: bool) -> None:
    """Show what an operation would do, stage by stage; nobody is asked."""
    show_all(*chosen(which, farm), TO[to], order, as_json=as_json)


@click.command(epilog=f"Example: hltmode fleet watch last. {CODES}")
@operation_argument(default="last")
@of_farm
@json_option
def watch(operation: str, farm: Farm, as_json: bool) -> None:
    """Come back to an operation: one that another process runs is looked at, one that nobody runs is carried on."""
    _come_back(operation, farm, as_json=as_json)


@click.command(epilog=f"Example: hltmode fleet resume last. {CODES}")
@operation_argument(default="last")
@of_farm
@json_option
def resume(operation: str, farm: Farm, as_json: bool) -> None:
    """Carry on an operation whose tool was killed; the same as `watch`."""
    _come_back(operation, farm, as_json=as_json)


def _resume(operation: str, to: Wanted, which: Which, farm: Farm, *, as_json: bool) -> None:
    if which.words or which.files or which.sources:
        raise click.UsageError(f"--resume {operation} knows its nodes; name none")
    with closing(Store(farm.store)) as store:
        if store.operation(operation).to is not to:
            raise click.UsageError(f"--resume {operation}: that one goes the other way")
    _come_back(operation, farm, as_json=as_json)


def _come_back(operation: str, farm: Farm, *, as_json: bool) -> None:
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        if found.over:
            look_back(store, found, as_json=as_json)
        if store.runs(found):
            look_on(store, found, as_json=as_json)
        run_operation(store, found, farm, as_json=as_json)


@click.command(epilog="Example: hltmode fleet cancel last. Exit codes: 0 called off, 2 no such operation.")
@operation_argument()
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


@click.command(epilog=f"Example: hltmode fleet undo last. {CODES}")
@operation_argument()
@of_farm
@of_order
@json_option
def undo(operation: str, farm: Farm, order: Order, as_json: bool) -> None:
    """Ask those nodes back that an operation has moved, or may have moved; no others."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        hosts = changed(store.nodes(found))
    to = Wanted.HLT if found.to is Wanted.CLOUD else Wanted.CLOUD
    again(found, hosts, to, farm, order, as_json=as_json)


@click.command(epilog=f"Example: hltmode fleet retry last. {CODES}")
@operation_argument()
@of_farm
@of_order
@json_option
def retry(operation: str, farm: Farm, order: Order, as_json: bool) -> None:
    """Ask those nodes once more that an operation could not bring where they were wanted."""
    with closing(Store(farm.store)) as store:
        found = store.operation(operation)
        if not found.over:
            raise Taken(open_words(found))
        hosts = missed(store.nodes(found))
    again(found, hosts, found.to, farm, order, as_json=as_json)
