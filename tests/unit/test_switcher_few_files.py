"""The switcher where no more files may be opened: it says so, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.config import Http
from contract.config import Igniter as Settings
from contract.errors import ConfigError
from contract.paths import NodePaths
from switcher.entrance import OTHER_FILES, Entrance
from switcher.events import IgniterSaid, Said
from switcher.figures import Meter
from switcher.igniter import Igniter
from switcher.states import Verb


@contextlib.contextmanager
def at_most(files: int) -> Iterator[None]:
    """Lets this process have no descriptor from `files` on; those that are open stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def igniter(tmp_path: Path) -> Igniter:
    paths = NodePaths("fu-1", *(tmp_path / name for name in ("data", "resources", "ramdisk", "state")))
    paths.state_dir.mkdir()
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 0.2\n")
    tool.chmod(0o755)
    return Igniter(Settings(command=[str(tool)]), paths)


def test_figures_that_cannot_be_read_are_those_from_before(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    with at_most(3):
        assert meter.read(1.0).total_data_mib == 0
    before = meter.read(2.0)
    assert before.total_data_mib > 0
    with at_most(3):
        assert meter.read(3.0) == before


def test_a_cloud_tool_without_a_pipe_is_not_called(igniter: Igniter, tmp_path: Path) -> None:
    async def ask() -> IgniterSaid:
        with at_most(3):
            return await igniter.ask(Verb.START)

    said = asyncio.run(ask())
    assert said.said is Said.ERROR
    assert "no pipe for the cloud tool's output (Too many open files)" in said.why
    assert not (tmp_path / "pid").exists()


def test_a_cloud_tool_that_cannot_be_waited_for_is_waited_for_by_the_next_call(
    igniter: Igniter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int) -> int:
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pidfd_open", refuse)
        said = asyncio.run(igniter.ask(Verb.START))
        assert said.said is Said.ERROR
        assert "can't be waited for now (Too many open files)" in said.why
        first = (tmp_path / "pid").read_text()
        assert asyncio.run(igniter.ask(Verb.STOP)).said is Said.ERROR
        assert (tmp_path / "pid").read_text() == first, "none was started beside it"
    assert asyncio.run(igniter.ask(Verb.STOP)).said is Said.DONE
    assert (tmp_path / "pid").read_text() != first
    assert not Path(f"/proc/{first.strip()}").exists()


def test_connections_that_could_take_every_file_are_refused_at_the_start_and_later() -> None:
    most = 1024 - OTHER_FILES
    fitting = Http(bind="127.0.0.1", port=0, connections=most)
    with at_most(1024):
        with pytest.raises(ConfigError, match=rf"^http\.connections: {most + 1} and .* raise LimitNOFILE of the unit$"):
            Entrance(Http(bind="127.0.0.1", port=0, connections=most + 1))
        entrance = Entrance(fitting)
        with pytest.raises(ConfigError, match=r"^http\.connections: 4096 and "):
            entrance.reload(Http(bind="127.0.0.1", port=0, connections=4096))
        entrance.reload(fitting)
        entrance._plain.close()
