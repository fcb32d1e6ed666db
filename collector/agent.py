"""The collector as a process: it owns the sampler, its watch, the shippers and the metrics server."""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from enum import Enum, auto

from msgspec.structs import replace

from collector.grid import wait_s
from collector.metrics import Metrics
from collector.sampler import Sampler
from collector.shipping.shippers import Shippers
from contract.config import NodeConfig, Role
from contract.errors import HltmodeError, Surroundings
from contract.metrics_port import MetricsServer, serve_metrics

log = logging.getLogger("collector")


class News(Enum):
    """Why the loop wakes before its time."""

    LOOK = auto()
    RELOAD = auto()
    END = auto()


class Agent:
    """Serves a node or appliance until it is told to end. The sampler runs in the main thread; its death ends all."""

    def __init__(self, config: NodeConfig, reread: Callable[[], NodeConfig]) -> None:
        self._config = config
        self._reread = reread
        # A SimpleQueue may be fed from a signal handler that interrupts its own reader; an Event may not.
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._metrics = Metrics(config.node, config.collector.role, config.switch, config.limits)
        self._server, self._serving = _serve(config, self._metrics)
        self._sampler = Sampler(config, self._metrics)
        self._watch = self._sampler.watch(lambda: self._news.put(News.LOOK))
        self._shippers = Shippers(
            self._metrics.sinks, lambda: len(self._metrics.snapshot.nodes), self._sampler.doubt_log
        )

    def run(self) -> None:
        """Samples until SIGTERM. Raises Surroundings when the metrics server dies."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._news.put(News.END))
        signal.signal(signal.SIGHUP, lambda _number, _frame: self._news.put(News.RELOAD))
        self._watch.renew()
        self._sampler.sample(0.0)
        self._shippers.serve(self._config)
        log.info(
            "ready: http://%s:%d/metrics, %s, log %s, %s",
            self._config.collector.metrics_bind,
            self._server.server_port,
            self._sampler.summary,
            self._config.paths.log,
            f"sinks {', '.join(sink.name for sink in self._config.sink)}" if self._config.sink else "no sink",
        )
        try:
            self._loop()
        finally:
            self._stop()
        log.info("ended; the log holds what was sampled")

    def _loop(self) -> None:
        due_s = self._next_due()
        while True:
            news = self._wait(due_s)
            if news is News.END:
                return
            if news is News.RELOAD:
                self._reload()
                due_s = self._next_due()
            if not self._serving.is_alive():
                raise Surroundings("the metrics server has died; restart the collector")
            self._watch.renew()
            late_s = time.monotonic() - due_s
            if late_s >= 0:
                self._sampler.sample(late_s)
                due_s = self._next_due()
            elif self._sampler.changed():
                self._sampler.sample(0.0, whole=False)
            else:
                continue
            self._shippers.wake()

    def _next_due(self) -> float:
        return time.monotonic() + wait_s(time.time(), self._sampler.config.collector.interval_s)

    def _wait(self, due_s: float) -> News:
        try:
            return self._news.get(timeout=max(0.0, min(due_s - time.monotonic(), self._watch.look_s)))
        except queue.Empty:
            return News.LOOK

    def _reload(self) -> None:
        try:
            config = self._reread()
        except HltmodeError as error:
            log.error("configuration not taken over: %s", error)
            return
        if config.node != self._config.node or _fixed(config) != _fixed(self._config):
            log.warning("changes of [node], collector.role, metrics_bind and metrics_port take a restart")
        role = self._config.collector.role
        config = replace(config, node=self._config.node, collector=replace(config.collector, role=role))
        self._sampler.reload(config)
        self._sampler.sample(0.0)
        self._shippers.serve(config)
        self._shippers.wake()
        log.info("configuration read again: interval, retention, time-outs and sinks hold from now on")

    def _stop(self) -> None:
        self._watch.stop()
        self._shippers.stop()
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()
        self._sampler.stop()


def _fixed(config: NodeConfig) -> tuple[str, int, Role]:
    return *_address(config), config.collector.role


def _address(config: NodeConfig) -> tuple[str, int]:
    return config.collector.metrics_bind, config.collector.metrics_port


def _serve(config: NodeConfig, metrics: Metrics) -> tuple[MetricsServer, threading.Thread]:
    """Takes the port and serves /metrics in a thread of its own. Raises Surroundings."""
    return serve_metrics(*_address(config), metrics.registry, "collector.metrics_bind and collector.metrics_port")
