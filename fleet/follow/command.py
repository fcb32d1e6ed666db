"""`hltmode fleet follow`, `decisions` and `policy`: the automation, its log, and what people do about it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import click
import msgspec
from prometheus_client import disable_created_metrics
from rich.table import Table

from contract import lock
from contract.errors import HltmodeError, Surroundings, first_of
from contract.metrics_port import serve_metrics
from contract.options import WORDS
from contract.request import LONGEST_REASON, LONGEST_WHO, printable
from contract.times import iso
from fleet.farm import Farm
from fleet.follow.explaining import lines, words
from fleet.follow.follower import Follower
from fleet.follow.gauges import registry
from fleet.follow.policy import Want, span
from fleet.follow.policy_file import Metrics, Read, farm_of, load
from fleet.follow.record import Entry, Now, PolicyHold, Record
from fleet.follow.replay import markdown, read_day, replay
from fleet.hosts import read_places
from fleet.options import PLAIN_CODES, json_option, of_farm, who_option
from fleet.store import Store
from fleet.tables import new_console

COLOURS: Final = {Want.CLOUD: "green", Want.HLT: "blue", Want.STAY: "dim"}
SAID_FOR_S: Final = 30.0

policy_argument = click.argument("path", metavar="POLICY", type=click.Path(path_type=Path))


@click.command(
    epilog="Example: hltmode fleet follow --policy /etc/hltmode/policy.toml --nodes /etc/hltmode/farm.txt. Exit codes: "
    "0 ended by SIGTERM, 2 no node is named, 3 the policy is wrong, 4 another follower has this store, 5 the store or "
    "the port can't be used."
)
@click.option("--policy", "path", type=click.Path(path_type=Path), required=True, help="The policy, a TOML file.")
@click.option("--check", is_flag=True, help="Explain the policy and end.")
@click.option("--dry-run", "dry", is_flag=True, help="Ask no node and write nothing; say in the log what it would do.")
@of_farm
def follow(path: Path, check: bool, dry: bool, farm: Farm) -> None:
    """Keep the farm where a policy wants it while the beam comes and goes, until SIGTERM.

    HLT always wins. Operations under way survive this process; the next one carries on. SIGHUP reads the policy again.
    A changed file of nodes is taken over by itself; a node that is taken out of it and that the policy has sent is
    looked after until it is back in HLT.
    """
    whole = farm
    read, farm = _of_farm(path, whole)
    if check:
        _explain(read, as_json=False)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with closing(Store(farm.store)) as store:
        if not dry:
            lock.hold(farm.store.with_name(f"{farm.store.name}.follow.lock"), "a follower", "this store")
        follower = Follower(read, whole, store, lambda: load(path), str(path), dry=dry)
        port = _serve(follower, read.file.metrics)
        logging.getLogger("fleet.follow").info(
            "ready: %s, %d nodes, http://%s:%d/metrics", path, len(farm.places), read.file.metrics.bind, port
        )
        try:
            asyncio.run(_until_told(follower))
        except* HltmodeError as group:
            raise first_of(group) from group
        except* sqlite3.Error as group:
            raise Surroundings(f"{farm.store}: cannot be used ({first_of(group)}); see --store") from group


@click.command(epilog=f"Example: hltmode fleet decisions --last 50. {PLAIN_CODES}")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="So many, the newest.")
@of_farm
@json_option
def decisions(last: int, farm: Farm, as_json: bool) -> None:
    """List what the follower decided and why, and how it stands now."""
    with closing(Store(farm.store)) as store:
        record = Record(store)
        entries, held, now = record.entries(last), record.held(), record.kept(Now)
    if as_json:
        for entry in entries:
            click.echo(msgspec.json.encode(entry))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("when", "beam", "what", "why", "operation", "who"):
        table.add_column(heading)
    for entry in entries:
        when = iso(entry.at_s)[:19].replace("T", " ")
        table.add_row(when, entry.beam, entry.kind, entry.reason, entry.operation, entry.who, style=_colour(entry))
    console = new_console()
    console.print(table)
    console.print(_now_words(now, held))


@click.group()
def policy() -> None:
    """Explain a policy, try it on recorded beam modes, or hold it.

    docs/policy.md has every key of the file, and packaging/policy.toml an example.
    """


@policy.command(
    epilog="Example: hltmode fleet policy check policy.toml --nodes farm.txt. Exit codes: 0 without contradiction, "
    "2 a node is unknown, 3 the policy is wrong: one line says where and what to do."
)
@policy_argument
@click.option("--nodes", "nodes_file", type=click.Path(path_type=Path), envvar="HLTMODE_FLEET_NODES",
              help="The farm's nodes: holds the numbers of nodes against them.")  # fmt: skip
@json_option
def check(path: Path, nodes_file: Path | None, as_json: bool) -> None:
    """Explain a policy: of each beam mode what it wants, and after how long."""
    read = load(path)
    if nodes_file:
        read, _ = _of_farm(path, Farm(Path(), read_places(nodes_file), ""))
    _explain(read, as_json=as_json)


@policy.command(
    epilog="Example: hltmode fleet policy replay policy.toml day.txt. Exit codes: 0 shown, 3 policy or day is wrong."
)
@policy_argument
@click.argument("day", type=click.Path(path_type=Path))
@click.option("--markdown", "as_markdown", is_flag=True, help="A table for a manual.")
@json_option
def replay_command(path: Path, day: Path, as_markdown: bool, as_json: bool) -> None:
    """Show what a policy would have decided while the beam went as recorded.

    A line of DAY is `TIME MODE`: since when (ISO 8601) the beam was in which mode; `-` says that nobody knew.
    """
    made = list(replay(load(path).policy, read_day(day)))
    if as_markdown:
        click.echo(markdown(made))
        return
    if as_json:
        for each in made:
            click.echo(msgspec.json.encode(each))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("when", "beam", "decision", "why"):
        table.add_column(heading)
    for each in made:
        table.add_row(iso(each.at_s)[:19].replace("T", " "), each.beam, each.act.value, each.reason)
    new_console().print(table)


replay_command.name = "replay"


@policy.command(epilog="Example: hltmode fleet policy hold --reason 'vacuum work in the cavern'. Exit codes: 0 done, "
                "2 wrong usage, 5 the store can't be used.")  # fmt: skip
@who_option
@click.option("--reason", type=WORDS, required=True, help="Why; everybody who looks reads it.")
@of_farm
def hold(who: str, reason: str, farm: Farm) -> None:
    """Have the policy send nobody to the cloud until it is released.

    An exclusion of the policy that is under way asks nobody more; nodes on their way go on. The way back to HLT is not
    held, nor is what people order with `exclude`. Modes, decisions and warnings go on being published.
    """
    with closing(Store(farm.store)) as store:
        record = Record(store)
        before = record.held()
        record.hold(printable(who, LONGEST_WHO), printable(reason, LONGEST_REASON))
    was = f" (before: {before.words})" if before else ""
    click.echo(f"on hold: nobody is sent to the cloud by the policy; the way back to HLT stays open{was}")


@policy.command(epilog="Example: hltmode fleet policy release. Exit codes: 0 done, 2 wrong usage, "
                "5 the store can't be used.")  # fmt: skip
@who_option
@of_farm
def release(who: str, farm: Farm) -> None:
    """Let the policy send nodes to the cloud again."""
    with closing(Store(farm.store)) as store:
        was = Record(store).release(printable(who, LONGEST_WHO))
    click.echo(f"released: was held by {was.words}" if was else "was not on hold")


def _of_farm(path: Path, farm: Farm) -> tuple[Read, Farm]:
    """Returns the policy and the farm with the policy's nodes only. Raises ConfigError or BadHosts."""
    read = load(path)
    return read, farm_of(read, farm, str(path))


