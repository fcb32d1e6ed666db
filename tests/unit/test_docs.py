"""What the manuals tell people to type exists, with its options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest

from contract.config import Collector, Http
from hltmode.main import cli
from switcher.cgi import ACTING

ROOT = Path(__file__).parents[2]
MANUALS = (
    ROOT / "README.md",
    ROOT / "docs" / "policy.md",
    ROOT / "docs" / "runbooks.md",
    ROOT / "docs" / "dashboards.md",
    ROOT / "docs" / "fleet.md",
    ROOT / "docs" / "run-control.md",
)
RUNBOOKS = ROOT / "docs" / "runbooks.md"
URL = re.compile(r"http://NODE:\d+[\w./-]*")
URLS = sorted({url for manual in MANUALS for url in URL.findall(manual.read_text())})
SERVED = {
    Http().port: {"/status", "/switch", "/journal", *ACTING},
    Collector().metrics_port: {"/metrics"},
}
NAMED = {"fleet follow"}  # a daemon that its unit starts: spoken of, and not typed
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


@pytest.mark.parametrize("told", sorted(set(told_in(RUNBOOKS.read_text())) - NAMED))
def test_a_command_of_the_runbooks_has_all_that_it_needs(told: str) -> None:
    """Who is paged types it as it stands, with names for what is in capitals."""
    command: click.Command = cli
    context = click.Context(cli)
    words = shlex.split(re.sub(r"\|\w+", "", told))
    while isinstance(command, click.Group) and words:
        command = command.get_command(context, words.pop(0)) or command
    given, _, _ = command.make_parser(context).parse_args(words)
    lacking = [each.name for each in command.params if each.required and not given.get(each.name or "")]
    assert not lacking


@pytest.mark.parametrize("url", URLS)
def test_an_address_of_the_manuals_is_served(url: str) -> None:
    parts = urlsplit(url)
    assert parts.port in SERVED, url
    assert parts.path in SERVED[parts.port], url


def test_some_commands_are_told() -> None:
    assert len(TOLD) > 20
    assert len(URLS) > 2
