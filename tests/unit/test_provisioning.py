"""The provisioning files are as written in code, agree with rules and dashboards, and hold no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from contract.config import Collector
from contract.errors import Unreadable
from dashboards.__main__ import FOLDER, OUTPUT, main
from dashboards.addresses import Addresses
from dashboards.boards.datasources import Flavour
from dashboards.files import files
from dashboards.provisioning.alertmanager import ROUTES, Receiver, named
from dashboards.provisioning.targets import PORT, Target, read_hosts, target_file
from dashboards.rules.alerts import (
    ALERTS,
    APPLIANCE_ALERTS,
    COLLECTOR_ALERTS,
    CRITICAL,
    FARM_ALERTS,
    NODE_ALERTS,
    SHIFT,
)
from dashboards.rules.files import EVERY
from dashboards.rules.recording import FOLLOW_JOB, JOB

FILES = files()
NAMES = {alert.name for alert in ALERTS}
MATCHER = re.compile(r'^(\w+)(=~|!=|!~|=)"(.*)"$')
SITE = Addresses(
    runbooks="https://docs.site/runbooks",
    grafana="https://grafana.site",
    prometheus="https://prom-1.site:9090",
    alertmanager="am-1.site:9093",
    follower="fleet-1.site:9110",
    elasticsearch="https://es-1.site:9200",
    opensearch="https://os-1.site:9200",
    webhooks="https://tell.site",
)


def parsed(name: str) -> Any:
    return yaml.safe_load(FILES[name])


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]


def meant(matcher: str) -> set[str]:
    """Returns the alerts that a matcher of their names means."""
    found = MATCHER.match(matcher)
    assert found, matcher
    label, operator, value = found.groups()
    assert (label, operator) in {("alertname", "="), ("alertname", "=~")}, matcher
    pattern = value if operator == "=~" else re.escape(value)
    return {name for name in NAMES if re.fullmatch(pattern, name)}


def targets(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["targets", *map(str, arguments)])


def hosts_file(folder: Path, text: str) -> Path:
    path = folder / "hosts.txt"
    path.write_text(text)
    return path


def test_the_committed_files_are_those_that_the_code_makes() -> None:
    for name, content in FILES.items():
        assert (FOLDER / name).read_text() == content
    assert CliRunner().invoke(main, ["write", "--check"]).exit_code == 0


def test_write_writes_what_is_missing_and_check_writes_nothing(tmp_path: Path) -> None:
    checked = CliRunner().invoke(main, ["write", "--folder", str(tmp_path), "--check"])
    assert checked.exit_code == 1
    assert not list(tmp_path.iterdir())
    written = CliRunner().invoke(main, ["write", "--folder", str(tmp_path)])
    assert written.exit_code == 0
    assert {line.removesuffix(": written") for line in written.output.splitlines()} == set(FILES)
    (tmp_path / "compose.yml").write_text("another")
    assert (
        CliRunner().invoke(main, ["write", "--folder", str(tmp_path), "--check"]).output == "compose.yml: is another\n"
    )


def test_a_site_puts_its_own_addresses_in(tmp_path: Path) -> None:
    options = [word for name, value in SITE._asdict().items() for word in (f"--{name}", value)]
    assert CliRunner().invoke(main, ["write", "--folder", str(tmp_path), *options]).exit_code == 0
    made = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("hltmode-farm.json", "alerts.yml"):
        assert f"{SITE.runbooks}#hltmodestuckactivating" in made[name]
    assert f"{SITE.grafana}/d/hltmode-node?var-appliance=" in made["alerts.yml"]
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "compose.yml")
    for address in SITE:
        assert address in written
    for default in filter(None, Addresses()):
        assert default not in written


@pytest.mark.parametrize("name", FILES)
def test_secrets_come_from_the_environment(name: str) -> None:
    for line in FILES[name].splitlines():
        key, _, value = line.strip().partition(": ")
        if re.search("password|secret|token", key, re.IGNORECASE) and value:
            assert re.fullmatch(r"\$__env\{\w+\}|\$\{\w+:[?-][\w ]*\}", value), line


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_a_route_of_its_own(alert: Any) -> None:
    first = next(route for route in ROUTES if route.takes(alert))
    expected = (
        (Receiver.PAGE if alert.severity == CRITICAL else Receiver.CHAT) if alert.team == SHIFT else Receiver.MAIL
    )
    assert first.receiver is expected


def test_messages_go_by_appliance_and_wait_long_enough_for_what_makes_them_needless() -> None:
    config = parsed("alertmanager/alertmanager.yml")
    assert config["route"]["group_by"] == ["alertname", "appliance"]
    assert {each["name"] for each in config["receivers"]} == {receiver.value for receiver in Receiver}
    for route in [config["route"], *config["route"]["routes"]]:
        assert route["receiver"] in set(Receiver)
        assert "group_by" not in route or route is config["route"]
        assert seconds(EVERY) <= seconds(route["group_wait"]) <= seconds(route["group_interval"])
        assert seconds(route["group_interval"]) < seconds(route["repeat_interval"])
        if any("HltmodeStuck" in each for each in route.get("matchers", [])):
            # seen late by an evaluation, held for another, and then alone or behind others of its group
            fires_s = 2 * seconds(EVERY)
            for waits in ("group_wait", "group_interval"):
                assert fires_s + seconds(route[waits]) < 60
        if route["receiver"] == Receiver.MAIL:  # an appliance's alert takes a recording and a rule more
            assert seconds(route["group_wait"]) >= 2 * seconds(EVERY) + 15


def test_every_alert_in_an_inhibition_exists_and_none_inhibits_itself() -> None:
    for rule in parsed("alertmanager/alertmanager.yml")["inhibit_rules"]:
        (sources,), (silenced,) = rule["source_matchers"], rule["target_matchers"]
        for matcher in (sources, silenced):
            assert set(re.findall(r"Hltmode\w+", matcher)) == meant(matcher) != set()
        assert not meant(sources) & meant(silenced)
        assert rule.get("equal") in (["appliance", "host"], ["appliance"], None)


def test_alerts_of_nodes_name_their_host_and_those_of_the_farm_do_not() -> None:
    assert all("$labels.host" in alert.summary for alert in (*NODE_ALERTS, *COLLECTOR_ALERTS))
    assert not any("$labels.host" in alert.summary for alert in (*APPLIANCE_ALERTS, *FARM_ALERTS))


def test_a_pattern_that_means_no_alert_is_an_error() -> None:
    assert named("HltmodeStuck*") == ["HltmodeStuckActivating", "HltmodeStuckDeactivating"]
    with pytest.raises(LookupError, match="HltmodeStock"):
        named("HltmodeStuck*", "HltmodeStock*")


def test_prometheus_scrapes_the_job_that_the_rules_ask_for() -> None:
    config = parsed("prometheus/prometheus.yml")
    [scrape] = config["scrape_configs"]
    with_follower = yaml.safe_load(files(SITE)["prometheus/prometheus.yml"])["scrape_configs"]
    assert with_follower == [
        scrape, {"job_name": FOLLOW_JOB, "static_configs": [{"targets": [SITE.follower]}]},
    ]  # fmt: skip
    assert scrape["job_name"] == JOB
    assert scrape["honor_labels"] is True
    assert scrape["file_sd_configs"][0]["files"] == ["targets/*.json"]
    assert config["global"]["scrape_interval"] == "15s"
    assert all((FOLDER / "prometheus" / name).is_file() for name in config["rule_files"])


def test_examples_of_targets_are_not_scraped_and_carry_host_and_appliance() -> None:
    examples = {name: json.loads(text) for name, text in FILES.items() if "/targets/" in name}
    assert {Path(name).name for name in examples} == {"node.json.example", "appliance.json.example"}
    for name, groups in examples.items():
        assert not Path(name).match("targets/*.json")
        for group in groups:
            assert group["targets"] == [f"{group['labels']['host']}:{Collector().metrics_port}"]
            assert set(group["labels"]) == {"host", "appliance"}
            is_bu = group["labels"]["host"] == group["labels"]["appliance"]
            assert is_bu is ("appliance" in Path(name).name)


@pytest.mark.parametrize(
    ("name", "flavour"),
    [("hltmode.yml", Flavour.ELASTICSEARCH), ("hltmode-opensearch.yml.example", Flavour.OPENSEARCH)],
)
def test_datasources_are_of_the_types_that_the_dashboards_ask(name: str, flavour: Flavour) -> None:
    prometheus, index = parsed(f"grafana/provisioning/datasources/{name}")["datasources"]
    assert (prometheus["uid"], prometheus["type"]) == ("hltmode-prometheus", "prometheus")
    assert (index["uid"], index["type"]) == ("hltmode-index", flavour.value)
    assert index["jsonData"]["timeField"] == "@timestamp"
    assert index["jsonData"]["index" if flavour is Flavour.ELASTICSEARCH else "database"] == "hltmode-*"
    if flavour is Flavour.OPENSEARCH:
        assert index["jsonData"]["flavor"] == "opensearch"
        assert re.fullmatch(r"\d+\.\d+\.\d+", index["jsonData"]["version"])
    assert "isDefault" not in prometheus  # a site has its own, and Grafana ends at two


def test_compose_mounts_what_is_there_and_listens_on_loopback_only() -> None:
    content = parsed("compose.yml")
    provider = parsed("grafana/provisioning/dashboards/hltmode.yml")["providers"][0]
    mounted = set()
    for name, service in content["services"].items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            mounted.add(target)
            if source.startswith("./"):
                assert (FOLDER / source).exists(), volume
                assert mode == ["ro"]
            else:
                assert source in content["volumes"]
                assert source == f"{name}-data"
    assert provider["options"]["path"] in mounted
    assert {Addresses().prometheus, Addresses().opensearch} <= {
        f"http://{name}:{service['ports'][0].split(':')[1]}" for name, service in content["services"].items()
    }
    prometheus = parsed("prometheus/prometheus.yml")
    scraped = [each for scrape in prometheus["scrape_configs"] for each in scrape.get("static_configs", [])]
    told = prometheus["alerting"]["alertmanagers"][0]["static_configs"]
    for address in (address for each in [*scraped, *told] for address in each["targets"]):
        assert address.split(":")[0] in content["services"], "it would be said to be down for ever"


def test_targets_are_written_as_a_whole(tmp_path: Path) -> None:
    hosts = hosts_file(tmp_path, "# the farm\nfu-1 bu-1\n\n  fu-2\tbu-1  # the new one\nbu-9 bu-9\n")
    output = tmp_path / "targets" / "hltmode.json"
    answer = targets(hosts, "--output", output)
    assert answer.exit_code == 0, answer.output
    assert answer.output == f"{output}: 3 targets\n"
    assert json.loads(output.read_text()) == [
        {"targets": [f"fu-1:{PORT}"], "labels": {"host": "fu-1", "appliance": "bu-1"}},
        {"targets": [f"fu-2:{PORT}"], "labels": {"host": "fu-2", "appliance": "bu-1"}},
        {"targets": [f"bu-9:{PORT}"], "labels": {"host": "bu-9", "appliance": "bu-9"}},
    ]
    assert [path.name for path in output.parent.iterdir()] == ["hltmode.json"]
    assert OUTPUT.match("prometheus/targets/*.json")


def test_the_fleet_tools_file_serves_as_it_is() -> None:
    found = read_hosts("fu-1 bu-1 10.0.0.1:9000\nfu-2 bu-1 10.0.0.2\n", "farm.txt")
    groups = json.loads(target_file(found))
    assert [group["targets"] for group in groups] == [[f"10.0.0.1:{PORT}"], [f"10.0.0.2:{PORT}"]]
    assert groups[0]["labels"] == {"host": "fu-1", "appliance": "bu-1"}


def test_a_port_and_a_domain_change_the_address_and_not_the_labels() -> None:
    (group,) = json.loads(target_file([Target("fu-1", "bu-1")], port=9110, domain="farm.example"))
    assert group == {"targets": ["fu-1.farm.example:9110"], "labels": {"host": "fu-1", "appliance": "bu-1"}}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("fu-1 bu-1\nfu-2\n", 2, "write it as `host appliance [address[:port]]`"),
        ("fu-1 bu-1 10.0.0.1 more\n", 1, "write it as `host appliance [address[:port]]`"),
        ("\n# none\nfu_1! bu-1\n", 3, "'fu_1!' is no host name"),
        ("fu-1:9109 bu-1\n", 1, "'fu-1:9109' is no host name"),
        ("fu-1 bu-1\nfu-2 bu-1\nfu-1 bu-2\n", 3, "fu-1 stands in line 1 already"),
    ],
)
def test_a_bad_line_is_one_line_of_error_and_the_old_targets_stay(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    output = tmp_path / "old.json"
    output.write_text("[]\n")
    hosts = hosts_file(tmp_path, text)
    answer = targets(hosts, "--output", output)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.count("\n") == 1
    assert f"{hosts}:{line}: " in answer.stderr
    assert words in answer.stderr
    assert output.read_text() == "[]\n"


def test_no_hosts_at_all_would_blind_prometheus_and_is_an_error() -> None:
    with pytest.raises(Unreadable, match=r"hosts\.txt: names no host"):
        read_hosts("# all gone\n", "hosts.txt")


def test_files_that_are_not_to_be_read_or_written_are_named(tmp_path: Path) -> None:
    missing = targets(tmp_path / "nowhere.txt", "--output", tmp_path / "a.json")
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)
    assert "nowhere.txt: cannot be read" in missing.stderr
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe")
    assert "binary.txt: not text" in targets(binary, "--output", tmp_path / "a.json").stderr
    hosts = hosts_file(tmp_path, "fu-1 bu-1\n")
    barred = targets(hosts, "--output", hosts / "a.json")
    assert (barred.exit_code, barred.stderr.count("\n")) == (5, 1)
    assert "cannot be written" in barred.stderr
