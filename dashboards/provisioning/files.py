"""Every file that is made here, by its path below the folder of dashboards; the same code makes the same bytes."""

from __future__ import annotations

from dashboards.provisioning import alertmanager, compose, grafana, prometheus
from dashboards.provisioning.addresses import Addresses


def files(addresses: Addresses = Addresses()) -> dict[str, str]:  # noqa: B008 - a tuple, which nobody can change
    """Returns the content of each file, with the addresses of a site."""
    made = (alertmanager.files(addresses), prometheus.files(addresses), grafana.files(addresses), compose.files())
    return {name: text for each in made for name, text in each.items()}
