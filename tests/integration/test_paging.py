"""From a node that hangs to the message that a person gets: real daemons, Prometheus and Alertmanager as shipped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.modefile import write_mode
from contract.modes import Mode
from dashboards.addresses import Addresses
from dashboards.files import files
from dashboards.provisioning.alertmanager import Receiver
from simulator.daemons import Daemon
from simulator.node_files import NodeFiles, lay_out
from tests.integration.node import Node, wait_for
from tests.ports import free_port
from tests.servers.listener import Listener
from tests.servers.prometheus import AlertmanagerServer, PrometheusServer

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("paging"), pytest.mark.timeout(400)]

LIMIT_S = 10.0
PAGED_WITHIN_S = 60.0
DYING = [f"fu-2-{number}" for number in range(1, 6)]


class Site:
    """A node with switcher and collector, an appliance of collectors alone, and what watches over them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        limits = {"switch": {"activating_timeout_s": LIMIT_S}}
        self.node = Node(root / "node", overlay=limits)
        self.collectors: dict[str, Daemon] = {}
        self.targets: list[dict[str, Any]] = []

    def collect(self, laid: NodeFiles, appliance: str) -> None:
        """Starts the collector of a node."""
        log = self.root / f"{laid.host}-collector.log"
        self.collectors[laid.host] = Daemon(laid.host, ["collector", "run", "--config", str(laid.config)], log)
        address = f"127.0.0.1:{laid.load().collector.metrics_port}"
        self.targets.append({"targets": [address], "labels": {"host": laid.host, "appliance": appliance}})

    def start(self) -> None:
        """Starts all daemons."""
        self.node.start()
        self.collect(self.node.files, "bu-sim01")
        for host in DYING:
            laid = lay_out(self.root / "dying", host, appliance="bu-2", metrics_port=free_port())
            write_mode(laid.paths.mode, Mode.HLT)
            self.collect(laid, "bu-2")
        for collector in self.collectors.values():
            collector.wait_ready()

    def end(self) -> None:
        """Ends them."""
        for collector in self.collectors.values():
            collector.end()
        self.node.clean()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        site.start()
        yield site
    finally:
        site.end()


@pytest.fixture
def told() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


@pytest.fixture
def alertmanager(told: Listener, tmp_path: Path) -> Iterator[AlertmanagerServer]:
    """Returns one with the shipped configuration, but for shorter waits where nobody's page waits."""
    config = yaml.safe_load(files(Addresses(webhooks=told.url))["alertmanager/alertmanager.yml"])
    for route in config["route"]["routes"]:
        if not any("HltmodeStuck" in each for each in route["matchers"]):
            route["group_interval"] = "5s"
        if route["receiver"] == Receiver.MAIL:
            route["group_wait"] = "5s"
    with AlertmanagerServer(yaml.safe_dump(config), tmp_path / "alertmanager") as server:
        yield server


@pytest.fixture
def prometheus(site: Site, alertmanager: AlertmanagerServer, tmp_path: Path) -> Iterator[PrometheusServer]:
    made = files(Addresses(alertmanager=alertmanager.url.removeprefix("http://")))
    folder = tmp_path / "prometheus"
    for name in ("recording.yml", "alerts.yml", "targets/hltmode.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(made.get(f"prometheus/{name}", json.dumps(site.targets)))
    with PrometheusServer(made["prometheus/prometheus.yml"], folder) as server:
        yield server


def test_who_hangs_is_told_of_once_with_its_blocker_and_a_dead_appliance_is_one_page(
    site: Site, prometheus: PrometheusServer, told: Listener
) -> None:
    wait_for(
        "every collector is scraped", lambda: len(prometheus.query('up{job="hltmode"} == 1')) == 1 + len(DYING), 60.0
    )
    site.node.work_on(100, closed=3)
    site.node.cgi("exclude", "?who=shift")  # its job ends with the fifth lumisection, which does not come
    deadline_s = time.time() + LIMIT_S
    for host in DYING:
        site.collectors[host].kill()

    left_s = deadline_s + PAGED_WITHIN_S - time.time()
    wait_for("the shift is told of the node", lambda: told.of("HltmodeStuckActivating", "bu-sim01"), left_s)
    [alert] = told.alerts("HltmodeStuckActivating")
    assert alert["labels"]["host"] == site.node.files.host
    assert alert["annotations"]["summary"].startswith("fu-1 (bu-sim01) is stuck in activatingCloud, ")
    assert "It waits for: run 100: 1 jobs, " in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"].endswith("#hltmodestuckactivating")

    for lumisection in (4, 5):
        site.node.close_lumisection(100, lumisection)
    site.node.wait_mode(Mode.CLOUD)
    wait_for("the shift is paged for the appliance", lambda: told.of("HltmodeApplianceDown", "bu-2"), 180.0)
    wait_for("it is over for the node", lambda: told.of("HltmodeStuckActivating", "bu-sim01", status="resolved"), 180.0)
    wait_for(
        "each dead collector has its alert",
        lambda: len(prometheus.query('ALERTS{alertname="HltmodeExporterDown",alertstate="firing"}')) == len(DYING),
        180.0,
    )
    time.sleep(10.0)  # a message about them would have come by now
    assert told.of("HltmodeStuckActivating", "bu-sim01") == [(Receiver.PAGE, 1)]
    assert told.of("HltmodeApplianceDown", "bu-2") == [(Receiver.PAGE, 1)]
    assert not told.of("HltmodeExporterDown", "bu-2")
