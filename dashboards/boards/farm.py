"""The farm at a glance: how many nodes are where, what is in trouble, how much capacity the trigger has."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import Dashboard

from contract.metric_names import BLOCKER
from contract.modes import Mode, Wanted
from dashboards.boards.board import Board, appliances, index, prometheus
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import PERCENTILES, SWITCHOVERS, ask, by, percentiles
from dashboards.boards.looks import (
    BLUE,
    CORE_COLOURS,
    GREEN,
    MODE_COLOURS,
    ORANGE,
    RED,
    mode_mappings,
    word_mappings,
)
from dashboards.boards.panels import (
    CORES,
    COUNT,
    SECONDS,
    SHARE,
    Column,
    heat,
    lines,
    shifted,
    stat,
    table,
)
from dashboards.boards.prometheus_queries import APPLIANCES, now, rows, series
from dashboards.names import RUNBOOKS, Uid
from dashboards.rules.recording import APPLIANCE_CORES, APPLIANCE_MODES, LAST_HEARD, MODE_CODE, NODE, OVERDUE

NODE_LINK: Final = (
    f"/d/{Uid.NODE.value}?var-appliance=${{__data.fields.appliance}}"
    "&var-host=${__data.fields.host}&${__url_time_range}&${prometheus:queryparam}&${index:queryparam}"
)
CODES: Final = f"{MODE_CODE}{{{APPLIANCES}}}"
MODES: Final = f"sum by (mode) ({APPLIANCE_MODES}{{{APPLIANCES}}})"
IN_HLT: Final = f'sum({APPLIANCE_MODES}{{{APPLIANCES},mode="{Mode.HLT.value}"}})'
LOST: Final = f"last_over_time({CODES}[1h]) unless on {NODE} {CODES}"
HEARD: Final = f"last_over_time({LAST_HEARD}{{{APPLIANCES}}}[1h])"
# A row of each lost node: its last mode as a label, and for how long nothing has been heard of it.
LOST_ROWS: Final = f'count_values by (appliance, host) ("code", {LOST}) * on {NODE} group_left () (time() - {HEARD})'
OVERDUE_NODES: Final = f"{OVERDUE}{{{APPLIANCES}}}"
STUCK: Final = (
    f"({OVERDUE_NODES} * on {NODE} group_left (blocker) {BLOCKER}{{{APPLIANCES}}}) or on {NODE} {OVERDUE_NODES}"
)
TROUBLE: Final = ((None, GREEN), (1.0, ORANGE), (10.0, RED))
DAY: Final = "1d"
WEEK: Final = "7d"


def farm(flavour: Flavour) -> Dashboard:
    """Returns the dashboard."""
    board = Board(
        Uid.FARM, "Farm", "How many nodes are in which mode, and which are in trouble.",
        prometheus(), index(flavour), appliances(), span="6h",
    )  # fmt: skip
    board.row(
        "Now", 4,
        (10, "Nodes by mode", "Nodes that say that they are in a mode, right now.",
         stat([now(MODES, "{{mode}}")], COUNT, colours=MODE_COLOURS)),
        (4, "HLT capacity", "Share of the nodes that we hear of that work for the trigger.",
         stat([now(f"{IN_HLT} / sum({MODES})", "in HLT")], SHARE, steps=((None, BLUE),))),
        (4, "Cores given to the cloud", "Core tokens in the cloud folder.",
         stat([now(f'sum({APPLIANCE_CORES}{{{APPLIANCES},state="cloud"}})', "cores")], CORES, steps=((None, GREEN),))),
        (3, "Stuck", "Nodes that take longer for a switch than their own configuration allows.",
         stat([now(f"count({OVERDUE_NODES}) or vector(0)", "stuck")], COUNT, steps=TROUBLE)),
        (3, "Lost", "Nodes heard of within the last hour, and no longer.",
         stat([now(f"count({LOST}) or vector(0)", "lost")], COUNT, steps=TROUBLE)),
    )  # fmt: skip
    board.row(
        "Trouble", 8,
        (12, "Stuck nodes", "Beyond the limit of their mode, what they wait for, and for how much too long.",
         table([rows(STUCK)], [
             Column("appliance", "appliance"), Column("host", "node", link=NODE_LINK),
             Column("mode", "mode", mappings=word_mappings(MODE_COLOURS)), Column("blocker", "waits for"),
             Column("Value", "overdue", SECONDS),
         ])),
        (6, "Lost nodes", "Heard of within the last hour and no longer: their last mode, and for how long.",
         table([rows(LOST_ROWS)], [
             Column("appliance", "appliance"), Column("host", "node", link=NODE_LINK),
             Column("code", "last mode", mappings=mode_mappings()), Column("Value", "silent for", SECONDS),
         ])),
        (6, "Alerts", "What fires right now, for the farm as a whole too.",
         table([rows('ALERTS{alertstate="firing",alertname=~"Hltmode.+",appliance=~"$appliance|"}')], [
             Column("alertname", "alert", link=f"{RUNBOOKS}#${{__value.raw}}"), Column("appliance", "appliance"),
             Column("host", "node", link=NODE_LINK), Column("severity", "severity"),
         ])),
        runbook="HltmodeStuckActivating",
    )  # fmt: skip
    board.row(
        "Over time", 8,
        (12, "Nodes by mode", "Nodes that say that they are in a mode.",
         lines([series(MODES, "{{mode}}")], COUNT, colours=MODE_COLOURS, stacked=True)),
        (12, "Cores by state", "Core tokens of all nodes.",
         lines([series(f"sum by (state) ({APPLIANCE_CORES}{{{APPLIANCES}}})", "{{state}}")], CORES,
               colours=CORE_COLOURS, stacked=True)),
    )  # fmt: skip
    away = f'sum by (appliance) ({APPLIANCE_MODES}{{{APPLIANCES},mode!="{Mode.HLT.value}"}})'
    board.row(
        "Appliances", 14,
        (24, "Share away from HLT", "Of each appliance the share of nodes that are not in HLT: blue none, red all.",
         heat([series(f"{away} / sum by (appliance) ({APPLIANCE_MODES}{{{APPLIANCES}}})", "{{appliance}}")], SHARE)),
    )  # fmt: skip
    board.row("How long switches take", 4, *(
        (6, f"To {to.value}, {words}", f"Median and slowest in twenty of switches to {to.value}, {explained}.",
         shifted(stat([_durations(flavour, to)], SECONDS, of_rows=PERCENTILES), span=DAY, shift=shift))
        for to in (Wanted.CLOUD, Wanted.HLT)
        for words, explained, shift in (
            ("last 24 h", "from request to end, in the last day", ""),
            ("a week before", "the same day of the week before", WEEK),
        )
    ))  # fmt: skip
    return board.build()


def _durations(flavour: Flavour, to: Wanted) -> Dataquery:
    lucene = f"{SWITCHOVERS} AND outcome:done AND to:{to.value} AND appliance:/${{appliance:regex}}/"
    return ask(flavour, lucene, [percentiles("duration_s")], [by("to")])
