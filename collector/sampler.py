"""One sample: look at the sources, put the documents in the log, show the snapshot."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from collector.documents import Document
from collector.grid import Reading, stepped_s
from collector.log.reading import newest_boxes
from collector.log.schema import LogTrouble
from collector.log.store import Keep, Log
from collector.metrics import Metrics, Snapshot
from collector.sources.appliance import ApplianceSource
from collector.sources.looks import Look, Source
from collector.sources.node import NodeSource
from collector.sources.watching import Watch
from collector.trouble import Trouble
from contract.config import NodeConfig, Role
from contract.errors import HltmodeError

log = logging.getLogger("collector")

SOURCES: Final[Mapping[Role, Callable[[NodeConfig, Mapping[str, Document]], Source]]] = {
    Role.NODE: NodeSource,
    Role.APPLIANCE: ApplianceSource,
}


class Sampler:
    """Takes samples in its role. It never fails for what it finds: trouble is said, counted and tried again."""

    def __init__(self, config: NodeConfig, metrics: Metrics) -> None:
        self.config = config
        self._metrics = metrics
        self._log = Log(config.paths.log, config.node.host, _sinks(config))
        self._trouble = Trouble(f"{config.paths.log}: written again")
        self._clock = _read_clock()
        self._log.open()
        self._source: Source = SOURCES[config.collector.role](config, _left(config.paths.log))

    @property
    def summary(self) -> str:
        """What the last sample found, in short."""
        nodes = self._metrics.snapshot.nodes
        if self.config.collector.role is Role.APPLIANCE:
            return f"{len(nodes)} filter units"
        return f"mode {nodes[0].now.mode or 'unknown'}"

    def watch(self, changed: Callable[[], None]) -> Watch:
        """Returns what calls `changed` when it may be time for a sample between two."""
        return self._source.watch(changed)

    def changed(self) -> bool:
        """Returns whether the sources have changed since the last sample in what can't wait for the next."""
        return self._source.changed()

    def reload(self, config: NodeConfig) -> None:
        """Takes over intervals, limits and time-outs of a configuration read again."""
        self.config = config
        self._log.sinks = _sinks(config)
        self._source.reload(config)
        self._metrics.timeouts = config.switch
        self._metrics.limits = config.limits

    def sample(self, lateness_s: float, *, whole: bool = True) -> None:
        """Takes one sample, which began `lateness_s` after it was due; without `whole`, of changed nodes only."""
        self._look_at_clock()
        self._log.open()
        look = self._source.look(self._log.cursor, whole=whole)
        kept = self._keep(look)
        log.debug("sample: %d nodes, %d documents, %.3f s late", len(look.nodes), len(look.boxes), lateness_s)
        self._metrics.show(
            Snapshot(
                nodes=look.nodes,
                counts=self._log.counts,
                accounts={name: each for name, each in self._log.accounts.items() if name in self._log.sinks},
                log_bytes=self._log.used_bytes,
                log_up=kept,
                log_begun_s=self._log.begun_s,
                journal_seq=look.journal_seq,
                box_failures=look.failures,
                interval_s=self.config.collector.interval_s,
                lateness_s=lateness_s,
                last_success_s=look.now_s if kept else self._metrics.snapshot.last_success_s,
            )
        )

    def doubt_log(self, inode: int) -> None:
        """Has the next sample make the log anew, if it is still the file `inode`, of what can be read of it."""
        self._log.doubt(inode)

    def stop(self) -> None:
        """Closes the log and lets go of the sources."""
        self._source.stop()
        self._log.close()

    def _look_at_clock(self) -> None:
        before, self._clock = self._clock, _read_clock()
        if step_s := stepped_s(before, self._clock):
            log.warning("the wall clock was set %s by %.3f s", "back" if step_s < 0 else "forward", abs(step_s))
            self._metrics.clock_was_set()

    def _keep(self, look: Look) -> bool:
        limits = self.config.collector
        try:
            self._log.append(look.documents, look.upto, Keep(limits.keep_days, limits.keep_bytes), look.now_s)
        except LogTrouble as error:
            self._trouble.say(str(error))
            return False
        self._trouble.say("")
        self._source.kept()
        for switch in look.switches:
            self._metrics.ended(switch)
        return True


def _read_clock() -> Reading:
    return Reading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def _sinks(config: NodeConfig) -> tuple[str, ...]:
    return tuple(sink.name for sink in config.sink)


def _left(path: Path) -> dict[str, Document]:
    """Returns what an earlier collector saw last of each node; a log that can't be read leaves nothing."""
    try:
        return newest_boxes(path)
    except HltmodeError:
        return {}
