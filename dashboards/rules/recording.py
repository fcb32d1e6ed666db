"""Recording rules: what dashboards and alerts ask for often, one series where there would be many."""

from __future__ import annotations

from typing import Final, NamedTuple

from contract.metric_names import CORES, MODE, MODE_SINCE, MODE_TIMEOUT
from contract.modes import MODES, Mode

JOB: Final = "hltmode"
UP: Final = f'up{{job="{JOB}"}}'
NODE: Final = "(appliance, host)"

FARM_MODES: Final = "mode:hltd_mode:sum"
APPLIANCE_MODES: Final = "appliance_mode:hltd_mode:sum"
MODE_CODE: Final = "host:hltd_mode:code"
APPLIANCE_CORES: Final = "appliance_state:hltd_cores:sum"
APPLIANCE_UP: Final = "appliance:hltd_up:count"
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


def _code() -> str:
    """Returns one series for each node in the place of four: the code of its mode."""
    cases = (f"(({_in(mode)}) * {facts.code})" for mode, facts in MODES.items())
    return f"max by {NODE} (" + " or ".join(cases) + ")"


RECORDINGS: Final = (
    Recording(FARM_MODES, f"sum by (mode) ({MODE})"),
    Recording(APPLIANCE_MODES, f"sum by (appliance, mode) ({MODE})"),
    Recording(MODE_CODE, _code()),
    Recording(APPLIANCE_CORES, f"sum by (appliance, state) ({CORES})"),
    Recording(APPLIANCE_UP, f"sum by (appliance) ({UP})"),
    # How long a node is beyond what its own configuration allows for the mode that it is in.
    Recording(
        OVERDUE,
        f"max by {NODE} (time() - {MODE_SINCE}) - on {NODE} group_right ()"
        f" max by (appliance, host, mode) ({MODE_TIMEOUT} and on (appliance, host, mode) ({MODE} == 1)) > 0",
    ),
    Recording(OVERDUE_SHARE, f"count by (appliance) ({OVERDUE}) / count by (appliance) ({MODE_CODE})"),
    Recording(DOWN_SHARE, f"avg by (appliance) (1 - {UP})"),
    Recording(AWAY_SHARE, f'1 - sum({MODE}{{mode="{Mode.HLT.value}"}}) / count({MODE}{{mode="{Mode.HLT.value}"}})'),
)
