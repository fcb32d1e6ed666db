"""One sample: look at the sources, make documents, put them in the log, show the snapshot."""

from __future__ import annotations

import logging
import time

from collector.documents import BOX, Captured, Document, box_document, switchover_document
from collector.facts import ModeNow, mode_now
from collector.log import Keep, Log, LogTrouble
from collector.metrics import Metrics, Snapshot
from collector.sources import BoxSource, JournalSource, ModeSource, NewSwitches, cores
from collector.trouble import Trouble
from contract.config import NodeConfig
from contract.modes import Mode
from contract.times import unix

log = logging.getLogger("collector")


class Sampler:
    """Takes samples of one node. It never fails for what it finds: trouble is said, counted and tried again."""

    def __init__(self, config: NodeConfig, metrics: Metrics) -> None:
        paths = config.paths
        self.config = config
        self._metrics = metrics
        self._mode = ModeSource(paths.mode)
        self._journal = JournalSource(paths.journal)
        self._box = BoxSource(paths.box, config.switch.mount_timeout_s)
        self._log = Log(paths.log)
        self._trouble = Trouble(f"{paths.log}: written again")
        self._log.open()
        self._now = _as_left(self._log.newest(BOX))

    @property
    def mode(self) -> Mode | None:
        """The mode at the last sample, None when unknown."""
        return self._now.mode

    def changed(self) -> bool:
        """Returns whether mode file or journal have changed since the last sample."""
        return self._mode.changed() or self._journal.changed()

    def reload(self, config: NodeConfig) -> None:
        """Takes over intervals, limits and time-outs of a configuration read again."""
        self.config = config
        self._box.hangs_after_s = config.switch.mount_timeout_s
        self._metrics.timeouts = config.switch

    def sample(self, lateness_s: float) -> None:
        """Takes one sample, which began `lateness_s` after it was due."""
        config = self.config
        self._log.open()
        published = self._mode.read()
        new = self._journal.read(self._log.cursor)
        seen = self._box.read()
        now_s = time.time()
        self._now = mode_now(self._now, published, self._journal.view, seen.box, now_s)
        documents = [
            *(switchover_document(record, config.node) for record in new.records),
            box_document(seen, self._now, config.node, now_s),
        ]
        kept = self._keep(documents, new, now_s)
        log.debug("sample: mode %s, %d documents, %.3f s late", self._now.mode, len(documents), lateness_s)
        self._metrics.snapshot = Snapshot(
            now=self._now,
            seen=seen,
            cores=cores(config.paths, seen.box),
            counts=self._log.counts,
            log_bytes=self._log.used_bytes,
            log_up=kept,
            journal_seq=self._journal.view.seq,
            box_failures=self._box.failures,
            lateness_s=lateness_s,
            last_success_s=now_s if kept else self._metrics.snapshot.last_success_s,
        )

    def stop(self) -> None:
        """Closes the log and lets go of the mount."""
        self._box.stop()
        self._log.close()

    def _keep(self, documents: list[Captured], new: NewSwitches, now_s: float) -> bool:
        limits = self.config.collector
        try:
            self._log.append(documents, new.upto, Keep(limits.keep_days, limits.keep_bytes), now_s)
        except LogTrouble as error:
            self._trouble.say(str(error))
            return False
        self._trouble.say("")
        for record in new.records:
            self._metrics.ended(record)
        return True


def _as_left(newest: Document | None) -> ModeNow:
    """Returns mode and since as an earlier collector saw them last, so that a restart doesn't make a mode younger."""
    try:
        return ModeNow(mode=Mode(str((newest or {})["mode"])), since_s=unix(str((newest or {})["mode_since"])))
    except (KeyError, ValueError):
        return ModeNow()
