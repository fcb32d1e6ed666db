"""The role `appliance`: one collector on a BU tells of all filter units whose box files lie there.

A filter unit with our switcher keeps a journal, and its own collector makes the switchovers from it: it alone knows
who asked, why, what was refused and how long each phase took. So switches are observed of those with unmodified hltd
only, and each is recorded once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from collector.documents import Document, Sighting, box_document
from collector.facts import JournalView
from collector.sources.appliance_boxes import BoxFolder
from collector.sources.files import box_cores
from collector.sources.looks import Look, NodeLook
from collector.sources.observer import Observer
from collector.sources.watching import RegularLooks, Watch
from contract.box import box_mode
from contract.config import Node, NodeConfig


class ApplianceSource:
    """All box files in the BU's folder; the BU's own is none of a filter unit."""

    def __init__(self, config: NodeConfig, left: Mapping[str, Document]) -> None:
        self._bu = config.node
        self._boxes = BoxFolder(config.paths.bu.boxes, config.switch.mount_timeout_s)
        self._observer = Observer(left, config)
        self._nodes: dict[str, NodeLook] = {}

    def watch(self, changed: Callable[[], None]) -> Watch:  # noqa: ARG002 - nobody calls
        """Returns how often the folder is looked at."""
        return RegularLooks()

    def changed(self) -> bool:
        """Returns whether a filter unit has come, or has another mode, since the last look."""
        return any(self._other_mode(host, seen) for host, seen in self._boxes.read().items())

    def look(self, cursor: int, *, whole: bool) -> Look:
        """Returns what all filter units look like, with documents of all, or of those whose mode has changed."""
        found = self._boxes.read()
        now_s = time.time()
        boxes = []
        nodes = {}
        for host, seen in found.items():
            if not whole and not self._other_mode(host, seen):
                nodes[host] = replace(self._nodes[host], seen=seen)
                continue
            node = self._node(host)
            now = self._observer.look(node, seen, now_s, published=None, journal=JournalView())
            boxes.append(box_document(seen, now, node, now_s))
            nodes[host] = NodeLook(
                host=host,
                appliance=node.appliance,
                now=now,
                seen=seen,
                cores=box_cores(seen.box) if seen.box else {},
            )
        self._nodes = nodes
        return Look(
            now_s=now_s,
            nodes=tuple(nodes.values()),
            boxes=tuple(boxes),
            switches=self._observer.owed(),
            upto=cursor,
            failures=self._boxes.failures,
        )

    def kept(self) -> None:
        """Takes note that the documents of the last look are in the log."""
        self._observer.kept()

    def reload(self, config: NodeConfig) -> None:
        """Takes over time-outs and interval."""
        self._boxes.slow.hangs_after_s = config.switch.mount_timeout_s
        self._observer.reload(config)

    def stop(self) -> None:
        """Lets go of the folder."""
        self._boxes.stop()

    def _other_mode(self, host: str, seen: Sighting) -> bool:
        known = self._nodes.get(host)
        return known is None or known.now.mode is not box_mode(seen.box)

    def _node(self, host: str) -> Node:
        return replace(self._bu, host=host, appliance=self._bu.appliance or self._bu.host)
