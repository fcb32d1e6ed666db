"""Previews of the dashboards: pages with the real answers of real servers, drawn simply, and pictures of them.

`make preview` starts a simulated farm, lets it live for a while and writes a page for each dashboard. No Grafana is
asked: layout, titles, units, colours and data are those of the dashboards, the drawing is not.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import click

from dashboards.boards.datasources import Flavour
from dashboards.boards.files import files as board_files
from dashboards.names import Uid
from simulator.many_nodes import Fault
from tests.grafana.drawing import draw
from tests.grafana.living_farm import LOST, PATTERN, SCRAPE_S, LivingFarm
from tests.grafana.panels import Sources, chosen, frames, looked_at
from tests.grafana.variables import Window
from tests.integration.shipping import prepare
from tests.servers.releases import OPENSEARCH_3
from tests.servers.server import IndexServer

FOLDER: Final = Path("preview")
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
SAY_EVERY_S: Final = 10.0
CELL: Final = 30
STYLE: Final = Path(__file__).with_suffix(".css")


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0.5), default=3.0, show_default=True, help="How long it lives.")
def main(folder: Path, minutes: float) -> None:
    """Write a page and a picture of each dashboard."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hltmode-preview-") as work, IndexServer(OPENSEARCH_3) as store:
        prepare(store)
        with LivingFarm(Path(work), [store]) as farm:
            live(farm, minutes * 60.0)
            sources = Sources(farm.prometheus, store, PATTERN)
            for uid in Uid:
                board = json.loads(board_files()[f"{Flavour.OPENSEARCH.folder}/{uid.value}.json"])
                path = folder / f"{uid.value}.html"
                path.write_text(page(board, sources, farm))
                click.echo(f"{path}: written{_pictured(path, board)}")


def live(farm: LivingFarm, seconds: float) -> None:
    """Lets the farm live, and loses a node half-way."""
    lost = False
    while (lived_s := time.time() - farm.began_s) < seconds:
        if not lost and lived_s > seconds / 2:
            farm.lose(LOST)
            lost = True
        click.echo(f"the farm has lived {lived_s:.0f} of {seconds:.0f} s")
        time.sleep(min(SAY_EVERY_S, max(0.1, seconds - lived_s)))


def page(board: Mapping[str, Any], sources: Sources, farm: LivingFarm) -> str:
    """Returns the page of one dashboard."""
    now_s = time.time()
    window = Window(farm.began_s, now_s, points=90, scrape_s=SCRAPE_S)
    choices: dict[str, tuple[str, ...]] = {}
    if board["uid"] == Uid.SWITCHOVERS.value:
        window = Window(now_s - 7 * 86_400.0, now_s, points=60)
    if board["uid"] == Uid.NODE.value:
        choices = {"host": tuple(busiest(farm, appliance) for appliance in ("bu-c2f01", "bu-c2f02"))}
    values = chosen(board, **choices)
    parts = []
    for panel in board["panels"]:
        at = panel["gridPos"]
        place = f'style="grid-area:{at["y"] + 1}/{at["x"] + 1}/span {at["h"]}/span {at["w"]}"'
        if panel["type"] == "row":
            parts.append(f'<div class="row" {place}>{escape(panel["title"])}</div>')
            continue
        own = looked_at(panel, values, window)
        drawn = draw(panel, frames(sources, panel, values, window), own)
        said = escape(panel["description"])
        title = f'<h2 title="{said}">{escape(panel["title"])} <small>&#9432;</small></h2>'
        parts.append(f'<div class="panel" {place}>{title}{drawn}</div>')
    words = ", ".join(f"{name}: {' + '.join(value)}" for name, value in values.items()).replace("$__all", "All")
    said = f"{escape(board['description'])} &middot; {escape(words)}"
    head = f"<h1>{escape(board['title'])} <small>{said}</small></h1>"
    note = "<p>A preview: real data, drawn simply. Grafana draws the same panels.</p>"
    return (
        f"<!doctype html><meta charset=utf-8><title>{escape(board['title'])}</title>"
        f"<style>{STYLE.read_text()}</style>{head}{note}"
        f'<div class="grid">{"".join(parts)}</div>'
    )


def busiest(farm: LivingFarm, appliance: str) -> str:
    """Returns the node of an appliance that has switched most, but for those that do nothing else."""
    nodes = [node for node in farm.many.nodes if node.appliance == appliance and node.fault is Fault.NONE]
    return max(nodes, key=lambda node: node.switch).host


def _pictured(path: Path, board: Mapping[str, Any]) -> str:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return ", without a picture: no Chromium on this machine"
    picture = path.with_suffix(".png")
    height = (max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])) * (CELL + 6) + 120
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1600,{height}",
         f"--screenshot={picture.resolve()}", path.resolve().as_uri()],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return f", pictured in {picture}" if done.returncode == 0 else f", without a picture: {done.stderr[-200:]}"


if __name__ == "__main__":
    main()
