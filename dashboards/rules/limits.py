"""What alerts compare with. What a daemon knows it exports; here is what is asked of an older one that does not.

Shares of a farm or of an appliance are nobody's to know: no daemon sees more than its own node or BU. They stand here.
"""

from __future__ import annotations

from typing import Final

from contract.config import Limits
from contract.metric_names import AGENT_LIMIT, CHANGES_LIMIT, LIMIT
from dashboards.rules.recording import NODE

OTHERWISE: Final = Limits()
CHANGES_WITHIN: Final = "30m"

# So much of an appliance is its BU, its network or its power rather than its nodes one by one.
DOWN_SHARE_OF_APPLIANCE: Final = 0.5
STUCK_SHARE_OF_APPLIANCE: Final = 0.1
# A follower that does not answer tells no limit either. It decides every few seconds.
FOLLOWER_SILENT_S: Final = 60


def node_limit(of: str, measured: str, otherwise: float) -> str:
    """Returns the limit of each node that has `measured`: what its collector exports, or else `otherwise`."""
    return _limit(f'{LIMIT}{{of="{of}"}}', measured, otherwise)


def agent_limit(of: str, measured: str, otherwise: float) -> str:
    """Returns the same of each collector."""
    return _limit(f'{AGENT_LIMIT}{{of="{of}"}}', measured, otherwise)


def changes_limit(measured: str) -> str:
    """Returns how many changes of mode within CHANGES_WITHIN are too many for each node."""
    return _limit(CHANGES_LIMIT, measured, OTHERWISE.mode_changes)


def above(measured: str, limit: str) -> str:
    """Returns those of `measured` that are above their node's limit, with all their labels."""
    return f"{measured} > on {NODE} group_left () {limit}"


def below_minus(measured: str, limit: str) -> str:
    """Returns those of `measured` that are below zero by more than their node's limit."""
    return f"{measured} < on {NODE} group_left () (-1 * {limit})"


def _limit(exported: str, measured: str, otherwise: float) -> str:
    return f"(max by {NODE} ({exported}) or max by {NODE} ({measured}) * 0 + {otherwise:g})"
