"""The dashboards as files: what Grafana needs of them, and that they ask only for what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from collector.index.fields import FIELDS, Field
from contract.metric_names import BEAM_MODE
from contract.modes import MODES
from dashboards.__main__ import FOLDER
from dashboards.boards.board import COLUMNS, Board
from dashboards.boards.datasources import Flavour
from dashboards.boards.files import files as board_files
from dashboards.boards.panels import COUNT, stat
from dashboards.boards.prometheus_queries import now
from dashboards.names import RUNBOOKS, Uid
from dashboards.rules.alerts import ALERTS
from dashboards.rules.recording import RECORDINGS
from tests.grafana.panels import panels
from tests.unit.test_rules import NAME, exported

BOARDS = {name: json.loads(text) for name, text in board_files().items()}
PANELS = [
    pytest.param(board, panel, id=f"{name}-{panel['id']}") for name, board in BOARDS.items() for panel in panels(board)
]
EACH_BOARD = pytest.mark.parametrize("board", list(BOARDS.values()), ids=list(BOARDS))
EACH_PANEL = pytest.mark.parametrize(("board", "panel"), PANELS)
SINGLE_UNITS = {"timeseries", "stat", "state-timeline", "status-history", "table"}
INDEX_TYPES = {flavour.value for flavour in Flavour}


def field_names(fields: tuple[Field, ...], before: str = "") -> Iterator[str]:
    for field in fields:
        yield before + field.name
        yield from field_names(field.parts, f"{before}{field.name}.")


def test_no_dashboard_lies_there_that_the_code_no_longer_makes() -> None:
    made = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "grafana").rglob("hltmode-*.json")}
    assert made == {f"grafana/{name}" for name in board_files()}


@EACH_BOARD
def test_the_schema_reads_them_back(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
    for panel, read in zip(board["panels"], again["panels"], strict=True):
        if "custom" not in panel.get("fieldConfig", {}).get("defaults", {}):
            read.get("fieldConfig", {}).get("defaults", {}).pop("custom", None)  # which reading adds, all defaults
    assert again == board


@EACH_BOARD
def test_panels_fill_the_grid_without_overlap_and_have_ids_of_their_own(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= COLUMNS
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(taken) == COLUMNS * (1 + max(y for _, y in taken))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_uids_are_those_that_alerts_link_to() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {uid.value for uid in Uid}
    assert {alert.dashboard for alert in ALERTS} <= set(Uid)


@EACH_BOARD
def test_every_variable_that_is_used_is_there_and_every_one_there_is_used(board: dict[str, Any]) -> None:
    declared = {variable["name"] for variable in board["templating"]["list"]}
    queries = json.dumps([board["panels"], [each.get("query") for each in board["templating"]["list"]]])
    used = set(re.findall(r"\$\{?(\w+)", queries)) - {
        "__interval",
        "__range",
        "__rate_interval",
        "__data",
        "__value",
        "__url_time_range",
    }
    linked = {"prometheus", "index"}  # links hand these on when both dashboards have them
    assert used - linked <= declared
    assert declared <= used


@EACH_PANEL
def test_a_panel_says_what_it_shows_in_which_unit_and_from_where(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "all."))
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] in ("${prometheus}", "${index}")
    assert len({target["datasource"]["type"] for target in panel["targets"]}) == 1
    refs = [target["refId"] for target in panel["targets"]]
    assert len(set(refs)) == len(refs)


@EACH_PANEL
def test_a_panel_asks_only_for_metrics_that_are_exported_or_recorded(
    board: dict[str, Any], panel: dict[str, Any]
) -> None:
    known = exported() | {each.record for each in RECORDINGS} | {BEAM_MODE}
    for target in panel["targets"]:
        found = {name.removesuffix("_bucket") for name in NAME.findall(target.get("expr", ""))}
        assert found <= known, target["expr"]


def test_what_is_asked_over_days_has_few_series_however_many_nodes_there_are() -> None:
    """Of the farm or by mode, state and appliance: a week of a series of each node takes seconds."""
    few = {each.record for each in RECORDINGS if not each.record.startswith("host:")} | {BEAM_MODE}
    long = [board for board in BOARDS.values() if board["time"]["from"].endswith("d")]
    exprs = [
        target["expr"] for board in long for panel in panels(board) for target in panel["targets"] if "expr" in target
    ]
    assert exprs
    for expr in exprs:
        assert set(NAME.findall(expr)) <= few, expr


@EACH_PANEL
def test_a_panel_asks_only_for_fields_of_the_index(board: dict[str, Any], panel: dict[str, Any]) -> None:
    known = {name for fields in FIELDS.values() for name in field_names(fields)}
    for target in panel["targets"]:
        if target["datasource"]["type"] not in INDEX_TYPES:
            continue
        asked = {each["field"] for each in target["bucketAggs"] + target["metrics"] if "field" in each}
        asked |= set(re.findall(r"\b(\w+):", re.sub(r"\$\{\w+:\w+\}", "", target["query"]))) - {"_index"}
        assert asked <= known


def test_the_flavours_differ_in_nothing_but_the_datasource() -> None:
    for uid in Uid:
        elastic, opensearch = (json.loads(board_files()[f"{flavour.folder}/{uid.value}.json"]) for flavour in Flavour)
        for target in (target for panel in panels(opensearch) for target in panel["targets"] if "bucketAggs" in target):
            words = target.pop("queryType"), target.pop("luceneQueryType"), target.pop("format")
            raw = target["metrics"][0]["type"] == "raw_data"
            assert words == ("lucene", "RawData" if raw else "Metric", "table")
        plain = json.dumps(opensearch).replace(Flavour.OPENSEARCH.value, Flavour.ELASTICSEARCH.value)
        assert json.loads(plain) == elastic


def test_each_mode_has_one_colour_and_name_wherever_it_is_shown() -> None:
    for name, board in BOARDS.items():
        text = json.dumps(board)
        for mode, facts in MODES.items():
            for shown in re.findall(rf'"color": "(#\w+)", "index": \d, "text": "{mode.value}"', text):
                assert shown == facts.colour, name


def test_links_lead_to_dashboards_that_exist_and_to_runbooks_that_exist() -> None:
    anchors = {alert.name.lower() for alert in ALERTS}
    for board in BOARDS.values():
        text = json.dumps(board)
        assert set(re.findall(r"/d/([\w-]+)", text)) <= {uid.value for uid in Uid}
        assert set(re.findall(rf"{re.escape(RUNBOOKS)}#(\w+)", text)) <= anchors
        assert RUNBOOKS in text


def test_a_row_whose_panels_do_not_fill_it_is_refused() -> None:
    board = Board(Uid.FARM, "x", "x", span="1h")
    with pytest.raises(ValueError, match="add up to 24"):
        board.row("narrow", 4, (12, "one", "Half.", stat([now("up", "up")], COUNT)))
