"""Debian's Alertmanager, unpacked and not installed: it reads its message templates from a folder that is not there.

The path is fixed in the program, so a copy has another of the same length: the folder `template` where it is started.
The templates in there are empty, which is enough for webhooks: they get the alerts as JSON.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.servers.programs import ALERTMANAGER, program

INSTALLED: Final = "/usr/share/prometheus/alertmanager"
TEMPLATES: Final = "template"
FILES: Final = ("default.tmpl", "email.tmpl")


def alertmanager(folder: Path) -> str:
    """Returns an Alertmanager that starts in `folder`: this machine's own, or a copy there of the unpacked one."""
    found = Path(program(ALERTMANAGER))
    content = found.read_bytes()
    if Path(INSTALLED).exists() or INSTALLED.encode() not in content:
        return str(found)
    (folder / TEMPLATES).mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / TEMPLATES / name).touch()
    copy = folder / found.name
    copy.write_bytes(content.replace(INSTALLED.encode(), nearby().encode()))
    copy.chmod(0o755)
    return str(copy)


def nearby() -> str:
    """Returns the relative path of TEMPLATES, as long as INSTALLED."""
    steps, rest = divmod(len(INSTALLED) - len(TEMPLATES), len(f".{os.sep}"))
    assert not rest
    return f".{os.sep}" * steps + TEMPLATES
