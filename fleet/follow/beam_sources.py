"""Where the beam mode is read: a file, a URL, or a Prometheus. What is no beam mode is trouble, never guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.beam import BeamMode, beam_mode
from contract.errors import HltmodeError, MountHangs
from contract.mount import Mount
from contract.undecodable import UNDECODABLE
from fleet.follow.policy_file import BeamSource
from fleet.sources.asking import Way, ask, short
from fleet.sources.found import BadSource
from fleet.sources.instant import Sample, ask_instantly

LARGEST_BYTES: Final = 64 << 10
LONGEST_WORD: Final = 60


class NoBeamMode(HltmodeError):
    """The source says nothing, or nothing that is a beam mode; the message says which and what."""


Reader = Callable[[], Awaitable[BeamMode]]


def reader(source: BeamSource) -> Reader:
    """Returns what reads the beam mode once, in bounded time; it raises NoBeamMode."""
    if source.file:
        return _FileReader(source).read

    async def from_url() -> BeamMode:
        return word_of(await _get(source.url, source), source)

    async def from_prometheus() -> BeamMode:
        try:
            way = Way(source.prometheus, source.timeout_s, {})
            return mode_of_series(await ask_instantly(way, source.prometheus, source.query), source)
        except BadSource as error:
            raise NoBeamMode(str(error)) from error

    return from_url if source.url else from_prometheus


def word_of(content: bytes, source: BeamSource) -> BeamMode:
    """Returns the mode in an answer: a JSON object with it at `field`, a JSON text, or plain text."""
    text = content.decode(errors="replace").strip()
    if not text.startswith(("{", '"')):
        return named(text, source.names)
    try:
        found = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise NoBeamMode(f"no JSON ({error})") from error
    if isinstance(found, str):
        return named(found, source.names)
    for key in source.field.split("."):
        if not isinstance(found, dict) or key not in found:
            raise NoBeamMode(f"there is no {source.field} in the answer; see beam.field")
        found = found[key]
    return named(_text(found), source.names)


def mode_of_series(samples: Sequence[Sample], source: BeamSource) -> BeamMode:
    """Returns the mode of the one series that is 1, by its label."""
    on = [sample.metric.get(source.label, "") for sample in samples if _is_one(sample.value[1])]
    if len(on) != 1:
        raise NoBeamMode(f"{len(on)} of {len(samples)} series are 1, and one is wanted; see beam.query")
    return named(on[0], source.names)


def named(word: str, names: Mapping[str, str]) -> BeamMode:
    """Returns the mode that a source means by `word`. Raises NoBeamMode."""
    word = word.strip()
    mode = beam_mode(names.get(word, word))
    if mode is None:
        said = f"{word[:LONGEST_WORD]!r}" if word else "nothing"
        raise NoBeamMode(f"says {said}, which is no beam mode; see beam.names")
    return mode


class _FileReader:
    """Reads a file that may lie on a mount that hangs."""

    def __init__(self, source: BeamSource) -> None:
        self._source = source
        self._path = Path(source.file)
        self._mount = Mount(source.file)

    async def read(self) -> BeamMode:
        try:
            future = asyncio.wrap_future(self._mount.submit(self._content))
            async with asyncio.timeout(self._source.timeout_s):
                content = await future
        except TimeoutError as error:
            raise NoBeamMode(str(self._mount.overdue(self._source.timeout_s))) from error
        except MountHangs as error:
            raise NoBeamMode(str(error)) from error
        except OSError as error:
            raise NoBeamMode(f"{self._path}: cannot be read ({error.strerror})") from error
        return word_of(content, self._source)

    def _content(self) -> bytes:
        with self._path.open("rb") as file:
            age_s = time.time() - self._path.stat().st_mtime
            if 0 < self._source.max_age_s < age_s:
                raise NoBeamMode(f"{self._path}: not written for {age_s:.0f} s; see beam.max_age_s")
            return file.read(LARGEST_BYTES)


async def _get(url: str, source: BeamSource) -> bytes:
    try:
        status, content = await ask(Way(url, source.timeout_s, {}), url, arguments={})
    except BadSource as error:
        raise NoBeamMode(str(error)) from error
    if status != HTTPStatus.OK:
        raise NoBeamMode(f"{url}: answers {status}: {short(content) or 'nothing'}")
    return content


def _text(found: Any) -> str:
    return found if isinstance(found, str) else str(found)


def _is_one(text: str) -> bool:
    try:
        return float(text) == 1.0
    except ValueError:
        return False
