"""Scrapes metrics as Prometheus does, in a thread of its own, and keeps the values that were asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.agents import scrape

EVERY_S: Final = 15.0


class Scraper:
    """Scrapes `ports`, one after the other, each every 15 s. As a context it runs. `values` are those of `metric`."""

    def __init__(self, ports: Sequence[int], metric: str = "") -> None:
        self.values: list[float] = []
        self.scrapes = 0
        self.failures = 0
        self._ports = ports
        self._metric = metric
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper", daemon=True)

    def _run(self) -> None:
        while not self._ending.is_set():
            for port in self._ports:
                if self._ending.wait(EVERY_S / len(self._ports)):
                    return
                try:
                    text = scrape(port)
                except OSError:
                    self.failures += 1
                    continue
                self.scrapes += 1
                if self._metric:
                    self.values += values_of(text, self._metric)

    def __enter__(self) -> Scraper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def values_of(text: str, metric: str) -> Iterable[float]:
    """Returns the values of a metric in a scrape."""
    lines = "\n".join(line for line in text.splitlines() if line.startswith((metric, f"# TYPE {metric} ")))
    return [
        sample.value
        for family in text_string_to_metric_families(lines + "\n")
        for sample in family.samples
        if sample.name == metric
    ]
