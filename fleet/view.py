"""An operation as people watch it: a live table in a terminal, plain lines in a pipe, JSON lines for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live

from fleet.operation import Operation, counts
from fleet.picture import Moment, left_words, modes, picture
from fleet.rollout import Doing
from fleet.standing import NodeState
from fleet.tables import LESS_CERTAIN, summary

FRAMES_PER_S: Final = 2.0
SAID_EVERY_S: Final = 2.0
TIMES: Final = 1000  # of earlier operations: enough for a forecast, and quickly looked through


class Shown(Protocol):
    """An operation as it stands: of the engine that runs it, or of one who looks on."""

    operation: Operation
    nodes: dict[str, NodeState]
    doing: Doing
    stage: int


class View:
    """Shows an operation's changes. As a context it keeps the live table.

    `earlier_s` is how long nodes took in earlier operations.
    """

    def __init__(self, console: Console, *, as_json: bool, earlier_s: Sequence[float] = ()) -> None:
        self._console = console
        self._as_json = as_json
        self._earlier_s = sorted(earlier_s)[:: max(1, len(earlier_s) // TIMES)]
        self._engine: Shown | None = None
        self._live: Live | None = None
        self._told: dict[str, NodeState] = {}
        self._said = ""
        self._said_s = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._as_json:
            # The picture is asked for, not pushed: times go on while nothing else changes.
            self._live = Live(
                console=self._console,
                get_renderable=self._picture,
                refresh_per_second=FRAMES_PER_S,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, engine: Shown) -> None:
        """Shows what has changed."""
        self._engine = engine
        if self._as_json:
            self._tell_json(engine)
        elif self._live is None:
            self._tell_plainly(engine)

    def _picture(self) -> Group:
        return picture(self._moment(self._engine), self._console.width) if self._engine else Group()

    def _moment(self, engine: Shown) -> Moment:
        return Moment(engine.operation, engine.nodes, engine.doing, engine.stage, self._earlier_s, time.time())

    def _tell_plainly(self, engine: Shown) -> None:
        words = summary(engine.nodes.values())
        if words == self._said or time.monotonic() - self._said_s < SAID_EVERY_S:
            return
        self._said, self._said_s = words, time.monotonic()
        moment = self._moment(engine)
        where = ", ".join(f"{n} {mode}" for mode, n in modes(engine.nodes.values()).items() if n)
        parts = [f"{moment.ended} of {len(moment.nodes)} ended", words, where, left_words(moment)]
        if uncertain := sum(not node.certain for node in engine.nodes.values()):
            parts.append(f"{uncertain} of them {LESS_CERTAIN}")
        self._console.print("; ".join(filter(None, parts)))

    def _tell_json(self, engine: Shown) -> None:
        for host, node in engine.nodes.items():
            if self._told.get(host) != node:
                self._told[host] = node
                _say(node_event(node))
        if time.monotonic() - self._said_s < SAID_EVERY_S:
            return
        self._said_s = time.monotonic()
        moment = self._moment(engine)
        _say(
            {
                "event": "progress",
                "id": engine.operation.id,
                "doing": engine.doing.value,
                "stage": engine.stage + 1,
                "stages": moment.stages,
                "nodes": len(engine.nodes),
                "counts": counts(engine.nodes.values()),
                "modes": modes(engine.nodes.values()),
                "less_certain": sum(not node.certain for node in engine.nodes.values()),
                "left_s": moment.left_s,
            }
        )


def node_event(node: NodeState) -> dict[str, object]:
    """Returns what is told of a node that has changed."""
    return {"event": "node", **msgspec.to_builtins(node)}


def _say(event: dict[str, object]) -> None:
    print(json.dumps(event), flush=True)  # noqa: T201 - a stream for machines
