"""Box files as unmodified hltd writes them: rewritten in place every few seconds, by a thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from benchmarks.box_documents import LUMISECTION_S, Living, born, box, wander
from contract.box import Box
from contract.modes import Mode
from contract.times import hltd_date

EVERY_S: Final = 5.0
ROUND: Final = (Mode.HLT, Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD)


class BoxFiles:
    """The boxes of `hosts` in `folder`. As a context each is rewritten every `every_s`, with the date of `now`.

    Nodes know nothing of each other, so they write one after the other, spread over that time.

    With `switch_every_s` each node goes on to its next mode so often, not all at once; else none switches.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Sequence[str],
        *,
        every_s: float = EVERY_S,
        switch_every_s: float = 0.0,
        now: Callable[[], float] = time.time,
        seed: int = 1,
    ) -> None:
        self._folder = folder
        self._every_s = every_s
        self._switch_every_s = switch_every_s
        self._now = now
        self._dice = random.Random(seed)  # noqa: S311 - dice need no secrecy
        self._farm = [_named(born(self._dice, number), host) for number, host in enumerate(hosts)]
        self._due_s = [time.monotonic() + self._dice.uniform(0, switch_every_s) for _ in hosts]
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="box files", daemon=True)

    def _write(self, number: int) -> None:
        living = self._farm[number]
        if self._switch_every_s and time.monotonic() > self._due_s[number]:
            self._due_s[number] += self._switch_every_s
            living.mode = ROUND[(ROUND.index(living.mode) + 1) % len(ROUND)]
        wander(self._dice, living, int(time.monotonic() / LUMISECTION_S))
        now_s = self._now()
        written = replace(box(self._dice, living, now_s), fm_date=hltd_date(now_s))
        (self._folder / living.node.host).write_bytes(as_hltd_writes(written))

    def _run(self) -> None:
        due_s = time.monotonic()
        for number in cycle(range(len(self._farm))):
            due_s += self._every_s / len(self._farm)
            if self._ending.wait(max(0.0, due_s - time.monotonic())):
                return
            self._write(number)

    def __enter__(self) -> BoxFiles:
        for number in range(len(self._farm)):
            self._write(number)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def as_hltd_writes(written: Box) -> bytes:
    """Returns the file's content with hltd's fields only."""
    ours = ("mode", "mode_since", "switch_id", "vms", "blocker", "stuck")
    fields = msgspec.to_builtins(written)
    return msgspec.json.encode({name: value for name, value in fields.items() if name not in ours})


def _named(living: Living, host: str) -> Living:
    living.node = replace(living.node, host=host)
    return living
