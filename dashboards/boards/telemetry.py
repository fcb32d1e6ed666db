"""The telemetry itself: whether what the other dashboards show is fresh and whole."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard

from contract.metric_names import (
    CLOCK,
    CLOCK_STEPS,
    DROPPED_TOTAL,
    LAST_SUCCESS,
    LATENESS,
    LOG_BYTES,
    LOG_UP,
    MADE_TOTAL,
    SINK_BACKLOG,
    SINK_DEAD,
    SINK_DEAD_LETTERS,
    SINK_DELIVERED,
    SINK_DROPPED,
    SINK_OLDEST,
    SINK_UP,
)
from dashboards.boards.board import Board, appliances, index, prometheus
from dashboards.boards.datasources import Flavour
from dashboards.boards.index_queries import BOXES, ask, by, count, over_time
from dashboards.boards.looks import BLUE, GREEN, ORANGE, RED, yes_or_no
from dashboards.boards.panels import BYTES, COUNT, PER_SECOND, SECONDS, Column, lines, stat, table
from dashboards.boards.prometheus_queries import APPLIANCES, now, rows, series
from dashboards.names import Uid
from dashboards.rules.recording import EXPECTED_DOCUMENTS, FAILURES, JOB, REQUESTS

UP: Final = f'up{{job="{JOB}",{APPLIANCES}}}'
RATE: Final = "$__rate_interval"
GOOD: Final = ((None, GREEN), (1.0, RED))
OF_SINKS: Final = f"sum by (sink, le) ({REQUESTS}{{{APPLIANCES}}})"
FAILED: Final = f"60 * sum by (sink, reason) ({FAILURES}{{{APPLIANCES}}})"
EXPECTED: Final = f"sum({EXPECTED_DOCUMENTS}{{{APPLIANCES}}})"


def telemetry(flavour: Flavour) -> Dashboard:
    """Returns the dashboard."""
    board = Board(
        Uid.TELEMETRY, "Telemetry", "Whether what the other dashboards show is fresh and whole.",
        prometheus(), index(flavour), appliances(), span="3h",
    )  # fmt: skip
    board.row(
        "Now", 4,
        (4, "Agents up", "Collectors that answer Prometheus.", stat([now(f"sum({UP})", "up")], COUNT)),
        (4, "Agents down", "Collectors that don't.",
         stat([now(f"count({UP} == 0) or vector(0)", "down")], COUNT, steps=GOOD)),
        (4, "Latest sample", "Age of the newest sample of the agent that is furthest behind, by its own clock.",
         stat([now(f"max({CLOCK}{{{APPLIANCES}}} - {LAST_SUCCESS})", "age")], SECONDS,
              steps=((None, GREEN), (15.0, ORANGE), (60.0, RED)))),
        (4, "Sinks down", "Sinks that take no documents right now.",
         stat([now(f"count({SINK_UP}{{{APPLIANCES}}} == 0) or vector(0)", "down")], COUNT, steps=GOOD)),
        (4, "Backlog", "Documents that wait; those of the newest sample always do.",
         stat([now(f"sum by (sink) ({SINK_BACKLOG}{{{APPLIANCES}}})", "{{sink}}")], COUNT, steps=((None, BLUE),))),
        (4, "Dead letters", "Documents that a server has refused for good and that are kept aside.",
         stat([now(f"sum by (sink) ({SINK_DEAD_LETTERS}{{{APPLIANCES}}})", "{{sink}}")], COUNT, steps=GOOD)),
        runbook="HltmodeBacklogOld",
    )  # fmt: skip
    board.row(
        "Documents", 8,
        (12, "Documents a second", "Box documents made, beside what these nodes must make in their own intervals.",
         lines([
             series(f'sum(rate({MADE_TOTAL}{{{APPLIANCES},kind="box"}}[{RATE}]))', "made"),
             series(EXPECTED, "expected", ref="B"),
             series(f"sum by (sink) (rate({SINK_DELIVERED}{{{APPLIANCES}}}[{RATE}]))", "to {{sink}}", ref="C"),
         ], PER_SECOND)),
        (12, "Documents in the index", "Box documents by the time of their sample.",
         lines([ask(flavour, f"{BOXES} AND appliance:/${{appliance:regex}}/", [count()],
                    [by("appliance", 100), over_time()])], COUNT, stacked=True)),
    )  # fmt: skip
    board.row(
        "Sampling", 7,
        (12, "Samples late", "How much later than due the last sample began: the ten latest agents.",
         lines([series(f"topk(10, {LATENESS}{{{APPLIANCES}}})", "{{host}}")], SECONDS)),
        (12, "Clock steps", "Wall clocks that were set by more than a second in the hour before.",
         lines([series(f"sum by (appliance) (increase({CLOCK_STEPS}{{{APPLIANCES}}}[1h]))", "{{appliance}}")], COUNT)),
    )  # fmt: skip
    board.row(
        "Sinks", 8,
        (8, "Backlog", "Documents that wait; those of the newest sample always do.",
         lines([series(f"sum by (sink) ({SINK_BACKLOG}{{{APPLIANCES}}})", "{{sink}}")], COUNT)),
        (8, "Oldest document that waits", "Of the agent that is furthest behind.",
         lines([series(f"max by (sink) ({SINK_OLDEST}{{{APPLIANCES}}})", "{{sink}}")], SECONDS)),
        (8, "Time of a request", "Median and slowest in a hundred of bulk requests.",
         lines([
             series(f"histogram_quantile({quantile}, {OF_SINKS})", f"{{{{sink}}}} p{quantile * 100:g}", ref=ref)
             for quantile, ref in ((0.5, "A"), (0.99, "B"))
         ], SECONDS)),
    )  # fmt: skip
    board.row(
        "Trouble", 8,
        (12, "Requests that failed", "How many a minute, by reason; they are sent again.",
         lines([series(FAILED, "{{sink}} {{reason}}")], COUNT, bars=True)),
        (12, "Documents dropped or refused",
         "What logs dropped, by reason (age and bytes make room); what of it a sink had yet to get; what it refused.",
         lines([
             series(f"sum by (reason) (increase({DROPPED_TOTAL}{{{APPLIANCES}}}[{RATE}]))", "log: {{reason}}"),
             series(f"sum by (sink) (increase({SINK_DROPPED}{{{APPLIANCES}}}[{RATE}]))", "before {{sink}} had it",
                    ref="B"),
             series(f"sum by (sink) (increase({SINK_DEAD}{{{APPLIANCES}}}[{RATE}]))", "refused by {{sink}}", ref="C"),
         ], COUNT, bars=True)),
    )  # fmt: skip
    board.row(
        "Agents", 10,
        (16, "Agents", "Each collector; a log that is down takes no documents.",
         table([rows(f"{LOG_UP}{{{APPLIANCES}}}")], [
             Column("appliance", "appliance"), Column("host", "agent"), Column("instance", "address"),
             Column("Value", "log is up", mappings=yes_or_no()),
         ])),
        (8, "Logs", "Bytes in use: the ten largest.",
         lines([series(f"topk(10, {LOG_BYTES}{{{APPLIANCES}}})", "{{host}}")], BYTES)),
        runbook="HltmodeLogDown",
    )  # fmt: skip
    return board.build()
