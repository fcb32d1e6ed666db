"""Alertmanager: who is told, what goes together in one message, and which alert makes others needless."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from dashboards.addresses import Addresses
from dashboards.rules.alerts import ALERTS, CRITICAL, DAQ, LOST, SHIFT, Alert
from dashboards.yaml_text import yaml_text

TOGETHER: Final = ("alertname", "appliance")  # not host: an appliance that fails is one message, not twenty
NODE: Final = ("appliance", "host")


class Receiver(StrEnum):
    """Who is told."""

    PAGE = "shift-page"
    CHAT = "shift-chat"
    MAIL = "daq-mail"


class Route(NamedTuple):
    """Alerts with these labels, and of those names if any are given, go to `receiver`.

    `wait` is how long the first message of a group is held back so that others join it, or so that an alert that
    makes it needless comes: an appliance's own takes a recording and a rule more than those of its nodes.
    """

    receiver: Receiver
    labels: dict[str, str]
    wait: str
    interval: str
    again: str
    alerts: tuple[str, ...] = ()

    def takes(self, alert: Alert) -> bool:
        """Returns whether alerts of this name, team and severity go this way."""
        labels = {"team": alert.team, "severity": alert.severity}
        return self.labels.items() <= labels.items() and (not self.alerts or alert.name in named(*self.alerts))


class Inhibition(NamedTuple):
    """While one of `sources` fires, no message tells of `targets` with `equal` labels. `*` stands for any letters."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    equal: tuple[str, ...] = NODE


ROUTES: Final = (
    # Each stuck node is told of within a minute of its deadline: half of that passes until its alert fires, and whoever
    # follows in the group waits for the interval. So the whole of it fits, and an appliance's nodes share a page.
    Route(Receiver.PAGE, {"team": SHIFT, "severity": CRITICAL}, "15s", "15s", "1h", ("HltmodeStuck*",)),
    Route(Receiver.PAGE, {"team": SHIFT, "severity": CRITICAL}, "15s", "1m", "1h"),
    Route(Receiver.CHAT, {"team": SHIFT}, "15s", "2m", "4h"),
    Route(Receiver.MAIL, {"team": DAQ}, "1m", "10m", "1d"),
)

APPLIANCE_DOWN: Final = "HltmodeApplianceDown"
INHIBITIONS: Final = (
    # Not what the other half says: a node that lives and is stuck, or shares its cores, has that of its own.
    Inhibition((APPLIANCE_DOWN,), ("HltmodeExporterDown", LOST), ("appliance",)),
    Inhibition(("HltmodeApplianceStuck",), ("HltmodeStuck*",), ("appliance",)),
    Inhibition(("HltmodeExporterDown", LOST), ("HltmodeStuck*", "HltmodeFlapping")),
    Inhibition(("HltmodeLogDown",), ("HltmodeDocumentsLost", "HltmodeCollectorStalled")),
    Inhibition(("HltmodeSinkDown",), ("HltmodeBacklogOld",)),
    Inhibition(("HltmodeAwayInCollisions",), ("HltmodeTooManyAway",), ()),
)


def files(addresses: Addresses) -> dict[str, str]:
    """Returns the configuration by its path below the folder of dashboards."""
    content = {
        "route": {
            "receiver": Receiver.MAIL.value,
            "group_by": list(TOGETHER),
            "group_wait": "1m",
            "group_interval": "10m",
            "repeat_interval": "1d",
            "routes": [_route(route) for route in ROUTES],
        },
        "inhibit_rules": [_rule(each) for each in INHIBITIONS],
        "receivers": [
            {"name": each.value, "webhook_configs": [{"url": f"{addresses.webhooks}/{each}", "send_resolved": True}]}
            for each in Receiver
        ],
    }
    remarks = (
        "The receivers are placeholders: put the site's pager, chat and mail in their place, with secrets as files",
        "(such as `url_file`). `amtool config routes test team=shift severity=critical` says who is told.",
    )
    return {"alertmanager/alertmanager.yml": yaml_text(content, *remarks)}


def named(*patterns: str) -> list[str]:
    """Returns the names of the alerts that the patterns mean. Raises LookupError for one that means none."""
    found = []
    for pattern in patterns:
        names = [alert.name for alert in ALERTS if fnmatchcase(alert.name, pattern)]
        if not names:
            raise LookupError(f"{pattern}: no such alert")
        found += names
    return found


def _route(route: Route) -> dict[str, Any]:
    return {
        "receiver": route.receiver.value,
        "matchers": [
            *(f'{name}="{value}"' for name, value in route.labels.items()),
            *([_one_of(*route.alerts)] if route.alerts else []),
        ],
        "group_wait": route.wait,
        "group_interval": route.interval,
        "repeat_interval": route.again,
    }


def _rule(each: Inhibition) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "source_matchers": [_one_of(*each.sources)],
        "target_matchers": [_one_of(*each.targets)],
    }
    return rule | ({"equal": list(each.equal)} if each.equal else {})


def _one_of(*patterns: str) -> str:
    names = named(*patterns)
    return f'alertname="{names[0]}"' if len(names) == 1 else f'alertname=~"{"|".join(names)}"'
