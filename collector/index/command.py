"""`hltmode index`: installs, compares and checks the index templates of a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from collector.documents import BOX
from collector.index.clients import IndexClient, IndexTrouble, check_product, connect
from collector.index.expire import expired
from collector.index.findings import Finding
from collector.index.options import which_servers, which_shape
from collector.index.output import show, show_difference
from collector.index.server import install, survey
from collector.index.templates import DEFAULT_SHAPE, Shape, parts, pattern
from contract.errors import Surroundings
from contract.sink import Product, Sink

CODES: Final = "2 wrong usage, 3 configuration, 5 a server does not answer, or not to this user."


class Troubles:
    """Servers that did not answer: each is said in one line, and the rest goes on."""

    def __init__(self) -> None:
        self.last: IndexTrouble | None = None

    @contextmanager
    def server(self, sink: Sink) -> Iterator[IndexClient]:
        """Gives a client of `sink`."""
        client = connect(sink)
        try:
            yield client
        except IndexTrouble as error:
            self.last = error
            click.secho(f"hltmode: {sink.name}: {error}", fg="red", err=True)
        finally:
            client.close()

    def end(self, *, good: bool) -> None:
        """Ends the program with the exit code."""
        raise SystemExit(self.last.exit_code if self.last else 0 if good else 1)


@click.group()
def index() -> None:
    """Index templates and lifecycle policies of Elasticsearch and OpenSearch servers."""


@index.command(
    epilog="Example: hltmode index apply --config /etc/hltmode/node.toml --username-file admin --password-file secret."
    f" Exit codes: 0 everything is in place, 1 something was refused or left alone, {CODES}"
)
@which_servers
@which_shape
@click.option("--force", is_flag=True, help="Write over what was changed by hand or made by a newer program.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def apply(*, sinks: list[Sink], shape: Shape, force: bool, as_json: bool) -> None:
    """Install what lacks or is older, and add new fields to indices that exist. May be repeated at will.

    What someone changed by hand is left alone. Sites that want other shards, replicas or days say so here each time.
    """
    found: list[tuple[str, Finding]] = []
    troubles = Troubles()
    for sink in sinks:
        with troubles.server(sink) as client:
            found += [(sink.name, finding) for finding in install(client, survey(client, shape), force=force)]
    show(found, as_json=as_json)
    troubles.end(good=all(finding.good for _, finding in found))


@index.command(
    epilog="Example: hltmode index check --host https://es:9200 --kind elasticsearch --ca-file ca.pem. "
    f"Exit codes: 0 everything is in place, 1 something is not, {CODES}"
)
@which_servers
@which_shape
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check(*, sinks: list[Sink], shape: Shape, as_json: bool) -> None:
    """Say how templates, policies and existing indices stand; changes nothing."""
    found: list[tuple[str, Finding]] = []
    troubles = Troubles()
    for sink in sinks:
        with troubles.server(sink) as client:
            found += [(sink.name, each.finding) for each in survey(client, shape)]
    show(found, as_json=as_json)
    troubles.end(good=all(finding.good for _, finding in found))


@index.command(
    epilog="Example: hltmode index diff --config /etc/hltmode/node.toml --sink es8. "
    f"Exit codes: 0 no difference, 1 differences, {CODES}"
)
@which_servers
@which_shape
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def diff(*, sinks: list[Sink], shape: Shape, as_json: bool) -> None:
    """Show what `apply --force` would change, as unified diffs from the server's copies to ours."""
    differences = 0
    troubles = Troubles()
    for sink in sinks:
        with troubles.server(sink) as client:
            for each in survey(client, shape):
                if not (lines := each.difference):
                    continue
                differences += 1
                if as_json:
                    line = {"sink": sink.name, "what": each.finding.what, "name": each.finding.name,
                            "state": each.finding.state, "diff": lines}  # fmt: skip
                    click.echo(msgspec.json.encode(line).decode())
                else:
                    show_difference(lines)
    troubles.end(good=not differences)


@index.command(
    epilog="Example: hltmode index write index-templates. Exit codes: 0 written, 2 wrong usage, 5 not to be written."
)
@which_shape
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def write(*, folder: Path, shape: Shape) -> None:
    """Write all templates and policies to FOLDER as JSON, for both products, to be read or sent by hand."""
    try:
        for path, content in files(shape).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    except OSError as error:
        raise Surroundings(f"{error.filename}: cannot be written ({error.strerror}); name another folder") from error


def files(shape: Shape = DEFAULT_SHAPE) -> dict[Path, bytes]:
    """Returns the content of the folder `index-templates` by path."""
    return {
        Path(product.value) / part.file_name: msgspec.json.format(msgspec.json.encode(part.body), indent=2) + b"\n"
        for product in Product
        for part in parts(product, shape)
    }


@index.command(
    epilog="Example, once a day by a timer: hltmode index expire --config /etc/hltmode/node.toml --keep-days 90. "
    f"Exit codes: 0 deleted what was old, 1 a server refused, {CODES}"
)
@which_servers
@click.option("--keep-days", type=click.IntRange(min=1), default=DEFAULT_SHAPE.box_days, show_default=True)
@click.option("--dry-run", is_flag=True, help="Only print their names.")
def expire(*, sinks: list[Sink], keep_days: int, dry_run: bool) -> None:
    """Delete the box indices of days long past, on servers without ILM or ISM. Switchovers are kept."""
    troubles, good = Troubles(), True
    for sink in sinks:
        with troubles.server(sink) as client:
            check_product(client)
            reply = client.request("GET", f"/{pattern(BOX)}/_settings", params={"filter_path": "*.settings.index.uuid"})
            if reply.status >= 400:
                click.secho(f"hltmode: {sink.name}: HTTP {reply.status}: {reply.reason}", fg="red", err=True)
                good = False
                continue
            for name in expired(reply.body, datetime.now(UTC).date(), keep_days):
                answer = None if dry_run else client.request("DELETE", f"/{name}")
                refused = answer is not None and answer.status not in (200, 404)
                good = good and not refused
                outcome = f"refused: {answer.reason}" if answer and refused else "old" if dry_run else "deleted"
                click.echo(f"{sink.name}  {name}  {outcome}")
    troubles.end(good=good)
