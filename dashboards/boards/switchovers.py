"""The switches of the farm, from the index: how they ended, how long they took and where, who asked, what changed."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from contract.journal import PHASES
from dashboards.boards.board import Board, choice, index, indexed
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import (
    PERCENTILES,
    SWITCHOVERS,
    ask,
    average,
    by,
    count,
    documents,
    most,
    of_hosts,
    over_time,
    percentiles,
)
from dashboards.boards.looks import BLUE, OUTCOME_COLOURS, word_mappings
from dashboards.boards.panels import COUNT, SECONDS, Column, lines, shifted, stat, table
from dashboards.names import Uid

COMPARE: Final = "compare"
FOUND: Final = of_hosts(SWITCHOVERS, "to:/${to:regex}/", "outcome:/${outcome:regex}/")
STUCK: Final = f"{FOUND} AND was_stuck:true"
MANY: Final = 500
NODE_LINK: Final = f"/d/{Uid.NODE.value}?var-host=${{__value.raw}}&${{__url_time_range}}&${{index:queryparam}}"


def switchovers(flavour: Flavour) -> Dashboard:
    """Returns the dashboard."""
    board = Board(
        Uid.SWITCHOVERS, "Switchovers", "Every switch of every node, for as long as the index keeps them.",
        index(flavour), indexed("appliance", "Appliance", flavour), indexed("host", "Node", flavour),
        indexed("to", "To", flavour), indexed("outcome", "Outcome", flavour),
        choice(COMPARE, "Compare with", "7d", "1d", "30d"), span="7d", refresh="1m",
    )  # fmt: skip
    board.row(
        "In the chosen time", 5,
        (8, "How they ended", "Switches by outcome.", _outcomes(flavour)),
        (8, "How long they took", "Median and slowest in twenty, from request to end.", _durations(flavour)),
        (8, "Stuck", "Switches that took longer than their own limit.",
         stat([ask(flavour, STUCK, [count()], [over_time()])], COUNT, steps=((None, BLUE),), sums=True)),
    )  # fmt: skip
    board.row(
        "As much earlier as chosen above", 5,
        (8, "How they ended then", "Switches by outcome.", _then(_outcomes(flavour))),
        (8, "How long they took then", "Median and slowest in twenty, from request to end.",
         _then(_durations(flavour))),
        (8, "By phase then", "Mean time in each phase.", _then(_phases(flavour))),
    )  # fmt: skip
    board.row(
        "Over time", 8,
        (12, "Switches by outcome", "How many ended so in each stretch of time.",
         lines([ask(flavour, FOUND, [count()], [by("outcome"), over_time()])], COUNT, colours=OUTCOME_COLOURS,
               stacked=True, bars=True)),
        (12, "How long they took", "Median and slowest in twenty of each stretch of time, from request to end.",
         lines([ask(flavour, FOUND, [percentiles("duration_s")], [by("to"), over_time()])], SECONDS)),
    )  # fmt: skip
    board.row(
        "Where the time goes", 8,
        (8, "By phase", "Mean time in each phase.", _phases(flavour)),
        (8, "Slowest nodes", "Nodes by the longest of their switches.",
         table([ask(flavour, FOUND, [count(), average("duration_s", 3), most("duration_s", 4)],
                    [by("host", order_by="4")])], [
             Column("host", "node", link=NODE_LINK), Column("Count", "switches"),
             Column("Average", "mean", SECONDS), Column("Max", "longest", SECONDS),
         ])),
        (8, "Who asked", "Switches by who asked for them.",
         table([ask(flavour, FOUND, [count(), average("duration_s", 3)], [by("who")])], [
             Column("who", "who"), Column("Count", "switches"), Column("Average", "mean", SECONDS),
         ])),
    )  # fmt: skip
    board.row(
        "Each of them", 14,
        (24, "History", f"The newest {MANY}.",
         table([ask(flavour, FOUND, [documents(MANY)])], [
             Column("@timestamp", "ended"), Column("appliance", "appliance"), Column("host", "node", link=NODE_LINK),
             Column("to", "to"), Column("outcome", "outcome", mappings=word_mappings(OUTCOME_COLOURS)),
             Column("duration_s", "took", SECONDS),
             *(Column(f"phases.{phase}", phase, SECONDS) for phase in PHASES),
             Column("who", "who"), Column("reason", "reason"), Column("why", "why not"),
             Column("was_stuck", "was stuck"), Column("observed", "observed"),
         ])),
    )  # fmt: skip
    return board.build()


def _outcomes(flavour: Flavour) -> Panel:
    found = ask(flavour, FOUND, [count()], [by("outcome"), over_time()])
    return stat([found], COUNT, colours=OUTCOME_COLOURS, sums=True)


def _durations(flavour: Flavour) -> Panel:
    return stat([ask(flavour, FOUND, [percentiles("duration_s")], [by("to")])], SECONDS, of_rows=PERCENTILES)


def _phases(flavour: Flavour) -> Panel:
    means = [average(f"phases.{phase}", number) for number, phase in enumerate(PHASES, 11)]
    columns = [Column(f"Average phases.{phase}", phase, SECONDS) for phase in PHASES]
    return table([ask(flavour, FOUND, means, [by("to")])], [Column("to", "to"), *columns])


def _then(panel: Panel) -> Panel:
    return shifted(panel, shift=f"${COMPARE}")
