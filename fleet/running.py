"""Runs an operation before people's eyes, to its exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, TypeVar

import click
import msgspec
from rich.console import Console

from contract.errors import Interrupted, nobody_reads
from contract.modes import Wanted
from fleet.client import connected
from fleet.engine import Engine
from fleet.farm import Farm
from fleet.node_sets import BadHosts
from fleet.onlooking import Onlooker
from fleet.operation import Operation, counts, nobody_again
from fleet.order import Order
from fleet.ordering import earlier_s, ordered
from fleet.rollout import EXIT_CODES, Verdict
from fleet.standing import Standing
from fleet.store import Store
from fleet.tables import new_console, show_plan, show_result
from fleet.view import View, node_event

Result = TypeVar("Result")
SAID_EVERY_S: Final = 5.0


def order_all(hosts: Sequence[str], farm: Farm, to: Wanted, order: Order, *, as_json: bool, of: str = "") -> None:
    """Has `hosts` go `to` where they are wanted, and ends with the exit code of what came of it."""
    with closing(Store(farm.store)) as store:
        found = watching(lambda tell: ordered(farm, store, hosts, to, order, of=of, tell=tell))
        operation = found.begin(store)
        with leaving(store, operation):
            if as_json:
                click.echo(json.dumps(begun(operation, found.plan.left_out)))
            else:
                show_plan(new_console(), found.plan)
            run_operation(store, operation, farm, found.earlier_s, as_json=as_json)


def show_all(hosts: Sequence[str], farm: Farm, to: Wanted, order: Order, *, as_json: bool) -> None:
    """Shows what it would mean to have `hosts` go `to` where they are wanted; nobody is asked."""
    with closing(Store(farm.store)) as store:
        found = watching(lambda tell: ordered(farm, store, hosts, to, order, tell=tell))
    if as_json:
        click.echo(msgspec.json.encode(found.plan))
    else:
        show_plan(new_console(), found.plan)


def again(operation: Operation, hosts: Sequence[str], to: Wanted, farm: Farm, order: Order, *, as_json: bool) -> None:
    """Has `hosts` of an earlier operation go `to` somewhere, found where it found them."""
    if not hosts:
        raise BadHosts(nobody_again(operation, to))
    farm = farm._replace(places={host: operation.places[host] for host in hosts})
    order_all(hosts, farm, to, order, as_json=as_json, of=operation.id)


def begun(operation: Operation, left_out: Mapping[str, str]) -> dict[str, object]:
    """Returns the first event of an operation; `left_out` is who was named and is not asked, and why."""
    words = {name: getattr(operation, name) for name in ("id", "to", "who", "reason", "of", "created_s", "limit_s")}
    return {"event": "begun", **words, "nodes": len(operation.order), "left_out": dict(left_out)}


def run_operation(
    store: Store, operation: Operation, farm: Farm, earlier: Sequence[float] | None = None, *, as_json: bool
) -> None:
    """Runs an operation and ends with its exit code; Ctrl-C and SIGTERM leave it for `watch`.

    `earlier` is how many seconds nodes took in earlier ones, where that was read already.
    """
    times = earlier_s(store, operation) if earlier is None else earlier

    async def run(view: View) -> Operation:
        task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, lambda: task and task.cancel())
        async with connected(farm.token, farm.trust) as client:
            return await Engine(store, operation, client, view.tell).run()

    with leaving(store, operation):
        with View(new_console(), as_json=as_json, earlier_s=times) as view:
            operation = asyncio.run(run(view))
        end(store, operation, as_json=as_json)


@contextmanager
def leaving(store: Store, operation: Operation) -> Iterator[None]:
    """Leaves an operation for `watch` when its operator goes away (Ctrl-C, SIGTERM, the reader of a pipe)."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError):
            nobody_reads()
        now = store.operation(operation.id)
        if now.verdict:
            sys.exit(EXIT_CODES[now.verdict])
        waiting = sum(node.standing is Standing.WAITING for node in store.nodes(now).values())
        words = f"detached: {waiting} nodes wait to be asked; those that were asked go on by themselves"
        if store.runs(now):
            words = "not looked at any more; another process goes on with it"
        click.echo(f"{now.id} {words}; `hltmode fleet watch {now.id}` comes back", err=True)
        sys.exit(EXIT_CODES[Verdict.GOING_ON])


def look_on(store: Store, operation: Operation, *, as_json: bool) -> None:
    """Shows an operation that another process runs, until it is over or nobody runs it any more."""
    with leaving(store, operation):
        with View(new_console(), as_json=as_json, earlier_s=earlier_s(store, operation)) as view:
            operation = asyncio.run(Onlooker(store, operation, view.tell).run())
        if not operation.over:
            click.echo(f"{operation.id}: nobody runs it any more; `hltmode fleet watch {operation.id}` does", err=True)
        end(store, operation, as_json=as_json)


def look_back(store: Store, operation: Operation, *, as_json: bool) -> None:
    """Shows an operation that is over, and ends with its exit code."""
    with leaving(store, operation):
        if as_json:
            for node in store.nodes(operation).values():
                click.echo(json.dumps(node_event(node)))
        end(store, operation, as_json=as_json)


def end(store: Store, operation: Operation, *, as_json: bool) -> None:
    """Shows where an operation has ended, and ends with its exit code."""
    nodes = store.nodes(operation)
    if as_json:
        words = {"event": "over", "id": operation.id, "verdict": operation.verdict}
        click.echo(json.dumps({**words, "nodes": len(nodes), "counts": counts(nodes.values())}))
    else:
        show_result(new_console(), operation, nodes.values())
    sys.exit(EXIT_CODES[operation.verdict] if operation.verdict else EXIT_CODES[Verdict.GOING_ON])


def watching(work: Callable[[Callable[[int], None]], Coroutine[Any, Any, Result]]) -> Result:
    """Runs `work`, which looks at many nodes, and tells on stderr how far it is; in a pipe by a line now and then."""
    console = Console(stderr=True)
    said_s = time.monotonic()

    async def run() -> Result:
        with console.status("looking at the nodes") as status:

            def tell(n: int) -> None:
                nonlocal said_s
                words = f"looking at the nodes: {n} so far"
                if console.is_terminal:
                    status.update(words)
                elif time.monotonic() - said_s > SAID_EVERY_S:
                    said_s = time.monotonic()
                    click.echo(words, err=True)

            return await work(tell)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        raise Interrupted("interrupted while the nodes were looked at; nobody was asked") from None
