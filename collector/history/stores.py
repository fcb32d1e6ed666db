"""Where past switches may be asked for: what logs and index servers have in common."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from collector.history.past import NodeNow, Switchover
from collector.history.questions import Wish


class Answer(NamedTuple):
    """Switches that are wished for, and of how many in all."""

    switches: list[Switchover]
    total: int


class Store(Protocol):
    """Where past switches are kept."""

    def switches(self, wish: Wish) -> Answer:
        """Returns what `wish` asks for. Raises HltmodeError."""

    def nodes(self, wish: Wish) -> list[NodeNow]:
        """Returns the newest of each node, or at least of those that may be stuck. Raises HltmodeError."""
