"""Waiting in a test whose event loop the code shares; `wait_for` of `tests.integration.node` waits for processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(met: Callable[[], bool]) -> None:
    """Lets other tasks go on until `met` is true; fails after ten seconds of it."""
    for _ in range(1000):
        if met():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 10 s")
