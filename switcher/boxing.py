"""The BU's ramdisk, a mount that may hang: the box file goes there; lumisections and ends of runs are read there."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from contract.box import Box, write_box
from contract.errors import MountHangs
from contract.mount import Mount
from contract.paths import NodePaths

log = logging.getLogger(__name__)

PERIOD_S: Final = 5.0
T = TypeVar("T")


class BuMount:
    """The BU's ramdisk. A call on it takes `timeout_s` at most; `trouble` says why the box file isn't written."""

    def __init__(self, paths: NodePaths, timeout_s: float) -> None:
        self.trouble = ""
        self.stale_handle = False
        self._paths = paths
        self._timeout_s = timeout_s
        self._mount = Mount(str(paths.bu_dir))
        self._changed = asyncio.Event()
        self._last_lumisection: dict[int, int] = {}

    def poke(self) -> None:
        """Has the box file written at once."""
        self._changed.set()

    async def keep_box(self, build: Callable[[], Box]) -> None:
        """Writes what `build` returns every 5 s and at every poke, for ever."""
        while True:
            self._changed.clear()
            await self._write(build())
            try:
                async with asyncio.timeout(PERIOD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def ongoing(self, number: int) -> bool | None:
        """Returns whether the run goes on at the BU; None when the BU can't be asked."""
        try:
            return await self._call(lambda: self._paths.bu.ongoing(number))
        except (MountHangs, OSError) as error:
            log.warning("run %d: cannot tell whether it goes on (%s)", number, error)
            return None

    async def last_lumisection(self, number: int) -> int:
        """Returns the last lumisection complete on the BU, or what was known last when the BU can't be asked."""
        try:
            found = await self._call(lambda: self._paths.bu.last_lumisection(number))
        except (MountHangs, OSError) as error:
            found = self._last_lumisection.get(number, 0)
            log.warning("run %d: lumisection unknown (%s); going by %d", number, error, found)
        self._last_lumisection = {number: found}
        return found

    async def _call(self, work: Callable[[], T]) -> T:
        future = asyncio.wrap_future(self._mount.submit(work))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(future)
        except TimeoutError:
            future.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise self._mount.overdue(self._timeout_s) from None

    async def _write(self, box: Box) -> None:
        try:
            await self._call(lambda: write_box(self._paths.box, box))
        except (MountHangs, OSError) as error:
            words = str(error) if isinstance(error, MountHangs) else f"{self._paths.box}: {error.strerror}"
            if words != self.trouble:
                log.error("box file not written: %s", words)
            self.trouble = words
            self.stale_handle = isinstance(error, OSError) and error.errno == errno.ESTALE
            return
        if self.trouble:
            log.info("box file is written again")
        self.trouble = ""
        self.stale_handle = False
