"""The options of `hltmode index`: which servers, as which user, and what a site may want otherwise."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from collector.index.templates import DEFAULT_SHAPE, Shape
from collector.options import Decorated, with_options
from contract.config import load
from contract.errors import ConfigError
from contract.sink import ADDRESS, ADDRESS_WANTED, Product, Sink

Names = tuple[str, ...]

SECRETS: Final = ("username_file", "password_file", "api_key_file")
SECRET_VARIABLES: Final = ("username_env", "password_env", "api_key_env")


class HostUrl(click.ParamType[str]):
    """The address of a server, as `sink.hosts` has it."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the address."""
        if ADDRESS.fullmatch(str(value)):
            return str(value)
        return self.fail(f"{value!r}: {ADDRESS_WANTED}", param, ctx)


def which_servers(command: Decorated) -> Decorated:
    """Adds the options that say which servers, and as which user. They are gathered as `sinks`."""

    @functools.wraps(command)
    def gathered(  # noqa: PLR0913 - each is an option of the command
        *,
        path: Path | None,
        names: Names,
        hosts: Names,
        product: str | None,
        user: str | None,
        password: str | None,
        key: str | None,
        ca: str | None,
        **others: Any,
    ) -> None:
        given = {"username_file": user, "password_file": password, "api_key_file": key, "ca_file": ca}
        command(sinks=chosen_sinks(path, names, hosts, product, {k: v for k, v in given.items() if v}), **others)

    options = (
        click.option("--config", "path", type=click.Path(path_type=Path), help="The node's TOML file with its sinks."),
        click.option("--sink", "names", multiple=True, help="Of its sinks only this one; may be repeated."),
        click.option("--host", "hosts", multiple=True, type=HostUrl(), help="A server instead of a file's sinks."),
        click.option(
            "--kind", "product", type=click.Choice([each.value for each in Product]), help="What is at --host."
        ),
        click.option("--username-file", "user", help="The user who may do this, above the sink's own."),
        click.option("--password-file", "password", help="Its password, in a file's first line."),
        click.option("--api-key-file", "key", help="Or an API key."),
        click.option("--ca-file", "ca", help="Whom to trust as the server's certificate authority."),
    )
    return with_options(options)(gathered)


def which_shape(command: Decorated) -> Decorated:
    """Adds the options of what a site may want otherwise. They are gathered as `shape`."""

    @functools.wraps(command)
    def gathered(*, shards: int, replicas: int, box_days: int, switchover_days: int, **others: Any) -> None:
        shape = Shape(shards=shards, replicas=replicas, box_days=box_days, switchover_days=switchover_days)
        command(shape=shape, **others)

    least_one, default = click.IntRange(min=1), DEFAULT_SHAPE
    options = (
        click.option("--shards", type=least_one, default=default.shards, show_default=True, help="Shards an index."),
        click.option("--replicas", type=click.IntRange(min=0), default=default.replicas, show_default=True,
                     help="Copies of each shard."),
        click.option("--keep-days", "box_days", type=least_one, default=default.box_days, show_default=True,
                     help="Days until a day's boxes are deleted."),
        click.option("--keep-switchover-days", "switchover_days", type=least_one, default=default.switchover_days,
                     show_default=True, help="Days until a year's switchovers are deleted."),
    )  # fmt: skip
    return with_options(options)(gathered)


def chosen_sinks(
    path: Path | None, names: Names, hosts: Names, product: str | None, given: dict[str, str]
) -> list[Sink]:
    """Returns the sinks to go to, with the secrets that were `given`. Raises ConfigError or click's UsageError."""
    secrets = given.keys() & SECRETS
    if secrets not in (set(), {"api_key_file"}, {"username_file", "password_file"}):
        raise click.UsageError("--username-file goes with --password-file, and without --api-key-file")
    if hosts:
        if path or names or product is None:
            raise click.UsageError("--host goes with --kind, and with neither --config nor --sink")
        return [msgspec.structs.replace(Sink(kind=Product(product), hosts=list(hosts)), **given)]
    sinks = load(path).sink
    if unknown := set(names) - {sink.name for sink in sinks}:
        raise ConfigError(f"{path}: has no sink named {min(unknown)}; known are {', '.join(s.name for s in sinks)}")
    if not sinks:
        raise ConfigError(f"{path or 'defaults'}: has no [[sink]]; name a file with --config, or a server with --host")
    own = dict.fromkeys((*SECRETS, *SECRET_VARIABLES), "") if secrets else {}
    return [msgspec.structs.replace(sink, **(own | given)) for sink in sinks if not names or sink.name in names]
