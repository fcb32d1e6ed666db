"""The YAML of the files made here: keys in their order, and on top who writes the file and what a site changes."""

from __future__ import annotations

from typing import Final

import yaml

NOTE: Final = "Written by `python -m dashboards write`; change it there."


def yaml_text(content: object, *remarks: str) -> str:
    """Returns `content` as YAML below a comment of a line each for NOTE and `remarks`."""
    head = "".join(f"# {line}\n" for line in (NOTE, *remarks))
    return head + yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)
