"""Fixtures with real index servers, and markers: `servers` of the tests that need them, Prometheus or Alertmanager, and
`browser` of those that need a browser.

The tests that need a server come first, those of one server after those of another, so that each starts once. Two run
at a time: the one that has rested longest makes room for the next, for an idle server still takes a twentieth of a
core. It comes back with its port and data when a test names it again. A test that stops or breaks a server makes its
own `IndexServer`.

Without what a marker asks for, its tests are left out and the summary says so; with CI set that is an error before
anything runs.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.servers import programs
from tests.servers.fetch import lacking
from tests.servers.releases import ELASTICSEARCH_8, ELASTICSEARCH_9, OPENSEARCH_2, OPENSEARCH_3, RELEASES, Release
from tests.servers.server import IndexServer, Security

MARKER: Final = "servers"
BROWSER_MARKER: Final = "browser"
QUICK_START: Final = ("-XX:TieredStopAtLevel=1",)  # a third off the start; what is measured starts its own without it
ROOM: Final = 2

SECURE: Final = "elasticsearch_secure"
FIXTURES: Final[Mapping[str, Release]] = {
    "opensearch3": OPENSEARCH_3,
    "opensearch2": OPENSEARCH_2,
    "elasticsearch8": ELASTICSEARCH_8,
    "elasticsearch9": ELASTICSEARCH_9,
    SECURE: ELASTICSEARCH_9,
}


class Pool:
    """The session's servers by fixture name, of which at most `room` run at once."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._servers: dict[str, IndexServer] = {}  # the longest unused first

    def take(self, name: str) -> IndexServer:
        """Returns the server, up."""
        server = self._servers.pop(name, None)
        if server is None:
            security = Security() if name == SECURE else None
            server = IndexServer(FIXTURES[name], security=security, java_options=QUICK_START)
        self._servers[name] = server
        if not server.running:
            for other in resting([name for name in self._servers if self._servers[name].running], self._room - 1):
                self._servers[other].stop()
            server.start()
        return server

    def remove(self) -> None:
        """Ends all servers and removes their folders."""
        for server in self._servers.values():
            server.remove()


def resting(running: list[str], room: int) -> list[str]:
    """Returns which of the running servers, the longest unused first, make way when only `room` may stay."""
    return running[: max(0, len(running) - room)]


POOL: Final = pytest.StashKey[Pool]()
LEFT_OUT: Final = pytest.StashKey[dict[str, list[str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: needs the servers that `make servers` fetches")
    config.addinivalue_line("markers", f"{BROWSER_MARKER}: needs the browser that `make servers` installs")
    config.stash[LEFT_OUT] = {}
    config.stash[POOL] = Pool(ROOM)


def pytest_unconfigure(config: pytest.Config) -> None:
    # also after a session that was broken off, when fixtures may not have come to their end
    config.stash[POOL].remove()


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.environ.get("CI") and (lacks := [*reasons(MARKER), *reasons(BROWSER_MARKER)]):
        pytest.exit(f"CI runs every test, but {'; '.join(lacks)}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if 0 <= turn(item) < len(FIXTURES) and not item.get_closest_marker("xdist_group"):
            # the tests of one server in one worker, so that each server starts once
            item.add_marker(pytest.mark.xdist_group(f"{MARKER} {turn(item)}"))
    items.sort(key=turn)
    for marker in (MARKER, BROWSER_MARKER):
        left_out = [item for item in items if item.get_closest_marker(marker)]
        if left_out and reasons(marker):
            config.hook.pytest_deselected(items=left_out)
            config.stash[LEFT_OUT][marker] = [item.nodeid for item in left_out]
            items[:] = [item for item in items if not item.get_closest_marker(marker)]


def turn(item: pytest.Item) -> int:
    """Returns when an item's turn is: first those without a server from here, then server by server, then the rest."""
    if not item.get_closest_marker(MARKER):
        return len(FIXTURES)
    parameters = getattr(item, "callspec", None)
    named = {*getattr(item, "fixturenames", ()), *(parameters.params.values() if parameters else ())}
    return max((place for place, name in enumerate(FIXTURES) if name in named), default=-1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tells the session's controller, when this is one of its workers, what was left out."""
    if output := getattr(session.config, "workeroutput", None):
        output[MARKER] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes over what a worker says it left out; all workers say the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get(MARKER, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for marker, left_out in config.stash[LEFT_OUT].items():
        terminalreporter.write_line(left_out_words(left_out, reasons(marker)), yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Brings back the servers that this test names and that have made way or were left broken since they started."""
    for name in getattr(item, "fixturenames", ()):
        if name in FIXTURES:
            item.config.stash[POOL].take(name)


def reasons(marker: str) -> list[str]:
    """Returns what keeps the tests with a marker from being run here; nothing when they can be."""
    if marker == BROWSER_MARKER:
        return programs.lacking_browser()
    return [*programs.lacking(), *(lack for release in RELEASES if (lack := lacking(release)))]


def left_out_words(left_out: list[str], lacks: list[str]) -> str:
    """Returns the summary's one line: how many tests of which files are left out, and why."""
    files = sorted({nodeid.split("::")[0] for nodeid in left_out})
    return f"{len(left_out)} tests left out in {', '.join(files)}: {'; '.join(lacks)}"


@pytest.fixture(scope="session")
def opensearch3(pytestconfig: pytest.Config) -> IndexServer:
    """Returns the session's OpenSearch 3."""
    return pytestconfig.stash[POOL].take("opensearch3")


@pytest.fixture(scope="session")
def opensearch2(pytestconfig: pytest.Config) -> IndexServer:
    """Returns the session's OpenSearch 2."""
    return pytestconfig.stash[POOL].take("opensearch2")


@pytest.fixture(scope="session")
def elasticsearch8(pytestconfig: pytest.Config) -> IndexServer:
    """Returns the session's Elasticsearch 8."""
    return pytestconfig.stash[POOL].take("elasticsearch8")


@pytest.fixture(scope="session")
def elasticsearch9(pytestconfig: pytest.Config) -> IndexServer:
    """Returns the session's Elasticsearch 9."""
    return pytestconfig.stash[POOL].take("elasticsearch9")


@pytest.fixture(scope="session")
def elasticsearch_secure(pytestconfig: pytest.Config) -> IndexServer:
    """Returns the session's Elasticsearch 9 with users and TLS."""
    return pytestconfig.stash[POOL].take(SECURE)


@pytest.fixture(params=["opensearch3", "opensearch2", "elasticsearch8", "elasticsearch9"])
def each_server(request: pytest.FixtureRequest) -> IndexServer:
    """Returns one unsecured server after the other: the test runs with each."""
    name: str = request.param
    return request.config.stash[POOL].take(name)


@pytest.fixture
def prefix() -> str:
    """Returns how the names of this test's indices and templates begin, unlike those of all other tests."""
    return f"hltmode-{uuid.uuid4().hex[:12]}-"