def _explain(read: Read, *, as_json: bool) -> None:
    if as_json:
        for line in lines(read.policy):
            click.echo(msgspec.json.encode(line))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("beam mode", "wants", "after", "kept in HLT", "rule", ""):
        table.add_column(heading)
    for line in lines(read.policy):
        cloud = line.want is Want.CLOUD
        after = span(line.after_s) if cloud and line.after_s else "at once" if line.want is not Want.STAY else ""
        kept = str(line.keep) if cloud else ""
        table.add_row(line.mode, line.want.value, after, kept, line.rule, line.remark, style=COLOURS[line.want])
    console = new_console()
    console.print(table)
    for sentence in words(read):
        console.print(sentence)


def _serve(follower: Follower, metrics: Metrics) -> int:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped
    shown = registry(lambda: follower.shown)
    server, _ = serve_metrics(metrics.bind, metrics.port, shown, "metrics.bind and metrics.port")
    return int(server.server_port)


async def _until_told(follower: Follower) -> None:
    task = asyncio.ensure_future(follower.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    loop.add_signal_handler(signal.SIGHUP, follower.reload)
    try:
        await task
    except asyncio.CancelledError:
        logging.getLogger("fleet.follow").info("ended; what is under way is carried on by the next follower")


def _now_words(now: Now | None, held: PolicyHold | None) -> str:
    hold_words = f"on hold by {held.words}, since {iso(held.since_s)[:19]}Z" if held else "not on hold"
    if now is None:
        return f"no follower has run here; {hold_words}"
    age_s = time.time() - now.at_s
    if age_s > SAID_FOR_S:
        return f"the follower has said nothing for {span(age_s)}; {hold_words}"
    modes = ", ".join(f"{count} {mode}" for mode, count in sorted(now.modes.items())) or "no node seen yet"
    silent = f", {now.silent} silent" if now.silent else ""
    wanted = f"{now.wanted} is wanted" if now.wanted else "no change is wanted"
    nodes = f"nodes: {modes}{silent}, {now.own} sent by the policy"
    return f"now: beam {now.beam}; {wanted}: {now.words}; {nodes}; {hold_words}"


def _colour(entry: Entry) -> str:
    return {"warning": "bold red", "failed": "bold red", "to cloud": "green", "to HLT": "blue"}.get(entry.kind, "")
