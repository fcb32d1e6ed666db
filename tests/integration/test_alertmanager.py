"""The files of Alertmanager and Prometheus in the real programs: who is told, what is held back, what is scraped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from contract.metric_names import MODE
from dashboards.__main__ import main
from dashboards.files import files
from dashboards.provisioning.alertmanager import Receiver
from dashboards.provisioning.compose import ALERTMANAGER_VERSION, PROMETHEUS_VERSION
from dashboards.rules.alerts import ALERTS, CRITICAL, DAQ, SHIFT, WARNING
from dashboards.rules.files import files as rules
from dashboards.rules.recording import JOB
from tests.integration.alert_cases import CASES
from tests.integration.node import wait_for
from tests.servers.listener import Listener
from tests.servers.prometheus import AlertmanagerServer, PrometheusServer, amtool, promtool
from tests.servers.settings import LOOPBACK

pytestmark = pytest.mark.servers

BY_NAME = {alert.name: alert for alert in ALERTS}
CONFIG = files()["alertmanager/alertmanager.yml"]
WAIT_S = 2
# What the rules themselves label an alert with: promtool finds each case to fire with just these.
LABELS = {case.alert: firing[0].labels for case in CASES for firing in case.at.values() if firing}
FARM = {name for name, labels in LABELS.items() if not labels}
APPLIANCE = {name for name, labels in LABELS.items() if set(labels) == {"appliance"}}
STUCK = {"HltmodeStuckActivating", "HltmodeStuckDeactivating"}
EXPLAINS = {
    "HltmodeApplianceDown": {"HltmodeExporterDown", "HltmodeLostWhileSwitching"},
    "HltmodeApplianceStuck": STUCK,
    "HltmodeExporterDown": {*STUCK, "HltmodeFlapping"},
    "HltmodeLostWhileSwitching": {*STUCK, "HltmodeFlapping"},
    "HltmodeLogDown": {"HltmodeDocumentsLost", "HltmodeCollectorStalled"},
    "HltmodeSinkDown": {"HltmodeBacklogOld"},
    "HltmodeAwayInCollisions": {"HltmodeTooManyAway"},
}


def hurried(url: str) -> str:
    """Returns the configuration with short waits and `url` for all receivers; nothing else is changed."""
    config = yaml.safe_load(CONFIG)
    for route in [config["route"], *config["route"]["routes"]]:
        route |= {"group_wait": f"{WAIT_S}s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"{url}/{webhook['url'].rpartition('/')[2]}"
    return yaml.safe_dump(config)


def firing(name: str, *, appliance: str = "bu-1", host: str = "fu-1", over: bool = False) -> dict[str, Any]:
    """Returns an alert with the labels that the rule of that name gives it."""
    alert = BY_NAME[name]
    ours = {"appliance": appliance, "host": host}
    where = {label: ours.get(label, value) for label, value in LABELS[name].items()}
    now = datetime.now(UTC).isoformat()
    times = {"endsAt": now} if over else {"startsAt": now}  # an alert older than the wait is told of at once
    return {"labels": {"alertname": name, "severity": alert.severity, "team": alert.team, **where}, **times}


def inhibited(alertmanager: AlertmanagerServer) -> list[dict[str, str]]:
    """Returns the labels of the alerts that others hold back."""
    return [each["labels"] for each in alertmanager.alerts() if each["status"]["inhibitedBy"]]


@pytest.fixture
def told() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


@pytest.fixture
def alertmanager(told: Listener, tmp_path: Path) -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(hurried(told.url), tmp_path / "alertmanager") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Returns a folder with all files as a site has them."""
    folder = tmp_path / "site"
    for name, text in files().items() | {f"prometheus/{name}": text for name, text in rules().items()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_amtool_finds_nothing_wrong(site: Path) -> None:
    done = amtool("check-config", "alertmanager.yml", folder=site / "alertmanager")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 receivers" in done.stdout
    assert "6 inhibit rules" in done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (f"team={SHIFT} severity={CRITICAL}", Receiver.PAGE),
        *((f"alertname={name} team={SHIFT} severity={CRITICAL}", Receiver.PAGE) for name in sorted(STUCK)),
        (f"team={SHIFT} severity={WARNING}", Receiver.CHAT),
        (f"team={DAQ} severity={CRITICAL}", Receiver.MAIL),
        (f"team={DAQ} severity={WARNING}", Receiver.MAIL),
        (f"severity={CRITICAL}", Receiver.MAIL),
    ],
)
def test_each_team_and_severity_has_its_receiver(site: Path, labels: str, receiver: Receiver) -> None:
    how = ["--config.file=alertmanager.yml", f"--verify.receivers={receiver}", *labels.split()]
    done = amtool("config", "routes", "test", *how, folder=site / "alertmanager")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [receiver.value]


