"""`hltmode switcher run`: the daemon's process, from configuration to exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from aiohttp import web

from contract import lock
from contract.config import NodeConfig, load
from contract.errors import ConfigError, HltmodeError, Surroundings
from switcher import http
from switcher.node import Switcher

log = logging.getLogger("switcher")

LAST_ANSWERS_S: Final = 1.0  # for callers whose request is under way at the end


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
    entrance = _bind(config)
    node = Switcher(config, _ip(config))
    token = _token(config)
    await node.start()
    gc.collect()
    gc.freeze()
    runner = web.AppRunner(http.build(node, config.http, token), access_log=None, shutdown_timeout=LAST_ANSWERS_S)
    await runner.setup()
    await web.SockSite(runner, entrance).start()
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(node.serve())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    loop.add_signal_handler(signal.SIGHUP, _reload, node, reread)
    host, port = entrance.getsockname()[:2]
    log.info("ready: http://%s:%d, mode %s, watching %s", host, port, node.status().mode.value, config.paths.watch_dir)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("ended; jobs and VMs go on, the next start finds them")
    finally:
        await runner.cleanup()


def _bind(config: NodeConfig) -> socket.socket:
    """Takes the port before anything is touched."""
    try:
        return socket.create_server((config.http.bind, config.http.port), backlog=128)
    except OSError as error:
        raise Surroundings(
            f"{config.http.bind}:{config.http.port}: cannot listen ({error.strerror}); set http.bind and http.port"
        ) from error


def _ip(config: NodeConfig) -> str:
    """Returns the address under which the BU reaches this node."""
    if config.http.bind not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
        return config.http.bind
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        log.warning("the address of %s can't be found; the box file says 127.0.0.1", socket.gethostname())
        return "127.0.0.1"


def _token(config: NodeConfig) -> str:
    """Returns the bearer token, empty without one."""
    if not config.http.token_file:
        return ""
    try:
        token = Path(config.http.token_file).read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"{config.http.token_file}: cannot be read ({error.strerror}); see http.token_file"
        ) from error
    if not token:
        raise ConfigError(f"{config.http.token_file}: holds no token; see http.token_file")
    return token


def _reload(node: Switcher, reread: Callable[[], NodeConfig]) -> None:
    try:
        config = reread()
    except HltmodeError as error:
        log.error("configuration not taken over: %s", error)
        return
    if (config.node, config.http) != (node.config.node, node.config.http):
        log.warning("changes of [node] and [http] take a restart")
    node.reload(config)
    log.info("configuration read again")
