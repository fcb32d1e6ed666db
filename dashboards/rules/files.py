"""The rules as the YAML that Prometheus reads; the same rules make the same bytes."""

from __future__ import annotations

from typing import Any, Final

import yaml

from dashboards.names import GRAFANA, RUNBOOKS
from dashboards.rules.alerts import GROUPS, Alert
from dashboards.rules.recording import RECORDINGS

EVERY: Final = "15s"
NOTE: Final = "# Written by `python -m dashboards.rules`; change it there.\n"


class _Dumper(yaml.SafeDumper):
    """Keeps the order of keys and writes long texts as they are."""


def files(*, runbooks: str = RUNBOOKS, dashboards: str = GRAFANA) -> dict[str, str]:
    """Returns the content of each rule file by name; the addresses go into the annotations."""
    recordings = [{"record": each.record, "expr": each.expr} for each in RECORDINGS]
    alerts = [
        {"name": name, "interval": EVERY, "rules": [_rule(alert, runbooks, dashboards) for alert in group]}
        for name, group in GROUPS.items()
    ]
    return {
        "recording.yml": _yaml({"groups": [{"name": "hltmode-recording", "interval": EVERY, "rules": recordings}]}),
        "alerts.yml": _yaml({"groups": alerts}),
    }


def anchor(alert: Alert) -> str:
    """Returns the anchor of an alert's section in the runbooks."""
    return alert.name.lower()


def _rule(alert: Alert, runbooks: str, dashboards: str) -> dict[str, Any]:
    more = {"for": alert.hold} if alert.hold != "0s" else {}
    if alert.keep:
        more["keep_firing_for"] = alert.keep
    variables = (
        ""
        if "{{ $labels.host }}" not in alert.summary
        else "?var-appliance={{ $labels.appliance }}&var-host={{ $labels.host }}"
    )
    if not variables and "{{ $labels.appliance }}" in alert.summary:
        variables = "?var-appliance={{ $labels.appliance }}"
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **more,
        "labels": {"severity": alert.severity, "team": alert.team},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks}#{anchor(alert)}",
            "dashboard_url": f"{dashboards}/d/{alert.dashboard}{variables}",
        },
    }


def _yaml(content: object) -> str:
    return NOTE + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
