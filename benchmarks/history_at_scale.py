"""How soon `hltmode history` answers from an index with a month of a farm in it.

`python -m benchmarks.history_at_scale` puts ten million box documents and 100,000 switchovers of the last thirty days
into one server, as ready-made bulk bodies, and runs the command as people do: a process from start to end, several
times. `--boxes` takes fewer; filling takes most of the time.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

import click
import msgspec
from rich.console import Console

from benchmarks.asking import ask, client_of, count, kind_of, prepare
from benchmarks.box_documents import HOSTS, Living, born, documents
from benchmarks.figures import Figure, finish, new_console
from collector.documents import BOX, SWITCHOVER, document_id, switchover_document
from collector.index.clients import NDJSON, IndexClient
from collector.index.names import index_of
from contract.journal import PHASES, SwitchRecord
from contract.modes import Mode, Wanted
from contract.times import iso
from tests.servers.releases import OPENSEARCH_3, RELEASES
from tests.servers.server import IndexServer

DAYS: Final = 30
SPAN_S: Final = (DAYS - 0.01) * 86400.0
VARIETY: Final = 4  # samples of each node that differ; later ones repeat them with another time
BATCH: Final = 2500
HEAP_MB: Final = 2048
MERGED_WITHIN_S: Final = 600.0
RUNS: Final = 9
RUNS_OF_OTHERS: Final = 3
PROMISE_S: Final = 1.0
SINCE: Final = f"{DAYS}d"
WHILE_FILLING: Final = {"index": {"refresh_interval": "-1", "translog": {"durability": "async"}}}
AFTERWARDS: Final = {"index": {"refresh_interval": "5s", "translog": {"durability": "request"}}}

Line = tuple[str, bytes]

ALSO: Final = (
    ("its summary", ("--summary",)),
    ("the ten slowest drains", ("--slowest", "10", "--phase", "drain")),
    ("one appliance's", ("--appliance", "bu-c2f07")),
    ("all of them as JSON", ("--json",)),
)


@click.command()
@click.option("--boxes", type=click.IntRange(min=HOSTS), default=10_000_000, show_default=True)
@click.option("--switchovers", type=click.IntRange(min=100), default=100_000, show_default=True)
@click.option("--server", "name", default=OPENSEARCH_3.name, show_default=True, help="Such as elasticsearch-9.2.0.")
@click.option("--json", "as_json", is_flag=True)
def main(boxes: int, switchovers: int, name: str, *, as_json: bool) -> None:
    """Fill an index and ask it; exit code 1 when the promise is broken."""
    console = new_console(as_json=as_json)
    release = next(each for each in RELEASES if each.name == name)
    with IndexServer(release, heap_mb=HEAP_MB) as server:
        client = client_of(server)
        prepare(client)
        now_s = time.time()
        fill(console, client, box_lines(boxes, now_s), boxes)
        fill(console, client, switchover_lines(switchovers, now_s), switchovers)
        settle(client)
        held = f"{count(client, 'hltmode-box-*'):,} boxes and {count(client, 'hltmode-switchover-*'):,} switchovers"
        client.close()
        console.print(f"{held} in {release.name}", style="dim")
        figures = list(asked(console, server, held))
    finish(console, figures, as_json=as_json)


def asked(console: Console, server: IndexServer, held: str) -> Iterator[Figure]:
    """Yields how long the command takes, for what is promised and for more."""
    spans_s = timed(server, RUNS)
    detail = f"{RUNS} runs; {server.release.name} with {held}"
    yield Figure(f"history --since {SINCE}, median", PROMISE_S, statistics.median(spans_s), "s", detail)
    yield Figure(f"history --since {SINCE}, worst", PROMISE_S, max(spans_s), "s", detail)
    for words, options in ALSO:
        console.print(words, style="dim")
        spans_s = timed(server, RUNS_OF_OTHERS, *options)
        detail = f"{' '.join(options)}; {RUNS_OF_OTHERS} runs"
        yield Figure(f"{words}, median", None, statistics.median(spans_s), "s", detail)
        yield Figure(f"{words}, worst", None, max(spans_s), "s", detail)


def timed(server: IndexServer, runs: int, *options: str) -> list[float]:
    """Returns the seconds of several runs of the command."""
    command = [sys.executable, "-m", "hltmode", "history", "--host", server.url, "--kind", kind_of(server).value]
    spans_s = []
    for _ in range(runs):
        began_s = time.monotonic()
        done = subprocess.run([*command, "--since", SINCE, *options], check=True, capture_output=True)
        spans_s.append(time.monotonic() - began_s)
        assert done.stdout.strip(), "nothing found"
    return spans_s


def fill(console: Console, client: IndexClient, lines: Iterator[Line], n: int) -> None:
    """Puts documents in their indices, one batch after the other."""
    began_s = time.monotonic()
    sent = 0
    known: set[str] = set()
    with console.status("") as status:
        while batch := list(islice(lines, BATCH)):
            for index in {index for index, _ in batch} - known:
                known.add(index)
                ask(client, "PUT", f"/{index}", msgspec.json.encode({"settings": WHILE_FILLING}))
            answer = ask(client, "POST", "/_bulk?filter_path=errors", b"".join(line for _, line in batch), NDJSON)
            assert not answer["errors"]
            sent += len(batch)
            speed = sent / (time.monotonic() - began_s)
            status.update(f"{sent:,} of {n:,} documents, {speed:,.0f} a second")
    console.print(f"{sent:,} documents in {time.monotonic() - began_s:.0f} s", style="dim")


def settle(client: IndexClient) -> None:
    """Has the indices be as the templates want them, and waits until the merges that the filling left are done."""
    ask(client, "PUT", "/hltmode-*/_settings", msgspec.json.encode(AFTERWARDS))
    ask(client, "POST", "/hltmode-*/_refresh")
    end_s = time.monotonic() + MERGED_WITHIN_S
    while ask(client, "GET", "/hltmode-*/_stats/merge")["_all"]["total"]["merges"]["current"]:
        assert time.monotonic() < end_s, "merges don't end"
        time.sleep(1.0)


def box_lines(n: int, now_s: float, span_s: float = SPAN_S) -> Iterator[Line]:
    """Yields about `n` boxes of the farm's nodes, all of one moment after the other, spread evenly over `span_s`."""
    some = [fields for _, fields in islice(documents(), HOSTS * VARIETY)]
    hosts = [str(fields["host"]) for fields in some]
    rests = [msgspec.json.encode({k: v for k, v in fields.items() if k != "@timestamp"})[1:] for fields in some]
    moments = n // HOSTS
    for moment in range(moments):
        time_s = now_s - span_s * (1 - moment / moments)
        index, head = index_of(BOX, "cdaq", time_s), f'{{"@timestamp":"{iso(time_s)}",'.encode()
        offset = moment % VARIETY * HOSTS
        for place in range(HOSTS):
            identity = document_id(hosts[place], BOX, str(1_790_000_000_000 + moment))
            yield index, action(index, identity) + head + rests[offset + place] + b"\n"


