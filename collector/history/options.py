"""The options of `hltmode history`: where to ask, and what for."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from collector.history.logs import Logs
from collector.history.questions import Wish
from collector.history.stores import Store
from collector.index.options import HostUrl, Names, chosen_sinks
from collector.options import Decorated, Moment, with_options
from contract.config import Switch, load
from contract.journal import OUTCOMES, PHASES
from contract.sink import Product, Sink

SECRET_FLAGS: Final = ("username_file", "password_file", "api_key_file", "ca_file")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask: logs, or an index server; and after how long a node without our switcher is stuck."""

    logs: tuple[Path, ...] = ()
    sink: Sink | None = None
    limits: Switch = Switch()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Returns the store, which is closed at the end. Raises ConfigError when a secret can't be read."""
        if self.sink is None:
            yield Logs(self.logs)
            return
        # HTTP and TLS, which a log doesn't need
        from collector.history.asking import Asking  # noqa: PLC0415
        from collector.history.index import Index  # noqa: PLC0415

        with closing(Asking(self.sink)) as asking:
            yield Index(asking)


def which_place(command: Decorated) -> Decorated:
    """Adds the options that say where to ask. They are gathered as `place`."""

    @functools.wraps(command)
    def gathered(
        *,
        path: Path | None,
        logs: tuple[Path, ...],
        index: bool,
        name: str | None,
        hosts: Names,
        product: str | None,
        **others: Any,
    ) -> None:
        given = {flag: value for flag in SECRET_FLAGS if (value := others.pop(flag))}
        if not (index or hosts or name):
            if product or given:
                raise click.UsageError("--kind and the files of secrets go with --host or --index")
            config = load(path)
            place = Place(logs=logs or (config.paths.log,), limits=config.switch)
        elif logs:
            raise click.UsageError("--log goes with neither --index nor --host")
        else:
            sinks = chosen_sinks(path, (name,) if name else (), hosts, product, given)
            place = Place(sink=sinks[0], limits=Switch() if hosts else load(path).switch)
        command(place=place, **others)

    kinds = click.Choice([each.value for each in Product])
    options = (
        click.option("--config", "path", type=click.Path(path_type=Path),
                     help="The node's TOML file: its log is read."),
        click.option("--log", "logs", multiple=True, type=click.Path(path_type=Path),
                     help="A log to read; may be repeated."),
        click.option("--index", is_flag=True, help="Ask the index of the first [[sink]] in --config instead."),
        click.option("--sink", "name", help="Ask the index of the sink of this name."),
        click.option("--host", "hosts", multiple=True, type=HostUrl(), help="Ask this index server; with --kind."),
        click.option("--kind", "product", type=kinds, help="What is at --host."),
        click.option("--username-file", help="Who asks the index, above the sink's own user."),
        click.option("--password-file", help="Its password, in a file's first line."),
        click.option("--api-key-file", help="Or an API key."),
        click.option("--ca-file", help="Whom to trust as the server's certificate authority."),
    )  # fmt: skip
    return with_options(options)(gathered)


def which_switches(shown: int) -> Callable[[Decorated], Decorated]:
    """Returns a decorator that adds the options of what is asked for. They are gathered as `wish`.

    Without --limit the newest `shown` are wished for where people look at a table.
    """

    def adding(command: Decorated) -> Decorated:
        @functools.wraps(command)
        def gathered(  # noqa: PLR0913 - each is an option of the command
            *,
            since: float | None,
            until: float | None,
            nodes: Names,
            appliances: Names,
            outcomes: Names,
            who: str,
            slowest: int | None,
            phase: str | None,
            limit: int | None,
            **others: Any,
        ) -> None:
            if since is not None and until is not None and since > until:
                raise click.UsageError("--since lies after --until: nothing can be between them")
            if phase and not slowest:
                raise click.UsageError("--phase goes with --slowest")
            table = not (others["summary"] or others["as_json"] or others["as_csv"])
            wish = Wish(
                since_s=-math.inf if since is None else since,
                until_s=math.inf if until is None else until,
                nodes=nodes,
                appliances=appliances,
                outcomes=outcomes,
                who=who,
                slowest=slowest or 0,
                phase=phase or "",
                limit=limit or (shown if table else 0),
            )
            command(wish=wish, **others)

        return with_options(options)(gathered)

    least_one = click.IntRange(min=1)
    options = (
        click.option("--since", type=Moment(), help="Started at or after: an ISO time, or 90m, 12h, 7d ago."),
        click.option("--until", type=Moment(), help="Started before."),
        click.option("--node", "nodes", multiple=True, metavar="PATTERN",
                     help="Of these nodes only, such as 'fu-c2f01-*'."),
        click.option("--appliance", "appliances", multiple=True, metavar="PATTERN", help="Of these appliances only."),
        click.option("--outcome", "outcomes", multiple=True, type=click.Choice(OUTCOMES), help="Ended so; repeatable."),
        click.option("--who", default="*", metavar="PATTERN", help="Asked for by."),
        click.option("--slowest", type=least_one, help="The N that took longest, slowest first."),
        click.option("--phase", type=click.Choice(PHASES), help="With --slowest: that took longest in this phase."),
        click.option("--limit", type=least_one, help=f"The newest N; {shown} in a table, else all."),
    )  # fmt: skip
    return adding
