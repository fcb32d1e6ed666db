"""Every panel of every dashboard shows something when real servers are asked about a farm that lives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from dashboards.boards.datasources import Flavour
from dashboards.boards.files import files as board_files
from dashboards.names import Uid
from dashboards.rules.recording import GAP_BEGAN, IDLE_CORES
from tests.grafana.frames import Frame, Series, Table
from tests.grafana.index_queries import terms
from tests.grafana.living_farm import LOST, PATTERN, SCRAPE_S, LivingFarm
from tests.grafana.panels import Sources, chosen, frames, panels
from tests.grafana.variables import Window
from tests.integration.node import wait_for
from tests.integration.shipping import prepare
from tests.servers.server import IndexServer

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("panels")]  # one farm for all, which lives a minute

BOARDS: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in board_files().items()}
LIVES_S = 60.0
NODE = "fu-c2f01-01-01"
PAST_NODE = "fu-c2f99-01-01"


@pytest.fixture(scope="module")
def farm(
    opensearch3: IndexServer, elasticsearch9: IndexServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LivingFarm]:
    """Returns a farm that has lived for a minute and lost a node on the way."""
    stores = [opensearch3, elasticsearch9]
    for store in stores:
        prepare(store)
    with LivingFarm(tmp_path_factory.mktemp("farm"), stores) as farm:
        time.sleep(LIVES_S / 2)
        farm.lose(LOST)
        wait_for(
            "an alert fires",
            lambda: farm.prometheus.query('ALERTS{alertname=~"HltmodeStuck.+",alertstate="firing"}'),
            2 * LIVES_S,
        )
        time.sleep(max(0.0, farm.began_s + LIVES_S - time.time()))
        # what adds up by the minute needs a whole one
        for name in (GAP_BEGAN, IDLE_CORES):
            minutes = partial(farm.prometheus.query, f"sum_over_time({name}[1h:1m]) > 0")
            wait_for(f"a whole minute of {name}", minutes, 3 * LIVES_S)
        yield farm


@pytest.fixture(params=list(Flavour), ids=lambda flavour: flavour.folder)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    found: Flavour = request.param
    return found


@pytest.fixture
def sources(flavour: Flavour, farm: LivingFarm, opensearch3: IndexServer, elasticsearch9: IndexServer) -> Sources:
    return Sources(farm.prometheus, opensearch3 if flavour is Flavour.OPENSEARCH else elasticsearch9, PATTERN)


def shows(frame: Frame) -> bool:
    """Returns whether a frame has a row, or a number other than 0: the farm has every trouble that a panel counts."""
    return not frame.empty if isinstance(frame, Table) else any(value for _, value in frame.points)


@pytest.mark.parametrize("uid", list(Uid), ids=lambda uid: uid.value)
def test_no_panel_is_empty(uid: Uid, flavour: Flavour, sources: Sources, farm: LivingFarm) -> None:
    board = BOARDS[f"{flavour.folder}/{uid.value}.json"]
    values = chosen(board)
    window = Window(farm.began_s, time.time(), points=60, scrape_s=SCRAPE_S)
    if uid is Uid.SWITCHOVERS:
        window = window._replace(start_s=window.end_s - 86_400.0)
    empty = []
    for panel in panels(board):
        found = frames(sources, panel, values, window)
        if not any(map(shows, found)):
            empty.append(panel["title"])
    assert not empty


def test_one_node_is_shown_alone(flavour: Flavour, sources: Sources, farm: LivingFarm) -> None:
    board = BOARDS[f"{flavour.folder}/{Uid.NODE.value}.json"]
    window = Window(farm.began_s, time.time(), points=60, scrape_s=SCRAPE_S)
    by_title = {panel["title"]: panel for panel in panels(board)}
    [line] = frames(sources, by_title["Mode"], chosen(board, host=[NODE]), window)
    assert isinstance(line, Series)
    assert line.name == NODE
    [log] = frames(sources, by_title["Log of switches"], chosen(board, host=[PAST_NODE]), window._replace(start_s=0.0))
    assert isinstance(log, Table)
    assert set(log.columns["host"]) == {PAST_NODE}


def test_tables_show_the_columns_that_they_name(flavour: Flavour, sources: Sources, farm: LivingFarm) -> None:
    """A column that the datasource names otherwise would be missing on the page without a word."""
    window = Window(time.time() - 86_400.0, time.time(), points=60, scrape_s=SCRAPE_S)
    for uid in Uid:
        board = BOARDS[f"{flavour.folder}/{uid.value}.json"]
        for panel in panels(board):
            if panel["type"] == "table":
                [shown] = [
                    each["options"]["include"]["names"]
                    for each in panel["transformations"]
                    if "include" in each["options"]
                ]
                [found] = frames(sources, panel, chosen(board), window)
                assert isinstance(found, Table)
                assert set(shown) - set(found.columns) <= {"why", "observed"}, panel["title"]


def test_coloured_series_bear_the_names_that_their_colours_are_for(
    flavour: Flavour, sources: Sources, farm: LivingFarm
) -> None:
    window = Window(time.time() - 86_400.0, time.time(), points=60, scrape_s=SCRAPE_S)
    for uid in Uid:
        board = BOARDS[f"{flavour.folder}/{uid.value}.json"]
        for panel in panels(board):
            names = {
                override["matcher"]["options"]
                for override in panel["fieldConfig"]["overrides"]
                if any(each["id"] == "color" for each in override["properties"])
            }
            found = {frame.name for frame in frames(sources, panel, chosen(board), window) if isinstance(frame, Series)}
            if names:
                assert found <= names | {"broken", "except"}, panel["title"]


def test_variables_of_the_index_list_what_it_has(flavour: Flavour, sources: Sources) -> None:
    board = BOARDS[f"{flavour.folder}/{Uid.SWITCHOVERS.value}.json"]
    asked = [json.loads(each["query"]) for each in board["templating"]["list"] if each["type"] == "query"]
    for query in asked:
        assert query["find"] == "terms"
        assert terms(sources.store, PATTERN, query["field"], query["size"]), query["field"]
