"""When samples can be found: asks the index over and over for samples whose documents are all there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from benchmarks.asking import search
from collector.index.clients import IndexClient, IndexTrouble

EVERY_S: Final = 0.25
BOXES: Final = "hltmode-box-*"
MANY: Final = 10_000

Sample = tuple[str, int]


class Prober:
    """Looks every 0.25 s, in a thread of its own, for samples of `documents` documents each. As a context it looks.

    A sample is an appliance and a time (Unix milliseconds) that all its documents carry. `seen_s` says when each was
    first found whole: at most one look and one answer later than it could have been.
    """

    def __init__(self, client: IndexClient, documents: int) -> None:
        self.seen_s: dict[Sample, float] = {}
        self.failures = 0
        self._client = client
        self._documents = documents
        self._since_ms = int(time.time() * 1000)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def latencies_s(self, since_s: float) -> list[float]:
        """Returns how long each sample from `since_s` on took from its time until it was found."""
        late_s = ((sampled_ms / 1000, seen_s) for (_, sampled_ms), seen_s in self.seen_s.items())
        return [seen_s - sampled_s for sampled_s, seen_s in late_s if sampled_s >= since_s]

    def gaps_s(self, since_s: float) -> dict[str, float]:
        """Returns for each appliance the longest time in which nothing new, sampled from `since_s` on, was found."""
        moments: dict[str, list[float]] = {}
        for (appliance, sampled_ms), seen_s in self.seen_s.items():
            if sampled_ms / 1000 >= since_s:
                moments.setdefault(appliance, []).append(seen_s)
        return {appliance: longest(times_s) for appliance, times_s in moments.items()}

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._ending.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + EVERY_S, time.monotonic())
            try:
                answer = search(self._client, BOXES, query(self._since_ms))
            except (IndexTrouble, AssertionError):
                self.failures += 1
                continue
            self._take(answer, time.time())

    def _take(self, answer: dict[str, Any], now_s: float) -> None:
        newest: list[int] = []
        for appliance in answer.get("aggregations", {}).get("appliances", {}).get("buckets", []):
            whole = [each["key"] for each in appliance["samples"]["buckets"] if each["doc_count"] == self._documents]
            for sampled_ms in whole:
                self.seen_s.setdefault((appliance["key"], sampled_ms), now_s)
            newest.append(max(whole, default=0))
        known = {appliance for appliance, _ in self.seen_s}
        if len(newest) == len(known) and newest:
            # What comes later is still found: a backlog is at most some seconds old here.
            self._since_ms = max(self._since_ms, min(newest) - 30_000)

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def query(since_ms: int) -> dict[str, Any]:
    """Returns a search that counts the documents of each appliance and time."""
    samples = {"terms": {"field": "@timestamp", "size": MANY}}
    appliances = {"terms": {"field": "appliance", "size": MANY}, "aggs": {"samples": samples}}
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"range": {"@timestamp": {"gte": since_ms, "format": "epoch_millis"}}},
        "aggs": {"appliances": appliances},
    }


def longest(times_s: Iterable[float]) -> float:
    """Returns the longest time between two that follow each other."""
    return max((after - before for before, after in pairwise(sorted(times_s))), default=0.0)
