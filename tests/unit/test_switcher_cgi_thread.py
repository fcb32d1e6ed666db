"""The CGI URLs make files beside the event loop, in order, and answer when those are on disk."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from contract.paths import NodePaths
from switcher import cgi
from switcher.node import Switcher


class Pokes:
    """The part of the switcher that the URLs call."""

    def __init__(self, paths: NodePaths) -> None:
        self.paths = paths
        self.count = 0

    def poke(self) -> None:
        """Counts."""
        self.count += 1


def test_a_disk_that_is_slow_holds_its_callers_in_their_order_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = NodePaths("fu-1", *(tmp_path / name for name in ("data", "resources", "ramdisk", "state")))
    paths.watch_dir.mkdir()
    disk_answers = threading.Event()

    def slow(descriptor: int) -> None:
        assert disk_answers.wait(10)
        sync(descriptor)

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", slow)

    async def tell() -> None:
        application, node = web.Application(), Pokes(paths)
        cgi.add_routes(application, cast(Switcher, node))
        async with asyncio.timeout(60), TestClient(TestServer(application)) as client:

            async def ask(path: str) -> str:
                async with client.get(f"{cgi.FOLDER}{path}") as answer:
                    return await answer.text()

            # The file of each is begun before the next is asked for, or waits behind one that is.
            acting = [asyncio.ensure_future(ask("stop_cgi.py?run=7"))]
            for _ in range(1000):
                if (paths.watch_dir / "end7").exists():
                    break
                await asyncio.sleep(0.01)
            acting.append(asyncio.ensure_future(ask("start_cgi.py?run=8&buname=bu-1")))
            assert await ask("runl_cgi.py") == "[]\n"
            assert [each.done() for each in acting] == [False, False]
            assert node.count == 0
            disk_answers.set()
            assert [("requested" in text, "made" in text) for text in await asyncio.gather(*acting)] == [
                (True, False),
                (False, True),
            ]
            assert node.count == 2
            assert await ask("runl_cgi.py") == "[8]\n"

    try:
        asyncio.run(tell())
    finally:
        disk_answers.set()
