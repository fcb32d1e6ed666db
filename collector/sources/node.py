"""The role `node`: what one filter unit tells through its mode file, journal, core tokens and box file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from collector.documents import Document, box_document, switchover_document
from collector.sources.files import BoxSource, JournalSource, ModeSource, cores
from collector.sources.looks import Look, NodeLook, Switched
from collector.sources.observer import Observer
from collector.sources.watching import FileWatch, Watch
from contract.config import NodeConfig


class NodeSource:
    """The sources of this node. Beside unmodified hltd its switches are observed, else the journal tells them."""

    def __init__(self, config: NodeConfig, left: Mapping[str, Document]) -> None:
        paths = config.paths
        self._node = config.node
        self._paths = paths
        self._mode = ModeSource(paths.mode)
        self._journal = JournalSource(paths.journal)
        self._box = BoxSource(paths.box, config.switch.mount_timeout_s)
        self._observer = Observer(left, config)

    def watch(self, changed: Callable[[], None]) -> Watch:
        """Returns the watch on the mode file."""
        return FileWatch(self._paths.mode, changed)

    def changed(self) -> bool:
        """Returns whether mode file or journal have changed since the last look."""
        return self._mode.changed() or self._journal.changed()

    def look(self, cursor: int, *, whole: bool) -> Look:  # noqa: ARG002 - with one node, each look is whole
        """Returns what the node looks like, and its switches after journal record `cursor`."""
        published = self._mode.read()
        new = self._journal.read(cursor)
        seen = self._box.read()
        now_s = time.time()
        now = self._observer.look(self._node, seen, now_s, published=published, journal=self._journal.view)
        told = (
            Switched(switchover_document(record, self._node), self._node.host, record.to, record.outcome, record.phases)
            for record in new.records
        )
        return Look(
            now_s=now_s,
            nodes=(
                NodeLook(
                    host=self._node.host,
                    appliance=self._node.appliance,
                    now=now,
                    seen=seen,
                    cores=cores(self._paths, seen.box),
                ),
            ),
            boxes=(box_document(seen, now, self._node, now_s),),
            switches=(*told, *self._observer.owed()),
            upto=new.upto,
            journal_seq=self._journal.view.seq,
            failures=self._box.failures,
        )

    def kept(self) -> None:
        """Takes note that the documents of the last look are in the log."""
        self._observer.kept()

    def reload(self, config: NodeConfig) -> None:
        """Takes over time-outs and interval."""
        self._box.slow.hangs_after_s = config.switch.mount_timeout_s
        self._observer.reload(config)

    def stop(self) -> None:
        """Lets go of the mount."""
        self._box.stop()
