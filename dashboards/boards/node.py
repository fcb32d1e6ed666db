"""One node, or a few: what it does, what it waits for, and what it has done."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from contract.metric_names import ACTIVE_RUN, BLOCKER, BOX_AGE, CLOCK_SKEW, CORES, MODE_SINCE, MODE_TIMEOUT, VMS
from dashboards.boards.board import Board, appliances, hosts, index, prometheus
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import BOXES, SWITCHOVERS, ask, by, documents, most, of_hosts, over_time
from dashboards.boards.looks import (
    BLUE,
    CORE_COLOURS,
    GREEN,
    ORANGE,
    OUTCOME_COLOURS,
    RED,
    mode_mappings,
    present,
    word_mappings,
)
from dashboards.boards.panels import CORES as CORES_UNIT
from dashboards.boards.panels import COUNT, SECONDS, Column, lines, stat, table, timeline
from dashboards.boards.prometheus_queries import NODES, now, series
from dashboards.names import Uid
from dashboards.rules.recording import MODE_CODE

HOST: Final = "{{host}}"
HISTORY_LINK: Final = (
    f"/d/{Uid.SWITCHOVERS.value}?var-host=${{__value.raw}}&${{__url_time_range}}&${{index:queryparam}}"
)
SWITCH_COLUMNS: Final = (
    Column("@timestamp", "ended"),
    Column("host", "node", link=HISTORY_LINK),
    Column("to", "to"),
    Column("outcome", "outcome", mappings=word_mappings(OUTCOME_COLOURS)),
    Column("duration_s", "took", SECONDS),
    Column("who", "who"),
    Column("reason", "reason"),
    Column("why", "why not"),
    Column("was_stuck", "was stuck"),
)


def node(flavour: Flavour) -> Dashboard:
    """Returns the dashboard."""
    board = Board(
        Uid.NODE, "Node", "What a node does, what it waits for, and what it has done.",
        prometheus(), index(flavour), appliances(), hosts(), span="3h",
    )  # fmt: skip
    board.row(
        "Now", 4,
        (8, "Mode", "What the mode file says, which the cloud team reads.",
         stat([now(f"{MODE_CODE}{{{NODES}}}", HOST)], COUNT, mappings=mode_mappings())),
        (4, "For", "How long it has been in this mode.",
         stat([now(f"time() - {MODE_SINCE}{{{NODES}}}", HOST)], SECONDS)),
        (4, "Limit", "After how long in a switching mode the node is called stuck.",
         stat([now(f"max by (mode) ({MODE_TIMEOUT}{{{NODES}}})", "{{mode}}")], SECONDS)),
        (4, "Run", "Newest run at work, 0 without one.", stat([now(f"{ACTIVE_RUN}{{{NODES}}}", HOST)], COUNT)),
        (4, "Age of the box file", "A BU drops a filter unit whose box is older than 10 s.",
         stat([now(f"{BOX_AGE}{{{NODES}}}", HOST)], SECONDS, steps=((None, GREEN), (10.0, ORANGE), (30.0, RED)))),
    )  # fmt: skip
    board.row(
        "Mode", 7,
        (24, "Mode", "The mode over time; grey: not heard of.",
         timeline([series(f"{MODE_CODE}{{{NODES}}}", HOST)], mode_mappings())),
    )  # fmt: skip
    board.row(
        "On the way", 7,
        (12, "Waits for", "A band while the node waits for what its name says.",
         timeline([series(f"max by (blocker) ({BLOCKER}{{{NODES}}})", "{{blocker}}")], present("waits", ORANGE))),
        (12, "Virtual machines", "A band while they are in the state that its name says.",
         timeline([series(f"max by (state) ({VMS}{{{NODES}}} == 1)", "{{state}}")], present("yes", BLUE))),
        runbook="HltmodeStuckActivating",
    )  # fmt: skip
    board.row(
        "Work", 8,
        (12, "Cores by state", "Core tokens of the node.",
         lines([series(f"sum by (state) ({CORES}{{{NODES}}})", "{{state}}")], CORES_UNIT, colours=CORE_COLOURS,
               stacked=True)),
        (12, "Lumisections", "Newest lumisection of the newest run that a job has opened, and newest that is merged.",
         lines([
             ask(flavour, of_hosts(BOXES, "activeRunCMSSWMaxLS:>=0"),
                 [most("activeRunCMSSWMaxLS"), most("activeRunMaxLSOut", 3)], [over_time()]),
         ], COUNT)),
    )  # fmt: skip
    board.row(
        "Files and clock", 6,
        (12, "Age of the box file", "A BU drops a filter unit whose box is older than 10 s.",
         lines([series(f"{BOX_AGE}{{{NODES}}}", HOST)], SECONDS)),
        (12, "Clock off", "How far the node's clock is ahead of its BU's, by the box file; behind, it is negative.",
         lines([series(f"{CLOCK_SKEW}{{{NODES}}}", HOST)], SECONDS, least=None)),
    )  # fmt: skip
    board.row(
        "Switches", 10,
        (16, "Log of switches", "Each switch of the node as a whole, the newest first.",
         table([ask(flavour, of_hosts(SWITCHOVERS), [documents(200)])], SWITCH_COLUMNS)),
        (8, "How long switches took", "The longest of each stretch of time, from request to end.",
         lines([ask(flavour, of_hosts(SWITCHOVERS), [most("duration_s")], [by("to"), over_time()])], SECONDS,
               bars=True)),
    )  # fmt: skip
    return board.build()
