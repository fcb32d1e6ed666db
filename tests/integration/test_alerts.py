"""Every alert in worlds with and without its fault, by the real promtool with the rules that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from dashboards.names import GRAFANA, RUNBOOKS
from dashboards.rules.alerts import ALERTS, GROUPS, Alert, blocker
from dashboards.rules.files import files
from tests.integration.alert_cases import CASES
from tests.integration.alert_worlds import EVERY_S, HEALTHY, Case, Firing, during, notation, steps
from tests.servers.prometheus import promtool

pytestmark = pytest.mark.servers

NAMES: Final = tuple(alert.name for alert in ALERTS)

# How bad, and for whom.
PAGED: Final = {
    "HltmodeStuckActivating": "critical shift",
    "HltmodeStuckDeactivating": "critical shift",
    "HltmodeCloudWithoutVms": "warning daq",
    "HltmodeVmsInHlt": "critical shift",
    "HltmodeLostWhileSwitching": "warning shift",
    "HltmodeModeAndBoxDisagree": "critical shift",
    "HltmodeModeUnknown": "warning daq",
    "HltmodeFlapping": "warning shift",
    "HltmodeClockSkew": "warning daq",
    "HltmodeBoxOld": "warning shift",
    "HltmodeExporterDown": "warning daq",
    "HltmodeCollectorStalled": "warning daq",
    "HltmodeLogDown": "warning daq",
    "HltmodeSinkDown": "warning daq",
    "HltmodeBacklogOld": "warning daq",
    "HltmodeDocumentsLost": "warning daq",
    "HltmodeApplianceDown": "critical shift",
    "HltmodeApplianceStuck": "critical shift",
    "HltmodeTooManyAway": "critical shift",
    "HltmodeAwayInCollisions": "critical shift",
    "HltmodeFollowerDown": "critical shift",
    "HltmodeBeamUnknown": "warning shift",
}


def cases_of(name: str) -> list[Case]:
    return [case for case in CASES if case.alert == name]


def expected(alert: Alert, firing: Firing) -> dict[str, Any]:
    """Returns a firing alert with all its labels and annotations, as promtool wants it."""
    severity, team = PAGED[alert.name].split()
    variables = "&".join(f"var-{name}={firing.labels[name]}" for name in ("appliance", "host") if name in firing.labels)
    return {
        "exp_labels": firing.labels | {"severity": severity, "team": team},
        "exp_annotations": {
            "summary": firing.summary,
            "description": alert.description.replace(blocker(), firing.waits),
            "runbook_url": f"{RUNBOOKS}#{alert.name.lower()}",
            "dashboard_url": f"{GRAFANA}/d/{alert.dashboard}" + (f"?{variables}" if variables else ""),
        },
    }


def at(minute: float) -> str:
    return f"{minute * 60:g}s"


def without_a_break(name: str, start: float, end: float) -> dict[str, Any]:
    """Returns promtool's test that the alert fires at each evaluation from minute to minute."""
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    times = steps(end - start) + 1
    # a second less than another evaluation: whether a range takes both its ends depends on Prometheus' version
    window_s = times * EVERY_S - 1
    return {
        "expr": f"count_over_time({firing}[{window_s}s:{EVERY_S}s])",
        "eval_time": at(end),
        "exp_samples": [{"labels": "{}", "value": times}],
    }


def group(alert: Alert, case: Case) -> dict[str, Any]:
    steady = [without_a_break(alert.name, *case.steady)] if case.steady else []
    return {
        "name": case.says,
        "interval": f"{EVERY_S}s",
        "input_series": [{"series": name, "values": notation(values)} for name, values in case.world.items()],
        "alert_rule_test": [
            {
                "eval_time": at(minute),
                "alertname": alert.name,
                "exp_alerts": [expected(alert, each) for each in firing],
            }
            for minute, firing in sorted(case.at.items())
        ],
        "promql_expr_test": steady,
    }


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_fires_for_its_fault_only_and_as_long_as_it_lasts(alert: Alert, tmp_path: Path) -> None:
    for name, content in files().items():
        (tmp_path / name).write_text(content)
    cases = [Case(alert.name, "a healthy world", HEALTHY, during(0, 59.75)), *cases_of(alert.name)]
    nodes, *others = GROUPS
    tests = {
        "rule_files": list(files()),
        "evaluation_interval": f"{EVERY_S}s",
        # Prometheus evaluates groups in no order; this one has what is recorded fresh for each that asks for it.
        "group_eval_order": [nodes, "hltmode-recording", *others],
        "tests": [group(alert, case) for case in cases],
    }
    (tmp_path / "tests.yml").write_text(yaml.dump(tests, Dumper=yaml.CSafeDumper, width=10_000, sort_keys=False))
    done = promtool("test", "rules", "tests.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_cases_in_which_it_fires_is_silent_and_ends(name: str) -> None:
    cases = cases_of(name)
    assert any(case.fires for case in cases)
    assert any(not case.fires for case in cases)
    assert any(case.resolves for case in cases)


def test_cases_are_of_alerts_that_exist_and_are_named_apart() -> None:
    assert {case.alert for case in CASES} == set(NAMES) == set(PAGED)
    assert len({(case.alert, case.says) for case in CASES}) == len(CASES)
