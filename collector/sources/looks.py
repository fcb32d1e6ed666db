"""What a look at all sources yields, whichever role the collector has, and what a role must be able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from collector.documents import Captured, Sighting
from collector.facts import ModeNow
from collector.sources.watching import Watch
from contract.config import NodeConfig
from contract.modes import Wanted


class NodeLook(msgspec.Struct, frozen=True, kw_only=True):
    """One node at one moment."""

    host: str
    appliance: str
    now: ModeNow = ModeNow()
    seen: Sighting = Sighting()
    cores: Mapping[str, int] = {}

    @property
    def observed(self) -> bool:
        """Whether it runs unmodified hltd, so that its switches are made from what is seen."""
        return self.seen.box is not None and self.seen.box.mode is None


class Switched(msgspec.Struct, frozen=True):
    """A switch that has ended: its document, and what is counted of it."""

    document: Captured
    host: str
    to: Wanted
    outcome: str
    phases: Mapping[str, float]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found at `now_s`: documents of the log, all nodes for the gauges, and how far the journal is read.

    `failures` counts the box files that could not be read, since the collector began.
    """

    now_s: float
    nodes: tuple[NodeLook, ...]
    boxes: tuple[Captured, ...]
    switches: tuple[Switched, ...] = ()
    upto: int = 0
    journal_seq: int = 0
    failures: int = 0

    @property
    def documents(self) -> list[Captured]:
        """All documents, switches first."""
        return [*(each.document for each in self.switches), *self.boxes]


class Source(Protocol):
    """The sources of one role. None of its calls takes longer than a fraction of a second."""

    def watch(self, changed: Callable[[], None]) -> Watch:
        """Returns what calls `changed` when a look may find another mode."""

    def changed(self) -> bool:
        """Returns whether a node seems to have another mode, or a switch has ended, since the last look."""

    def look(self, cursor: int, *, whole: bool) -> Look:
        """Looks at everything; `cursor` is the last journal record in the log.

        Without `whole` only nodes that have changed since the last look need a box document.
        """

    def kept(self) -> None:
        """Takes note that the documents of the last look are in the log."""

    def reload(self, config: NodeConfig) -> None:
        """Takes over intervals, limits and time-outs of a configuration read again."""

    def stop(self) -> None:
        """Lets go of the sources."""
