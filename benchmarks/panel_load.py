"""How long each panel of each dashboard takes for a farm of 1500 nodes, and the rules.

`python -m benchmarks.panel_load`. A real Prometheus scrapes what 75 collectors export, every second so that ten minutes
give as many points as two and a half hours of a farm; a real OpenSearch holds the box documents of an hour and 100,000
switchovers. Then each panel is asked as Grafana would, some times over.
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

from benchmarks.asking import client_of, prepare
from benchmarks.box_documents import HOSTS, INTERVAL_S
from benchmarks.farm_page import APPLIANCES
from benchmarks.figures import Figure, finish, new_console
from benchmarks.history_at_scale import box_lines, fill, settle, switchover_lines
from benchmarks.processes import Program, module
from dashboards.boards.datasources import Flavour
from dashboards.boards.files import files as board_files
from dashboards.names import Uid
from dashboards.rules.files import files as rule_files
from dashboards.rules.recording import JOB
from tests.grafana.panels import Sources, chosen, frames, panels
from tests.grafana.variables import Window
from tests.ports import free_port
from tests.servers.prometheus import PrometheusServer
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexServer

PROMISE_S: Final = 0.5
RUNS: Final = 5
POINTS: Final = 300
HEAP_MB: Final = 1024
BOXES: Final = int(HOSTS * 3600 / INTERVAL_S)
SWITCHOVERS: Final = 100_000
SAY_EVERY_S: Final = 30.0
DAY_S: Final = 86_400.0


class Timed(NamedTuple):
    """A panel and the median of its times in seconds."""

    board: str
    title: str
    kind: str
    seconds: float


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(minutes: float, *, as_json: bool) -> None:
    """Scrape, fill and ask; exit code 1 when a promise is broken."""
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-bench-") as folder:
        figures = list(run(console, Path(folder), minutes * 60.0))
    finish(console, figures, as_json=as_json)


def run(console: Console, root: Path, lives_s: float) -> Iterator[Figure]:
    """Yields the figures."""
    port = free_port()
    with (
        Program(module("benchmarks.farm_page", port), root / "page.log"),
        PrometheusServer(lay_out(root / "prometheus", port), root / "prometheus") as prometheus,
        IndexServer(OPENSEARCH_3, heap_mb=HEAP_MB) as server,
    ):
        began_s = time.time()
        client = client_of(server)
        prepare(client)
        fill(console, client, box_lines(BOXES, began_s, 3600.0), BOXES)
        fill(console, client, switchover_lines(SWITCHOVERS, began_s), SWITCHOVERS)
        settle(client)
        client.close()
        while (left_s := began_s + lives_s - time.time()) > 0:
            console.print(f"scraped for {lives_s - left_s:.0f} of {lives_s:.0f} s", style="dim")
            time.sleep(min(SAY_EVERY_S, left_s))
        yield from of_rules(prometheus)
        yield from of_panels(list(timed(console, Sources(prometheus, server), began_s)))


def lay_out(folder: Path, port: int) -> str:
    """Puts the shipped rules in `folder` and returns the configuration that scrapes the page."""
    folder.mkdir(parents=True)
    for name, content in rule_files().items():
        (folder / name).write_text(content)
    names = [f"bu-c2f{number:02d}" for number in range(1, APPLIANCES + 1)]
    labels = [{"host": name, "appliance": name, "__metrics_path__": f"/metrics/{name}"} for name in names]
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": each} for each in labels]
    scrape = {"job_name": JOB, "honor_labels": True, "scrape_interval": "1s", "static_configs": targets}
    return yaml.safe_dump({"rule_files": list(rule_files()), "scrape_configs": [scrape]})


def timed(console: Console, sources: Sources, began_s: float) -> Iterator[Timed]:
    """Yields how long each panel takes."""
    for uid in Uid:
        board = json.loads(board_files()[f"{Flavour.OPENSEARCH.folder}/{uid.value}.json"])
        values = chosen(board, **({"host": ["fu-c2f01-01-01"]} if uid is Uid.NODE else {}))
        now_s = time.time()
        window = Window(now_s - (7 * DAY_S if uid is Uid.SWITCHOVERS else now_s - began_s), now_s, POINTS)
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
