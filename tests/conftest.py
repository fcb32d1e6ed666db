"""Nodes for tests: made in the test's own folder, ended by pid when it is over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.integration.node import Node

pytest_plugins = ["tests.servers.plugin"]

# A busy machine draws examples slowly, which says nothing about the code; in CI they are always the same ones.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-point", action="store_true", help="kill and cut at every point, as `make kill` does")


@pytest.fixture
def new_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Returns a maker of nodes (arguments of `Node`), all ended after the test."""
    made: list[Node] = []

    def make(**how: object) -> Node:
        node = Node(tmp_path, **how)  # type: ignore[arg-type]
        made.append(node)
        return node

    yield make
    for node in made:
        node.clean()


@pytest.fixture
def node(new_node: Callable[..., Node]) -> Node:
    """Returns a node with four core tokens whose switcher serves."""
    made = new_node()
    made.start()
    return made
