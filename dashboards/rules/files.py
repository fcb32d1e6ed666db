"""The rules as the YAML that Prometheus reads; the same rules make the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from dashboards.names import GRAFANA, RUNBOOKS
from dashboards.rules.alerts import GROUPS, Alert
from dashboards.rules.recording import BEFORE_ALERTS, BY_THEMSELVES, Recording
from dashboards.yaml_text import yaml_text

EVERY: Final = "15s"

Rule = dict[str, Any]


def files() -> dict[str, str]:
    """Returns the content of each rule file by name."""
    first, *others = ((name, [_alert(alert) for alert in group]) for name, group in GROUPS.items())
    alerts = [(first[0], [*_recordings(BEFORE_ALERTS), *first[1]]), *others]
    return {
        "recording.yml": _groups([("hltmode-recording", _recordings(BY_THEMSELVES))]),
        "alerts.yml": _groups(alerts),
    }


def anchor(alert: Alert) -> str:
    """Returns the anchor of an alert's section in the runbooks."""
    return alert.name.lower()


def _groups(groups: Iterable[tuple[str, Sequence[Rule]]]) -> str:
    return yaml_text({"groups": [{"name": name, "interval": EVERY, "rules": rules} for name, rules in groups]})


def _recordings(recordings: Iterable[Recording]) -> list[Rule]:
    return [{"record": each.record, "expr": each.expr} for each in recordings]


def _alert(alert: Alert) -> Rule:
    more = {"for": alert.hold} if alert.hold != "0s" else {}
    if alert.keep:
        more["keep_firing_for"] = alert.keep
    named = [name for name in ("appliance", "host") if f"$labels.{name} " in alert.summary]
    variables = "&".join(f"var-{name}={{{{ $labels.{name} }}}}" for name in named)
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **more,
        "labels": {"severity": alert.severity, "team": alert.team},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}#{anchor(alert)}",
            "dashboard_url": f"{GRAFANA}/d/{alert.dashboard}" + (f"?{variables}" if variables else ""),
        },
    }