def test_promtool_finds_nothing_wrong(site: Path) -> None:
    hosts = site / "hosts.txt"
    hosts.write_text("fu-1 bu-1\nbu-2 bu-2\n")
    output = site / "prometheus" / "targets" / "hltmode.json"
    assert CliRunner().invoke(main, ["targets", str(hosts), "--output", str(output)]).exit_code == 0
    done = promtool("check", "config", "prometheus.yml", folder=site / "prometheus")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_an_appliance_that_dies_is_one_page(told: Listener, alertmanager: AlertmanagerServer) -> None:
    """Twenty collectors of one appliance are silent, and three of another that is not down itself."""
    here = [firing("HltmodeExporterDown", host=f"fu-{number}") for number in range(20)]
    there = [firing("HltmodeExporterDown", appliance="bu-2", host=f"fu-{number}") for number in range(3)]
    alertmanager.tell([*here, *there, firing("HltmodeApplianceDown")])  # at once: what holds back must not be late

    wait_for("a page", lambda: told.of("HltmodeApplianceDown", "bu-1"))
    wait_for("a mail about the other appliance", lambda: told.of("HltmodeExporterDown", "bu-2"))
    sleep(2 * WAIT_S)  # what is held back would have come by now
    assert told.of("HltmodeApplianceDown", "bu-1") == [(Receiver.PAGE, 1)]
    assert told.of("HltmodeExporterDown", "bu-2") == [(Receiver.MAIL, 3)]
    assert told.of("HltmodeExporterDown", "bu-1") == []
    assert len(told.messages) == 2

    alertmanager.tell([firing("HltmodeApplianceDown", over=True)])
    wait_for("that it is over", lambda: told.of("HltmodeApplianceDown", "bu-1", "resolved"))
    assert told.of("HltmodeApplianceDown", "bu-1", "resolved") == [(Receiver.PAGE, 1)]
    wait_for("a mail about the nodes that stay away", lambda: told.of("HltmodeExporterDown", "bu-1"))
    assert told.of("HltmodeExporterDown", "bu-1") == [(Receiver.MAIL, 20)]


@pytest.mark.parametrize("source", [*EXPLAINS, "HltmodeTooManyAway", "HltmodeStuckActivating"])
def test_an_alert_holds_back_what_it_explains_and_no_others(alertmanager: AlertmanagerServer, source: str) -> None:
    explained = EXPLAINS.get(source, set())
    silent = set(EXPLAINS) - {source} - explained  # these would hold back others themselves
    held_back = explained.union(*(EXPLAINS.get(name, set()) for name in explained))
    here = [firing(name) for name in BY_NAME if name not in silent]
    host, appliance = ("fu-1", "bu-2") if source in APPLIANCE else ("fu-2", "bu-1")
    elsewhere = [firing(name, appliance=appliance, host=host) for name in held_back - FARM if name not in EXPLAINS]
    alertmanager.tell([*here, *elsewhere])
    wait_for("all alerts", lambda: len(alertmanager.alerts()) == len(here) + len(elsewhere))
    # Which hold back others it finds out beside taking them in.
    wait_for("those held back", lambda: {labels["alertname"] for labels in inhibited(alertmanager)} == held_back)
    found = inhibited(alertmanager)
    assert {labels["alertname"] for labels in found} == held_back
    assert {labels.get("appliance", "") + labels.get("host", "") for labels in found} <= {"bu-1fu-1", ""}


def test_what_others_say_of_the_same_hosts_is_not_held_back(alertmanager: AlertmanagerServer) -> None:
    other = {"labels": {"alertname": "DiskFull", "appliance": "bu-1", "host": "fu-1"}}
    alertmanager.tell([firing("HltmodeApplianceDown"), firing("HltmodeExporterDown"), other])
    wait_for("all alerts", lambda: len(alertmanager.alerts()) == 3)
    wait_for("one is held back", lambda: inhibited(alertmanager))
    assert [labels["alertname"] for labels in inhibited(alertmanager)] == ["HltmodeExporterDown"]


