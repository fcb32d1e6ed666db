"""The box file at the BU: rewritten at once when something has changed, not only with the next period."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.box import Box, read_box
from contract.paths import NodePaths
from simulator.node_files import lay_out
from switcher import boxing
from switcher.boxing import BuMount
from tests.integration.node import wait_for

SAMPLE = Path(__file__).parent.parent / "samples" / "boxes" / "fu-off-run.json"
FOR_EVER_S = 1e6


def shown(paths: NodePaths) -> str | None:
    box = read_box(paths.box) if paths.box.exists() and paths.box.stat().st_size else None
    return box.cloudState if isinstance(box, Box) else None


def test_a_change_is_in_the_box_without_waiting_for_the_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxing, "PERIOD_S", FOR_EVER_S)
    paths = lay_out(tmp_path, "fu-1", cores=1).paths
    paths.box.parent.mkdir(parents=True, exist_ok=True)

    box = read_box(SAMPLE)
    assert isinstance(box, Box)

    async def story() -> None:
        mount, states = BuMount(paths, 10.0), ["off"]
        keeping = asyncio.create_task(mount.keep_box(lambda: replace(box, cloudState=states[-1])))
        await asyncio.to_thread(wait_for, "a box", lambda: shown(paths) == "off")
        states.append("starting")
        mount.poke()
        await asyncio.to_thread(wait_for, "the change in the box", lambda: shown(paths) == "starting")
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping

    asyncio.run(story())
