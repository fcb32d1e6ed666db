"""The rules are as written in code, ask only for what is exported, and tell people what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collector.documents import Sighting
from collector.facts import ModeNow
from collector.metrics import Metrics, Snapshot
from collector.sources.looks import NodeLook
from contract.beam import BeamMode
from contract.config import Node, Role, Switch
from contract.modes import Mode, Vms
from dashboards.rules.alerts import ALERTS, CRITICAL, DAQ, SHIFT, WARNING, Alert
from dashboards.rules.files import anchor
from dashboards.rules.recording import RECORDINGS
from fleet.follow.gauges import Shown
from tests.unit.test_collector_facts import NOW_S, make_box
from tests.unit.test_follow_parts import exported as follow_metrics

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
NAME = re.compile(r"\b(?:hltd|hltmode)_[a-z_]+|\b[a-z_]+:[a-z_]+:[a-z_]+")


def exported() -> set[str]:
    """Returns the names of all series that a collector with a sink exports."""
    metrics = Metrics(Node(host="fu-1", appliance="bu-1"), Role.NODE, Switch())
    metrics.sinks.meter("main")
    box = make_box("on", mode="cloud", blocker="x", stuck=True)
    now = ModeNow(mode=Mode.CLOUD, since_s=NOW_S, vms=Vms.UP)
    look = NodeLook(host="fu-1", appliance="bu-1", now=now, seen=Sighting(box=box), cores={"idle": 1})
    metrics.show(Snapshot(nodes=(look,), interval_s=5.0, last_success_s=1.0, log_begun_s=1.0))
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {name for family in families for name in (family.name, f"{family.name}_total")}


def test_every_metric_that_is_asked_for_is_exported_or_recorded() -> None:
    known = exported() | {each.record for each in RECORDINGS} | set(follow_metrics(Shown(beam=BeamMode.RAMP)))
    for expr in [each.expr for each in (*RECORDINGS, *ALERTS)]:
        assert {name.removesuffix("_bucket") for name in NAME.findall(expr)} <= known, expr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_tells_where_how_bad_and_what_to_do(alert: Alert) -> None:
    assert alert.severity in (CRITICAL, WARNING)
    assert alert.team in (SHIFT, DAQ)
    assert "$labels." in alert.summary or "of the farm" in alert.summary
    headings = [line.removeprefix("## ") for line in RUNBOOKS.read_text().splitlines() if line.startswith("## ")]
    assert alert.name in headings
    assert anchor(alert) == alert.name.lower()


def test_names_are_unique_and_each_runbook_has_its_alert() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names)
    text = RUNBOOKS.read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == names
    # the dashboards' table of alerts links to the name as it is written
    assert re.findall(r'^<a id="(\w+)"></a>$', text, re.MULTILINE) == names
