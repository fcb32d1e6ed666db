"""`hltmode collector run`: the agent's process, from configuration to exit code."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from collector.log.command import log_group
from contract import lock
from contract.config import load
from contract.errors import Surroundings


@click.group()
def collector() -> None:
    """The telemetry agent of this node."""


@collector.command(
    epilog="Example: hltmode collector run --config /etc/hltmode/node.toml. Exit codes: 0 ended by SIGTERM, "
    "3 configuration, 4 another collector serves this node, 5 a folder or the port is not to be had."
)
@click.option("--config", "path", type=click.Path(path_type=Path), help="The node's TOML file; without it, defaults.")
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="A value above the file's.")
@click.option("--verbose", is_flag=True, help="Log every detail.")
def run(path: Path | None, sets: tuple[str, ...], verbose: bool) -> None:
    """Sample this node, keep the documents and serve /metrics until SIGTERM.

    SIGHUP reads the configuration again.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("watchdog").setLevel(logging.WARNING)
    config = load(path, sets=sets)
    state_dir = config.paths.state_dir
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Surroundings(f"{state_dir}: cannot be made ({error.strerror}); set node.state_dir") from error
    lock.hold(config.paths.lock("collector"), "a collector")
    from collector.agent import Agent  # noqa: PLC0415 - of no use to the other commands

    Agent(config, lambda: load(path, sets=sets)).run()


collector.add_command(log_group)
