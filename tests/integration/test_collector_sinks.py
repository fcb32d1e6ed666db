"""The collector as a process with a sink: killed, reloaded, in front of a server that hangs."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.log.reading import opened
from collector.log.upkeep import standing
from contract import metric_names as names
from tests.integration.node import wait_for
from tests.integration.shipping import PATIENCE_S, ids_in, prepare
from tests.integration.test_collector_daemon import RARELY, Collector
from tests.servers.proxy import BlackHole, Cut, FaultProxy
from tests.servers.server import IndexServer
from tests.unit.test_commands import hltmode

pytestmark = pytest.mark.servers

SINK = '\n[[sink]]\nname = "main"\nkind = "{kind}"\nhosts = ["{url}"]\ntimeout_s = 2\nbacklog_per_s = 1000\n'
TWENTY_TIMES = "collector.interval_s=0.25"


@pytest.fixture
def node(tmp_path: Path, prefix: str) -> Iterator[Collector]:
    node = Collector(tmp_path)
    text = node.files.config.read_text()
    node.files.config.write_text(text.replace("[node]", f'[node]\nsubsystem = "{prefix.strip("-")}"', 1))
    yield node
    node.clean()


def add_sink(node: Collector, server: IndexServer, url: str) -> None:
    with node.files.config.open("a") as file:
        file.write(SINK.format(kind=server.product.value, url=url))


def subsystem(node: Collector) -> str:
    return node.files.load().node.subsystem.replace("-", "_")


def ids(node: Collector) -> set[str]:
    with opened(node.paths.log) as connection:
        return {identity for (identity,) in connection.execute("SELECT id FROM documents")}


def backlog(node: Collector) -> int:
    """Returns what is left, from the log itself: the gauge is as old as the newest sample."""
    return standing(node.paths.log).sinks["main"].account.backlog


@pytest.mark.parametrize("each_server", ["opensearch3", "elasticsearch9"], indirect=True)
def test_an_agent_killed_at_random_moments_loses_and_doubles_nothing(each_server: IndexServer, node: Collector) -> None:
    prepare(each_server)
    dice = random.Random(7)
    with FaultProxy(each_server.url, Cut(share=0.3)) as proxy:
        add_sink(node, each_server, proxy.url)
        for _ in range(6):
            daemon = node.start("collector.interval_s=0.05")
            time.sleep(dice.uniform(0.3, 2.0))
            daemon.process.kill()
            daemon.end()
        node.start(RARELY)
        wait_for("everything is delivered", lambda: backlog(node) == 0, PATIENCE_S)
        found = ids_in(each_server, subsystem(node))
    assert set(found.values()) == {1}
    assert set(found) == ids(node)
    assert len(found) > 40


def test_a_server_that_hangs_delays_no_sample_and_no_end(opensearch3: IndexServer, node: Collector) -> None:
    prepare(opensearch3)
    with FaultProxy(opensearch3.url, BlackHole()) as proxy:
        add_sink(node, opensearch3, proxy.url)
        daemon = node.start(TWENTY_TIMES)
        wait_for("the sink is down", lambda: node.gauge(names.SINK_FAILURES, "main", "no_answer"), PATIENCE_S)

        def on_time() -> bool:
            """Looks for five seconds, in which the sink has hung more than once. A busy machine gets another chance."""
            begin, began_s = len(node.documents()), time.monotonic()
            time.sleep(5.0)
            made, took_s = len(node.documents()) - begin, time.monotonic() - began_s
            return made >= 0.8 * took_s / 0.25

        wait_for("samples on time", on_time, PATIENCE_S)
        seen = node.scrape()
        captured, rest = (
            seen[names.SINK_CAPTURED]["main",],
            (names.SINK_DELIVERED, names.SINK_DEAD, names.SINK_DROPPED, names.SINK_BACKLOG),
        )
        assert captured == sum(seen[name]["main",] for name in rest) > 0
        assert seen[names.SINK_UP]["main",] == 0.0
        assert seen[names.SINK_OLDEST]["main",] > 2.0
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE_S) == 0


def test_sinks_come_and_go_with_the_configuration(opensearch3: IndexServer, node: Collector) -> None:
    prepare(opensearch3)
    without = node.files.config.read_text()
    daemon = node.start(TWENTY_TIMES)
    wait_for("a few samples", lambda: len(node.documents()) > 5)
    past = ids(node)
    add_sink(node, opensearch3, opensearch3.url)
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the sink is up", lambda: node.gauge(names.SINK_UP, "main") == 1.0, PATIENCE_S)
    wait_for("the past is there too", lambda: past <= set(ids_in(opensearch3, subsystem(node))), PATIENCE_S)
    node.files.config.write_text(without)
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the sink has gone", lambda: node.gauge(names.SINK_UP, "main") is None)
    assert node.gauge(names.SINK_BACKLOG, "main") is None


def test_the_log_is_looked_after_from_the_command_line(opensearch3: IndexServer, node: Collector) -> None:
    prepare(opensearch3)
    add_sink(node, opensearch3, opensearch3.url)
    node.start(TWENTY_TIMES)
    wait_for("some are delivered", lambda: (node.gauge(names.SINK_DELIVERED, "main") or 0) > 3, PATIENCE_S)
    of_node = ("--config", str(node.files.config))
    told = hltmode("collector", "log", "status", "--json", *of_node)
    standing = json.loads(told.stdout)["sinks"]["main"]
    assert (told.returncode, standing["adds_up"], standing["dead"]) == (0, True, 0)
    assert "adds up" in hltmode("collector", "log", "status", *of_node).stdout
    again = hltmode("collector", "log", "replay", "--sink", "main", "--since", "1h", *of_node)
    assert again.returncode == 0
    assert int(again.stdout.split()[0]) > 3
    wait_for("they are delivered again", lambda: (node.gauge(names.SINK_DELIVERED, "main") or 0) > 8, PATIENCE_S)
    assert set(ids_in(opensearch3, subsystem(node)).values()) == {1}
    assert hltmode("collector", "log", "dead", "--sink", "main", *of_node).returncode == 0
    nobody = hltmode("collector", "log", "replay", "--sink", "other", "--since", "1h", *of_node)
    assert nobody.returncode == 5
    assert "has no sink other; it has main" in nobody.stderr