def switchover_lines(n: int, now_s: float) -> Iterator[Line]:
    """Yields `n` switchovers of the farm's nodes, oldest first, spread evenly over the days."""
    dice = random.Random(1)  # noqa: S311 - dice need no secrecy
    farm = [born(dice, number) for number in range(HOSTS)]
    for number in range(n):
        living = dice.choice(farm)
        switch = record(dice, living, number, now_s - SPAN_S * (1 - number / n))
        document = switchover_document(switch, living.node)
        index = index_of(SWITCHOVER, "cdaq", document.time_s)
        identity = document_id(document.host, SWITCHOVER, document.key)
        yield index, action(index, identity) + msgspec.json.encode(document.fields) + b"\n"


def action(index: str, identity: str) -> bytes:
    """Returns the line before a document."""
    return f'{{"create":{{"_index":"{index}","_id":"{identity}"}}}}\n'.encode()


def record(dice: random.Random, living: Living, number: int, started_s: float) -> SwitchRecord:
    """Returns one switch of a node as its journal has it."""
    to = Wanted.CLOUD if number % 2 else Wanted.HLT
    phases = {phase: dice.lognormvariate(1, 1) for phase in (PHASES[:4] if to is Wanted.CLOUD else PHASES[4:])}
    duration_s = sum(phases.values())
    return SwitchRecord(
        seq=number + 1,
        time=iso(started_s + duration_s),
        id=f"r-{number}",
        who=dice.choice(["shifter", "lhc-state", "root"]),
        reason=f"fill {9000 + number % 500}",
        from_mode=Mode.HLT if to is Wanted.CLOUD else Mode.CLOUD,
        to=to,
        outcome=dice.choices(["done", "superseded", "refused", "vms_failed"], [90, 5, 3, 2])[0],
        why="" if number % 10 else f"{living.node.host} was asked again",
        started=iso(started_s),
        duration_s=duration_s,
        phases=phases,
        was_stuck=duration_s > 240,
    )


if __name__ == "__main__":
    main()
