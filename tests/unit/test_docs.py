"""What the manuals tell people to type exists, with its options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from hltmode.main import cli

ROOT = Path(__file__).parents[2]
MANUALS = (
    ROOT / "README.md",
    ROOT / "docs" / "policy.md",
    ROOT / "docs" / "runbooks.md",
    ROOT / "docs" / "dashboards.md",
    ROOT / "docs" / "fleet.md",
    ROOT / "docs" / "run-control.md",
)
QUOTED = re.compile(r"`hltmode ([^`]+)`")
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:\.venv/bin/)?hltmode (.+?)(?:   .*)?$", re.MULTILINE)


def told_in(text: str) -> list[str]:
    """Returns the commands in a manual, without the word hltmode."""
    return [*QUOTED.findall(text), *(words for block in BLOCK.findall(text) for words in LINE.findall(block))]


TOLD = [pytest.param(told, id=f"{manual.name}: {told}") for manual in MANUALS for told in told_in(manual.read_text())]


@pytest.mark.parametrize("told", TOLD)
def test_a_command_of_the_manuals_exists(told: str) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    words = shlex.split(re.sub(r"\|\w+", "", told))
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, told
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_some_commands_are_told() -> None:
    assert len(TOLD) > 20
