"""How long each panel of each dashboard takes for a farm of 1500 nodes, and the rules.

`python -m benchmarks.panel_load`. A real Prometheus scrapes what 75 collectors export, every second, so that rules look
back on as many points as in a real farm. Then the series that panels ask for get a past as long as each dashboard opens
with, in blocks, at the interval of real scrapes; a real OpenSearch holds the box documents of an hour and 100,000
switchovers of a month. Then each panel is asked over that time as Grafana would, some times over.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import yaml
from rich.console import Console

from benchmarks import backfill
from benchmarks.asking import client_of, prepare
from benchmarks.box_documents import HOSTS, INTERVAL_S
from benchmarks.farm_page import APPLIANCES
from benchmarks.figures import Figure, finish, new_console
from benchmarks.history_at_scale import box_lines, fill, settle, switchover_lines
from benchmarks.processes import Program, module
from contract.beam import BeamMode
from dashboards.boards.datasources import Flavour
from dashboards.boards.files import files as board_files
from dashboards.names import Uid
from dashboards.rules.files import files as rule_files
from dashboards.rules.recording import JOB
from tests.grafana.living_farm import beam_page
from tests.grafana.panels import Sources, chosen, frames, panels
from tests.grafana.variables import Window, seconds
from tests.ports import free_port
from tests.servers.listener import Listener
from tests.servers.prometheus import PrometheusServer
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexServer

PROMISE_S: Final = 0.5
RUNS: Final = 5
POINTS: Final = 300
HEAP_MB: Final = 1024
HOUR_S: Final = 3600.0
SWITCHOVERS: Final = 100_000
SAY_EVERY_S: Final = 30.0


class Timed(NamedTuple):
    """A panel and the median of its times in seconds."""

    board: str
    title: str
    kind: str
    seconds: float


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@click.option("--boxes-minutes", type=click.FloatRange(1, 60), default=60.0, show_default=True, help="In the index.")
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, boxes_minutes: float, *, as_json: bool) -> None:
    """Scrape, fill and ask; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder:
        figures = list(run(console, Path(folder), minutes * 60.0, boxes_minutes * 60.0))
    finish(console, figures, as_json=as_json)


def run(console: Console, root: Path, lives_s: float, boxes_s: float = HOUR_S) -> Iterator[Figure]:
    """Yields the figures."""
    port = free_port()
    with (
        Program(module("benchmarks.farm_page", port), root / "page.log"),
        Listener(beam_page(BeamMode.RAMP_DOWN)) as beam,
        PrometheusServer(lay_out(root / "prometheus", port, beam.port), root / "prometheus") as prometheus,
        IndexServer(OPENSEARCH_3, heap_mb=HEAP_MB) as server,
    ):
        began_s = time.time()
        client = client_of(server)
        prepare(client)
        boxes = int(HOSTS * boxes_s / INTERVAL_S)
        fill(console, client, box_lines(boxes, began_s, boxes_s), boxes)
        fill(console, client, switchover_lines(SWITCHOVERS, began_s), SWITCHOVERS)
        settle(client)
        client.close()
        while (left_s := began_s + lives_s - time.time()) > 0:
            console.print(f"scraped for {lives_s - left_s:.0f} of {lives_s:.0f} s", style="dim")
            time.sleep(min(SAY_EVERY_S, left_s))
        yield from of_rules(prometheus)
        yield with_past(console, prometheus, began_s)
        yield from of_panels(list(timed(console, Sources(prometheus, server))))


