"""`hltmode config`: explains a configuration file."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec

from contract.config import PREFIX, NodeConfig, load
from contract.sink import Sink

DEFAULT: Final = "default"


class Key(NamedTuple):
    """One key of the configuration: its value and where that comes from."""

    section: str
    key: str
    value: object
    source: str


@click.group()
def config() -> None:
    """Explain a configuration file."""


@config.command(
    epilog="Example: hltmode config check /etc/hltmode/node.toml --set http.port=9001. Exit codes: 0 the "
    "configuration is sound, 3 it is not: one line says which key and why."
)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="A value above the file's.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def check(file: Path | None, sets: tuple[str, ...], *, as_json: bool) -> None:
    """Print every key with its value and where it comes from; without FILE, the defaults."""
    keys = list(explained(load(file, sets=sets), file, sets))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(keys_by_section(keys))))
        return
    section = ""
    for key in keys:
        if key.section != section:
            section = key.section
            click.secho(f"\n[{section}]", bold=True, nl=False)
            click.secho(f"  {_meaning(section)}", dim=True)
        line = f"{key.key} = {msgspec.json.encode(key.value).decode()}"
        click.echo(line if key.source == DEFAULT else f"{line:<60}  # {key.source}")


def explained(config: NodeConfig, file: Path | None, sets: Iterable[str]) -> Iterable[Key]:
    """Yields the keys of `config` in the order of the sections; those of a sink under `sink.<name>`."""
    in_file = tomllib.loads(file.read_text()) if file else {}
    flags = {flag.partition("=")[0].strip() for flag in sets}
    for section in NodeConfig.__struct_fields__:
        if section == "sink":
            continue
        for key, value in _items(getattr(config, section)):
            variable = f"{PREFIX}{section}_{key}".upper()
            if f"{section}.{key}" in flags:
                source = "--set"
            elif variable in os.environ:
                source = variable
            elif key in in_file.get(section, {}):
                source = str(file)
            else:
                source = DEFAULT
            yield Key(section, key, value, source)
    for sink, written in zip(config.sink, in_file.get("sink", []), strict=True):
        for key, value in _items(sink):
            yield Key(f"sink.{sink.name}", key, value, str(file) if key in written else DEFAULT)


def _items(part: msgspec.Struct) -> Iterable[tuple[str, object]]:
    return ((key, getattr(part, key)) for key in part.__struct_fields__)


def keys_by_section(keys: Iterable[Key]) -> dict[str, dict[str, dict[str, object]]]:
    """Returns the keys as nested tables for machines."""
    table: dict[str, dict[str, dict[str, object]]] = {}
    for key in keys:
        table.setdefault(key.section, {})[key.key] = {"value": key.value, "source": key.source}
    return table


def _meaning(section: str) -> str:
    kind = Sink if section.startswith("sink.") else type(getattr(NodeConfig(), section))
    return (inspect.getdoc(kind) or "").splitlines()[0]
