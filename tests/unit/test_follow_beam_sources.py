"""Reading the beam mode and being told to end at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from contract.mount import Mount
from fleet.follow.beam_sources import reader
from fleet.follow.policy_file import BeamSource


def test_one_who_is_cancelled_as_the_answer_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that was told to end while a busy machine held it up would listen for ever, and outlive SIGTERM."""
    answer: Future[bytes] = Future()
    monkeypatch.setattr(Mount, "submit", lambda _mount, _work: answer)

    async def story() -> None:
        reading = asyncio.ensure_future(reader(BeamSource(file="beam"))())
        await asyncio.sleep(0)
        answer.set_result(b"RAMP")
        await asyncio.sleep(0)  # the answer is here, and whoever waits for it has not been woken yet
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(story())
