"""The names on the central index that its writer and its readers share.

An index is named `hltmode-<kind>-<subsystem>`, those with a past with a period after it (`collector.index.names`).
"""

from __future__ import annotations

import re
from typing import Final

OWNER: Final = "hltmode"

# The kind whose index holds one document for each host, the newest: for those who ask how things stand now.
CURRENT: Final = "current"


def stem(kind: str, subsystem: str) -> str:
    """Returns such as `hltmode-box-cdaq`."""
    return f"{OWNER}-{kind}-{clean(subsystem)}"


def current_of(subsystem: str) -> str:
    """Returns the index that holds the newest box of each host."""
    return stem(CURRENT, subsystem)


def clean(subsystem: str) -> str:
    """Returns a subsystem's name in letters that an index's name may have."""
    return re.sub(r"[^a-z0-9_]+", "_", subsystem.lower()) or "none"
