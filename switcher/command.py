"""`hltmode switcher run`: the daemon's process, from configuration to exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import click

from contract import lock
from contract.config import NodeConfig, load
from contract.errors import HltmodeError, Surroundings
from switcher.entrance import Entrance
from switcher.node import Switcher

log = logging.getLogger("switcher")


@click.group()
def switcher() -> None:
    """The daemon that switches this node between HLT and cloud."""


@switcher.command(
    epilog="Example: hltmode switcher run --config /etc/hltmode/node.toml. Exit codes: 0 ended by SIGTERM, "
    "3 configuration, 4 another switcher serves this node, 5 a folder or the port is not to be had."
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="The node's TOML file; without it, defaults.")
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="A value above the file's.")
@click.option("--verbose", is_flag=True, help="Log every detail.")
def run(path: Path | None, sets: tuple[str, ...], verbose: bool) -> None:
    """Serve this node until SIGTERM; SIGHUP reads the configuration again."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    config = load(path, sets=sets)
    if not config.paths.watch_dir.is_dir():
        raise Surroundings(f"{config.paths.watch_dir}: no such folder; make it or set node.watch_dir")
    try:
        config.paths.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Surroundings(
            f"{config.paths.state_dir}: cannot be made ({error.strerror}); set node.state_dir"
        ) from error
    lock.hold(config.paths.lock("switcher"), "a switcher")
    asyncio.run(_serve(config, lambda: load(path, sets=sets)))


async def _serve(config: NodeConfig, reread: Callable[[], NodeConfig]) -> None:
    entrance = Entrance(config.http)
    node = Switcher(config, _ip(config))
    await node.start()
    gc.collect()
    gc.freeze()
    await entrance.open(node)
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(node.serve())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    loop.add_signal_handler(signal.SIGHUP, _reload, node, entrance, reread)
    log.info("ready: %s, mode %s, watching %s", entrance.urls, node.status().mode.value, config.paths.watch_dir)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("ended; jobs and VMs go on, the next start finds them")
    finally:
        await entrance.close()


def _ip(config: NodeConfig) -> str:
    """Returns the address under which the BU reaches this node."""
    if config.http.bind not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return config.http.bind
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        log.warning("the address of %s can't be found; the box file says 127.0.0.1", socket.gethostname())
        return "127.0.0.1"


def _reload(node: Switcher, entrance: Entrance, reread: Callable[[], NodeConfig]) -> None:
    try:
        config = reread()
        entrance.reload(config.http)
    except HltmodeError as error:
        log.error("configuration not taken over: %s", error)
        return
    if config.node != node.config.node:
        log.warning("changes of [node] take a restart")
    node.reload(config)
    log.info("configuration read again")
