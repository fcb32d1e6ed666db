"""The farm as a command, the server or the follower knows it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from fleet.hosts import Place


class Farm(NamedTuple):
    """Where operations are kept, which nodes there are and from which file, and what the tool bears to be let in."""

    store: Path
    places: dict[str, Place]
    token: str
    trust: ssl.SSLContext | None = None
    nodes_file: Path | None = None
