"""Every file that is made here, by its path below the folder of dashboards; the same code makes the same bytes."""

from __future__ import annotations

from dashboards.boards import files as boards
from dashboards.names import GRAFANA, RUNBOOKS
from dashboards.rules import files as rules


def files(*, runbooks: str = RUNBOOKS, grafana: str = GRAFANA) -> dict[str, str]:
    """Returns the content of each file, with the addresses of a site."""
    made = {f"prometheus/{name}": text for name, text in rules.files().items()}
    made |= {f"grafana/{name}": text for name, text in boards.files().items()}
    return {name: text.replace(RUNBOOKS, runbooks).replace(GRAFANA, grafana) for name, text in made.items()}