def lay_out(folder: Path, port: int, beam_port: int) -> str:
    """Puts the shipped rules in `folder` and returns the configuration that scrapes the page."""
    folder.mkdir(parents=True)
    for name, content in rule_files().items():
        (folder / name).write_text(content)
    names = [f"bu-c2f{number:02d}" for number in range(1, APPLIANCES + 1)]
    labels = [{"host": name, "appliance": name, "__metrics_path__": f"/metrics/{name}"} for name in names]
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": each} for each in labels]
    scrape = {"job_name": JOB, "honor_labels": True, "scrape_interval": "1s", "static_configs": targets}
    beam = {"job_name": "beam", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{beam_port}"]}]}
    return yaml.safe_dump({"rule_files": list(rule_files()), "scrape_configs": [scrape, beam]})


def with_past(console: Console, prometheus: PrometheusServer, began_s: float) -> Figure:
    """Gives the series that panels ask for their past, and has Prometheus begin anew with it."""
    asked = (backfill.asked_for(prometheus, board_of(uid), values_of(uid), opens_with(uid)) for uid in Uid)
    series = backfill.longest(past for each in asked for past in each)
    console.print(f"{len(series):,} series get a past", style="dim")
    prometheus.stop()
    samples = backfill.put(series, prometheus.folder, began_s - backfill.SCRAPED_EVERY_S)
    prometheus.start()
    spans = ", ".join(f"{uid.value.removeprefix('hltmode-')} {board_of(uid)['time']['from']}" for uid in Uid)
    detail = f"of {len(series):,} series that panels ask for, every {backfill.SCRAPED_EVERY_S} s: {spans}"
    return Figure("samples in the past that panels look at", None, float(samples), "", detail)


def board_of(uid: Uid) -> Mapping[str, Any]:
    """Returns a dashboard."""
    board: Mapping[str, Any] = json.loads(board_files()[f"{Flavour.OPENSEARCH.folder}/{uid.value}.json"])
    return board


def values_of(uid: Uid) -> Mapping[str, Any]:
    """Returns what is chosen when a dashboard opens; of the node's, one."""
    return chosen(board_of(uid), **({"host": ["fu-c2f01-01-01"]} if uid is Uid.NODE else {}))


def opens_with(uid: Uid) -> Window:
    """Returns the time that a dashboard opens with."""
    now_s = time.time()
    return Window(now_s - seconds(board_of(uid)["time"]["from"].removeprefix("now-")), now_s, POINTS)


def timed(console: Console, sources: Sources) -> Iterator[Timed]:
    """Yields how long each panel takes."""
    for uid in Uid:
        board, values, window = board_of(uid), values_of(uid), opens_with(uid)
        console.print(f"{uid.value}", style="dim")
        for panel in panels(board):
            yield Timed(uid.value, panel["title"], kind_of(panel), median_s(sources, panel, values, window))


def kind_of(panel: Mapping[str, Any]) -> str:
    """Returns which server a panel asks."""
    return "Prometheus" if panel["datasource"]["type"] == "prometheus" else "index"


def median_s(sources: Sources, panel: Mapping[str, Any], values: Mapping[str, Any], window: Window) -> float:
    """Returns the median of some runs."""
    spans_s = []
    for _ in range(RUNS):
        began_s = time.perf_counter()
        frames(sources, panel, values, window)
        spans_s.append(time.perf_counter() - began_s)
    return statistics.median(spans_s)


def of_panels(found: list[Timed]) -> Iterator[Figure]:
    """Yields the slowest panel of each server, and how they all are."""
    for kind in ("Prometheus", "index"):
        some = sorted((each for each in found if each.kind == kind), key=lambda each: -each.seconds)
        slowest = some[0]
        rest = ", ".join(f"{each.title} {each.seconds * 1000:.0f} ms" for each in some[1:4])
        detail = f"{slowest.title} of {slowest.board}; then {rest}; median of {RUNS} runs each, {len(some)} panels"
        yield Figure(f"slowest panel from {kind}", PROMISE_S, slowest.seconds, "s", detail)


def of_rules(prometheus: PrometheusServer) -> Iterator[Figure]:
    """Yields how long the rules take in a round, and how many series there are."""
    groups = prometheus.rules()
    bad = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]
    assert not bad, bad
    spans = ", ".join(f"{group['name']} {group['evaluationTime'] * 1000:.0f} ms" for group in groups)
    yield Figure("rules, a round", None, sum(group["evaluationTime"] for group in groups), "s", f"every 15 s: {spans}")
    [series] = prometheus.query('count({__name__=~".+"})')
    yield Figure("series", None, float(series["value"][1]), "", f"{HOSTS} nodes, {APPLIANCES} collectors")


if __name__ == "__main__":
    main()
