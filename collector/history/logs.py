"""The logs of collectors as a store of past switches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from collector.documents import SWITCHOVER
from collector.history.past import NodeNow, Switchover
from collector.history.questions import Wish, select
from collector.history.stores import Answer
from collector.log.reading import newest_boxes, opened


class Logs:
    """The logs of one or many collectors as one store; what is in several of them is there once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def switches(self, wish: Wish) -> Answer:
        """Returns what `wish` asks for. Raises Surroundings or Unreadable."""
        found: dict[str, Switchover] = {}
        for path in self._paths:
            found.update(switchovers(path))
        return Answer(select(found.values(), wish), len(found))

    def nodes(self, wish: Wish) -> list[NodeNow]:  # noqa: ARG002 - all of them, and the wish is asked later
        """Returns what the newest box documents say. Raises Surroundings or Unreadable."""
        return [msgspec.convert(box, NodeNow) for path in self._paths for box in newest_boxes(path).values()]


def switchovers(path: Path) -> Iterator[tuple[str, Switchover]]:
    """Yields id and content of every switchover in the log at `path`. Raises Surroundings or Unreadable."""
    with opened(path) as connection:
        rows = connection.execute("SELECT id, body FROM documents WHERE kind = ? ORDER BY time", (SWITCHOVER,))
        for identity, body in rows:
            yield identity, msgspec.json.decode(body, type=Switchover)
