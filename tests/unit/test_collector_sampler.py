"""The sampler beside clocks that are set and logs that are lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import sampler as module
from collector.grid import Reading
from collector.metrics import Metrics
from collector.sampler import Sampler
from contract.config import NodeConfig
from contract.metric_names import CLOCK_STEPS, LOG_BEGUN
from simulator.node_files import lay_out

LABELS = {"host": "fu-1", "appliance": "bu-sim01"}


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return lay_out(tmp_path, "fu-1").load()


@pytest.fixture
def metrics(config: NodeConfig) -> Metrics:
    return Metrics(config.node, config.collector.role, config.switch)


@pytest.fixture
def sampler(config: NodeConfig, metrics: Metrics) -> Iterator[Sampler]:
    sampler = Sampler(config, metrics)
    yield sampler
    sampler.stop()


def test_a_clock_that_is_set_is_one_line_and_one_count_each_time(
    sampler: Sampler, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begin = module._read_clock()
    for after_s, set_by_s in ((5.0, 0.0), (10.0, 3600.0), (15.0, 3600.0), (20.0, 0.0)):
        reading = Reading(begin.wall_s + after_s + set_by_s, begin.steady_s + after_s)
        monkeypatch.setattr(module, "_read_clock", lambda reading=reading: reading)
        sampler.sample(0.0)
    assert [record.getMessage() for record in caplog.records if "wall clock" in record.getMessage()] == [
        "the wall clock was set forward by 3600.000 s",
        "the wall clock was set back by 3600.000 s",
    ]
    assert metrics.registry.get_sample_value(CLOCK_STEPS, LABELS) == 2.0


def test_a_log_begun_anew_is_shown(sampler: Sampler, metrics: Metrics, config: NodeConfig) -> None:
    sampler.sample(0.0)
    first = metrics.registry.get_sample_value(LOG_BEGUN, LABELS)
    sampler.stop()
    config.paths.log.write_bytes(b"not a log" * 1000)
    again = Sampler(config, metrics)
    again.sample(0.0)
    second = metrics.registry.get_sample_value(LOG_BEGUN, LABELS)
    again.stop()
    assert first is not None
    assert second is not None
    assert second > first
