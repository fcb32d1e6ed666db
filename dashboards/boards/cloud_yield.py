"""What the cloud has been given, and what switching has cost."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from contract.beam import FREE_FOR_CLOUD
from contract.journal import PHASES
from contract.modes import Mode
from dashboards.boards.board import Board, index, prometheus
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import SWITCHOVERS, ask, over_time, total
from dashboards.boards.looks import BLUE, GREEN, GREY, MODE_COLOURS, ORANGE, RED, present
from dashboards.boards.panels import (
    CORE_HOURS,
    SECONDS,
    SHARE,
    Column,
    as_number,
    at_least,
    lines,
    stat,
    table,
    timeline,
)
from dashboards.boards.panels import CORES as CORES_UNIT
from dashboards.boards.prometheus_queries import now, rows, series
from dashboards.names import Uid
from dashboards.rules.recording import GAP_CORES, IDLE_CORES, MODE_CORES, OVERDUE_CORES, STATE_CORES, beam

DAY: Final = "1d"
GIVEN: Final = f'{STATE_CORES}{{state="cloud"}}'
ON_THE_WAY: Final = f'{MODE_CORES}{{mode=~"{Mode.ACTIVATING_CLOUD.value}|{Mode.DEACTIVATING_CLOUD.value}"}}'
SWITCHING: Final = f"sum({ON_THE_WAY})"
SWITCHING_COLOURS: Final = {
    mode.value: MODE_COLOURS[mode.value] for mode in (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD)
}


def cloud_yield(flavour: Flavour) -> Dashboard:
    """Returns the dashboard."""
    board = Board(
        Uid.YIELD, "Cloud yield", "What the cloud has been given, and what switching has cost.",
        prometheus(), index(flavour), span="7d", refresh="5m",
    )  # fmt: skip
    board.row(
        "In the chosen time", 4,
        (6, "Given to the cloud", "Core hours that belonged to the cloud.",
         stat([now(core_hours(GIVEN, "$__range"), "given")], CORE_HOURS, steps=((None, GREEN),))),
        (6, "Given and idle", "Core hours of nodes in the cloud that told that their virtual machines were not up.",
         stat([now(f"{core_hours(IDLE_CORES, '$__range')} or vector(0)", "idle")], CORE_HOURS,
              steps=((None, ORANGE),))),
        (6, "Lost to switching", "Core hours of nodes on their way: neither the trigger nor the cloud had them.",
         stat([now(core_hours(SWITCHING, "$__range"), "lost")], CORE_HOURS, steps=((None, RED),))),
        (6, "Share of the farm", "Mean share of all cores that belonged to the cloud.",
         stat([now(f"avg_over_time(({GIVEN} / ignoring (state) sum({STATE_CORES}))[$__range:1m])", "share")], SHARE,
              steps=((None, BLUE),))),
    )  # fmt: skip
    board.row(
        "By day", 8,
        (12, "Given to the cloud", "Core hours of each day, midnight to midnight UTC.",
         _by_day("given", fresh(GIVEN), GREEN)),
        (12, "Lost to switching", "Core hours of each day, midnight to midnight UTC.",
         _by_day("lost", f"sum({fresh(ON_THE_WAY)})", RED)),
    )  # fmt: skip
    board.row(
        "Gaps between fills", 8,
        (14, "Cores of the cloud", "Cores given away, and those of nodes on their way.",
         lines([series(GIVEN, "cloud"), series(SWITCHING, "on the way", ref="B")], CORES_UNIT,
               colours={"cloud": GREEN, "on the way": ORANGE})),
        (10, "Core hours of each gap", "A gap is longer than five minutes and is named after its sixth.",
         table([rows(core_hours(GAP_CORES, "$__range"))], [
             Column("gap", "began", "dateTimeAsIso"), Column("Value", "given", CORE_HOURS),
         ], transform=[as_number("gap")])),
    )  # fmt: skip
    board.row(
        "Beam", 5,
        (24, "Beam leaves the farm free", f"While the beam mode is one of {', '.join(sorted(FREE_FOR_CLOUD))}.",
         timeline([series(f"{beam(FREE_FOR_CLOUD)} == 1", "free")], present("free", GREY))),
    )  # fmt: skip
    board.row(
        "What switching costs", 8,
        (12, "Time in each phase", "Seconds that nodes spent in each phase, all switches of a day together.",
         lines([ask(flavour, SWITCHOVERS, [total(f"phases.{phase}", number) for number, phase in enumerate(PHASES, 11)],
                    [over_time(DAY)])], SECONDS, stacked=True, bars=True)),
        (12, "Lost to slow switches",
         "Core hours of each day (UTC) of nodes beyond their own limit for a switch: only what is beyond it.",
         at_least(lines([series(f"sum_over_time(({fresh(OVERDUE_CORES)})[{DAY}:1m] offset -{DAY}) / 60", "{{mode}}")],
                        CORE_HOURS, colours=SWITCHING_COLOURS, stacked=True, bars=True), DAY)),
    )  # fmt: skip
    return board.build()


def _by_day(name: str, cores: str, colour: str) -> Panel:
    hours = series(f"sum_over_time(({cores})[{DAY}:1m] offset -{DAY}) / 60", name)
    return at_least(lines([hours], CORE_HOURS, colours={name: colour}, bars=True), DAY)


def fresh(selector: str) -> str:
    """Returns what is no older than a minute: today's bar looks ahead, where the newest would count for five more.

    Not by `timestamp`, which Prometheus 2 evaluates from the beginning of the series at every step of a subquery.
    """
    return f"last_over_time({selector}[1m])"


def core_hours(cores: str, span: str) -> str:
    """Returns how many core hours an expression for cores adds up to over `span`, counted once a minute."""
    return f"sum_over_time(({cores})[{span}:1m]) / 60"
