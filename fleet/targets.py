"""Which nodes a command is about: named on the command line, in a file, on stdin, or by a source.

Sources, each `--from` one; several are put together:

    boxes:FOLDER          box files on a BU's ramdisk; a pattern such as 'boxes:/fff/*/appliance/boxes' is several
    prometheus:URL        the mode series that collectors export
    index[:SINK]          the newest box of each host, at the [[sink]] of --config
    nodes                 the file of --nodes; for --mode the nodes are asked themselves

Names narrow a source, and it must know each of them. Without a source, `--appliance` and `--mode` mean `--from nodes`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click

from contract.config import load
from contract.modes import Mode
from fleet.client import connected
from fleet.farm import Farm
from fleet.hosts import by_name, expand, folded, read_names
from fleet.node_sets import BadHosts, expand_names
from fleet.sources.boxes import read_boxes
from fleet.sources.found import Filters, Found, Known, filtered, merged, named, unknown_mode
from fleet.sources.index import ask_index, sink_named
from fleet.sources.prometheus import ask_prometheus
from fleet.survey import mode_of, survey

Command = TypeVar("Command", bound=Callable[..., Any])
URL: Final = re.compile(r"https?://[^/\s@]+(/[^\s@?#]*)?")
NODES: Final = "nodes"


class Which(NamedTuple):
    """What was said on the command line about the nodes that are meant."""

    words: tuple[str, ...]
    files: tuple[Path, ...] = ()
    sources: tuple[str, ...] = ()
    filters: Filters = Filters()
    config: Path | None = None


class Chosen(NamedTuple):
    """The nodes, and the farm with what the sources know of where they belong."""

    hosts: list[str]
    farm: Farm


def of_hosts(command: Command) -> Command:
    """Adds the argument and the options that say which nodes are meant; the command gets them as `which`."""

    @click.argument("words", nargs=-1, metavar="[HOSTS]...")
    @click.option(
        "--hostfile", "files", multiple=True, type=click.Path(path_type=Path), help="A file of HOSTS, # is a comment."
    )
    @click.option(
        "--from",
        "sources",
        multiple=True,
        metavar="SOURCE",
        help="Or ask who there is: boxes:FOLDER, prometheus:URL, index[:SINK] or nodes; HOSTS narrow it.",
    )
    @click.option(
        "--appliance", "appliances", multiple=True, metavar="SET", help="Only of these, sets or with * and ?."
    )
    @click.option(
        "--mode",
        "modes",
        multiple=True,
        type=click.Choice([mode.value for mode in Mode], case_sensitive=False),
        metavar="MODE",
        help="Only those in this mode (HLT, activatingCloud, cloud, deactivatingCloud), as the source knows it.",
    )
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="HLTMODE_FLEET_CONFIG",
        help="The TOML file with the [[sink]] of --from index.",
    )
    @wraps(command)
    def with_hosts(
        *arguments: Any,
        words: tuple[str, ...],
        files: tuple[Path, ...],
        sources: tuple[str, ...],
        appliances: tuple[str, ...],
        modes: tuple[str, ...],
        config: Path | None,
        **more: Any,
    ) -> Any:
        filters = Filters(appliances, tuple(Mode(mode) for mode in modes))
        return command(*arguments, which=Which(words, files, sources, filters, config), **more)

    return with_hosts  # type: ignore[return-value]  # click's decorators keep the type that they are given


def chosen(which: Which, farm: Farm) -> Chosen:
    """Returns the nodes that are meant; sources are asked. Raises BadHosts, BadSource or ConfigError."""
    words = [*which.words, *(word for path in which.files for word in read_names(path))]
    sources = which.sources or ((NODES,) if which.filters else ())
    if not sources:
        return Chosen(expand(words, farm.places), farm)
    asked = [_question(source, which, farm) for source in sources]
    known = asyncio.run(_all(asked))
    for note in known.notes:
        click.echo(note, err=True)
    nodes: list[Found] = list(known.nodes)
    if words:
        nodes, strangers = named(nodes, expand_names(words))
        if strangers:
            raise BadHosts(f"{folded(strangers)}: not known to {', '.join(sources)}")
    wanted = filtered(nodes, which.filters)
    if not wanted:
        raise BadHosts(f"none of the {len(nodes)} nodes of {', '.join(sources)} is {_words(which.filters)}")
    places = {each.host: by_name(each.host, each.appliance) for each in wanted}
    return Chosen(sorted(places), farm._replace(places=places | farm.places))


def _words(filters: Filters) -> str:
    parts = [f"in {' or '.join(filters.modes)}"] if filters.modes else []
    return " and ".join([*parts, *([f"of {' or '.join(filters.appliances)}"] if filters.appliances else [])])


def _question(source: str, which: Which, farm: Farm) -> Callable[[], Awaitable[Known]]:
    """Returns how to ask `source`; what is wrong with its name is said before any is asked."""
    kind, _, where = source.partition(":")
    if kind == "boxes" and where:
        return lambda: asyncio.to_thread(read_boxes, where, time.time())
    if kind == "prometheus" and URL.fullmatch(where):
        return lambda: ask_prometheus(where)
    if kind == "index":
        config = load(which.config)
        sink = sink_named(config, where)
        return lambda: ask_index(sink, config.node.subsystem, time.time())
    if source == NODES:
        if not farm.places:
            raise click.UsageError("--from nodes, --appliance and --mode without --from need the file of --nodes")
        return lambda: _ask_nodes(farm, look=bool(which.filters.modes))
    raise click.UsageError(
        f"--from {source}: write it as boxes:FOLDER, prometheus:http://HOST:PORT, index, index:SINK or nodes"
    )


async def _all(asked: list[Callable[[], Awaitable[Known]]]) -> Known:
    return merged(await asyncio.gather(*(ask() for ask in asked)))


async def _ask_nodes(farm: Farm, *, look: bool) -> Known:
    if not look:
        return Known(tuple(Found(host=host, appliance=place.appliance) for host, place in farm.places.items()))
    async with connected(farm.token, farm.trust) as client:
        looks = await survey(client, farm.places, farm.places, lambda _known: None)
    nodes = tuple(
        Found(host=host, appliance=farm.places[host].appliance, mode=mode_of(seen)) for host, seen in looks.items()
    )
    return Known(nodes, unknown_mode(nodes, NODES, "they do not answer"))
