"""Every file that is made here, by its path below the folder of dashboards; the same code makes the same bytes."""

from __future__ import annotations

from dashboards.addresses import Addresses
from dashboards.boards import files as boards
from dashboards.names import GRAFANA, RUNBOOKS
from dashboards.provisioning import alertmanager, compose, grafana, prometheus
from dashboards.rules import files as rules


def files(addresses: Addresses = Addresses()) -> dict[str, str]:  # noqa: B008 - a tuple, which nobody can change
    """Returns the content of each file, with the addresses of a site."""
    found = {f"prometheus/{name}": text for name, text in rules.files().items()}
    found |= {f"grafana/{name}": text for name, text in boards.files().items()}
    for made in (alertmanager, prometheus, grafana):
        found |= made.files(addresses)
    found |= compose.files()
    return {
        name: text.replace(RUNBOOKS, addresses.runbooks).replace(GRAFANA, addresses.grafana)
        for name, text in found.items()
    }
