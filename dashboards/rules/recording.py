"""Recording rules: what dashboards and alerts ask for often, one series where there would be many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from contract.beam import FREE_FOR_CLOUD, BeamMode
from contract.metric_names import (
    BEAM_MODE,
    CORES,
    INTERVAL,
    MODE,
    MODE_SINCE,
    MODE_TIMEOUT,
    SINK_FAILURES,
    SINK_REQUEST,
    VMS,
)
from contract.modes import MODES, Mode, Vms

JOB: Final = "hltmode"
FOLLOW_JOB: Final = "hltmode-follow"
UP: Final = f'up{{job="{JOB}"}}'
NODE: Final = "(appliance, host)"

FARM_MODES: Final = "mode:hltd_mode:sum"
APPLIANCE_MODES: Final = "appliance_mode:hltd_mode:sum"
MODE_CODE: Final = "host:hltd_mode:code"
APPLIANCE_CORES: Final = "appliance_state:hltd_cores:sum"
STATE_CORES: Final = "state:hltd_cores:sum"
MODE_CORES: Final = "mode:hltd_cores:sum"
IDLE_CORES: Final = "farm:hltd_cores_idle:sum"
OVERDUE_CORES: Final = "mode:hltd_cores_overdue:sum"
EXPECTED_DOCUMENTS: Final = "appliance:hltmode_documents_expected:rate"
GAP_BEGAN: Final = "farm:hltd_beam_gap_began:timestamp_seconds"
GAP_CORES: Final = "gap:hltd_cores_cloud:sum"
REQUESTS: Final = "appliance_sink_le:hltmode_sink_request_seconds_bucket:rate"
FAILURES: Final = "appliance_sink_reason:hltmode_sink_failures:rate"
APPLIANCE_UP: Final = "appliance:hltd_up:count"
LAST_HEARD: Final = "host:hltd_heard:timestamp_seconds"
OVERDUE: Final = "host:hltd_mode:overdue_seconds"
OVERDUE_SHARE: Final = "appliance:hltd_mode:overdue_ratio"
DOWN_SHARE: Final = "appliance:hltd_down:ratio"
AWAY_SHARE: Final = "farm:hltd_away:ratio"


class Recording(NamedTuple):
    """One rule: the name says the labels that are left, what it is made of, and how (Prometheus naming practice)."""

    record: str
    expr: str


def _in(mode: Mode) -> str:
    return f'{MODE}{{mode="{mode.value}"}} == 1'


def beam(modes: Iterable[BeamMode]) -> str:
    """Returns 1 while the beam is in one of `modes`, 0 in others, nothing while nobody exports it."""
    return f'max({BEAM_MODE}{{mode=~"{"|".join(sorted(mode.value for mode in modes))}"}})'


def _code() -> str:
    """Returns one series for each node in the place of four: the code of its mode."""
    cases = (f"(({_in(mode)}) * {facts.code})" for mode, facts in MODES.items())
    return f"max by {NODE} (" + " or ".join(cases) + ")"


# Evaluated right before the alerts that are made of them, so that a page waits for one evaluation less.
BEFORE_ALERTS: Final = (
    # How long a node is beyond what its own configuration allows for the mode that it is in.
    Recording(
        OVERDUE,
        f"max by {NODE} (time() - {MODE_SINCE}) - on {NODE} group_right ()"
        f" max by (appliance, host, mode) ({MODE_TIMEOUT} and on (appliance, host, mode) ({MODE} == 1)) > 0",
    ),
    # Shares are whole numbers divided: an average, or 1 less a share, misses a limit by the last bit.
    Recording(
        OVERDUE_SHARE,
        f'count by (appliance) ({OVERDUE}) / count by (appliance) ({MODE}{{mode="{Mode.HLT.value}"}})',
    ),
    Recording(DOWN_SHARE, f"sum by (appliance) (1 - {UP}) / count by (appliance) ({UP})"),
)
BY_THEMSELVES: Final = (
    Recording(FARM_MODES, f"sum by (mode) ({MODE})"),
    Recording(APPLIANCE_MODES, f"sum by (appliance, mode) ({MODE})"),
    Recording(MODE_CODE, _code()),
    # When each node was heard of last: asked for only when it no longer is.
    Recording(LAST_HEARD, f'max by {NODE} (timestamp({MODE}{{mode="{Mode.HLT.value}"}}))'),
    Recording(APPLIANCE_CORES, f"sum by (appliance, state) ({CORES})"),
    Recording(STATE_CORES, f"sum by (state) ({CORES})"),
    Recording(MODE_CORES, f"sum by (mode) (sum by {NODE} ({CORES}) * on {NODE} group_right () ({MODE} == 1))"),
    # Of nodes whose virtual machines are known not to be up; nothing is known of those of unmodified hltd.
    Recording(
        IDLE_CORES, f'sum({CORES}{{state="cloud"}} and on {NODE} max by {NODE} ({VMS}{{state="{Vms.UP.value}"}}) == 0)'
    ),
    # All cores of nodes that are beyond the limit of their mode, for as long as they are.
    Recording(OVERDUE_CORES, f"sum by (mode) (sum by {NODE} ({CORES}) * on {NODE} group_right () ({OVERDUE} ^ 0))"),
    # Each collector makes a document of each of its nodes in its own interval.
    Recording(
        EXPECTED_DOCUMENTS,
        f'sum by (appliance) (count by (appliance, job, instance) ({MODE}{{mode="{Mode.HLT.value}"}})'
        f" / on (job, instance) group_left () max by (job, instance) ({INTERVAL}))",
    ),
    # When the beam began to leave the farm free, five minutes late: a shorter gap is none. Only there during the gap.
    Recording(
        GAP_BEGAN,
        f"(last_over_time({GAP_BEGAN}[5m]) or on () timestamp({beam(FREE_FOR_CLOUD)} == 1))"
        f" and on () min_over_time({beam(FREE_FOR_CLOUD)}[5m:15s]) == 1",
    ),
    # The label is when the gap began, in milliseconds.
    Recording(
        GAP_CORES, f'count_values("gap", {GAP_BEGAN} * 1000) * on () group_left () {STATE_CORES}{{state="cloud"}}'
    ),
    # However many collectors an appliance has: one for all its nodes, or one each.
    Recording(REQUESTS, f"sum by (appliance, sink, le) (rate({SINK_REQUEST}_bucket[2m]))"),
    Recording(FAILURES, f"sum by (appliance, sink, reason) (rate({SINK_FAILURES}[2m]))"),
    Recording(APPLIANCE_UP, f"sum by (appliance) ({UP})"),
    Recording(AWAY_SHARE, f'sum(1 - {MODE}{{mode="{Mode.HLT.value}"}}) / count({MODE}{{mode="{Mode.HLT.value}"}})'),
)
RECORDINGS: Final = (*BEFORE_ALERTS, *BY_THEMSELVES)