def test_a_dying_appliance_does_not_silence_its_living_half(told: Listener, alertmanager: AlertmanagerServer) -> None:
    living = ("HltmodeStuckActivating", "HltmodeVmsInHlt", "HltmodeModeAndBoxDisagree")
    alertmanager.tell([firing("HltmodeApplianceDown"), *(firing(name, host="fu-living") for name in living)])
    wait_for("all are told", lambda: all(told.of(name, "bu-1") == [(Receiver.PAGE, 1)] for name in living))


def test_the_second_node_of_an_appliance_does_not_wait_for_long(told: Listener, tmp_path: Path) -> None:
    """The route of stuck nodes is the shipped one, with its own waits: the second comes when the first is told."""
    config = yaml.safe_load(CONFIG)
    [route] = [each for each in config["route"]["routes"] if any("HltmodeStuck" in each for each in each["matchers"])]
    assert (route["group_wait"], route["group_interval"]) == ("15s", "15s")
    hurry = yaml.safe_load(hurried(told.url))
    hurry["route"]["routes"] = [
        route if each["matchers"] == route["matchers"] else each for each in hurry["route"]["routes"]
    ]
    with AlertmanagerServer(yaml.safe_dump(hurry), tmp_path / "alertmanager") as alertmanager:
        alertmanager.tell([firing("HltmodeStuckActivating", host="fu-1")])
        wait_for("the first is told", lambda: told.of("HltmodeStuckActivating", "bu-1"))
        alertmanager.tell([firing("HltmodeStuckActivating", host="fu-2")])
        wait_for("the second is told", lambda: len(told.of("HltmodeStuckActivating", "bu-1")) == 2, 30.0)
    assert told.of("HltmodeStuckActivating", "bu-1") == [(Receiver.PAGE, 1), (Receiver.PAGE, 2)]


def test_prometheus_finds_its_targets_rules_and_alertmanager(site: Path, alertmanager: AlertmanagerServer) -> None:
    """A BU's collector tells of its nodes: their series keep their hosts, and `up` has the BU's."""
    config = yaml.safe_load((site / "prometheus" / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"{LOOPBACK}:{alertmanager.port}"]
    page = "".join(f'{MODE}{{host="fu-{number}",appliance="bu-1",mode="HLT"}} 1\n' for number in (1, 2))
    hosts = site / "hosts.txt"
    hosts.write_text("localhost bu-1\n")
    output = site / "prometheus" / "targets" / "hltmode.json"
    with Listener(page) as exporter:
        words = ["targets", str(hosts), "--output", str(output), "--port", str(exporter.port)]
        assert CliRunner().invoke(main, words).exit_code == 0
        with PrometheusServer(yaml.safe_dump(config), site / "prometheus") as server:
            wait_for("the series of both nodes", lambda: len(server.query(MODE)) == 2)
            assert {each["metric"]["host"] for each in server.query(MODE)} == {"fu-1", "fu-2"}
            (up,) = server.query(f'up{{job="{JOB}"}}')
            assert (up["metric"]["host"], up["metric"]["appliance"], up["value"][1]) == ("localhost", "bu-1", "1")
            assert sum(len(group["rules"]) for group in server.rules()) > len(ALERTS)
            wait_for("the Alertmanager", lambda: server.ask("/api/v1/alertmanagers")["data"]["activeAlertmanagers"])
            output.with_name("more.json").write_text(output.read_text().replace("localhost:", f"{LOOPBACK}:"))
            wait_for("a file that came later", lambda: len(server.query(f'up{{job="{JOB}"}}')) == 2)


def test_compose_names_the_major_versions_that_are_tested_here(site: Path) -> None:
    """A major version changes how Prometheus reads ranges and Alertmanager reads matchers."""
    for tool, version in ((promtool, PROMETHEUS_VERSION), (amtool, ALERTMANAGER_VERSION)):
        done = tool("--version", folder=site)
        found = re.search(r"version (\d+)\.", done.stdout + done.stderr)
        assert found and found[1] == version.split(".")[0], done.stdout + done.stderr
