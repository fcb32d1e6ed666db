"""Where the beam mode is read: a file, a URL, or a Prometheus. What is no beam mode is trouble, never guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec

from contract.beam import BeamMode, beam_mode
from contract.errors import HltmodeError, MountHangs
from contract.mount import Mount
from fleet.follow.policy_file import BeamSource
from fleet.sources.asking import Way, ask, short
from fleet.sources.found import BadSource

LARGEST_BYTES: Final = 64 << 10
LONGEST_WORD: Final = 60


class NoBeamMode(HltmodeError):
    """The source says nothing, or nothing that is a beam mode; the message says which and what."""


Reader = Callable[[], Awaitable[BeamMode]]


class Series(msgspec.Struct, frozen=True):
    """One series of an answer; `value` is when and, as text, how much."""

    metric: dict[str, str]
    value: tuple[float, str]


class Vector(msgspec.Struct, frozen=True):
    """What a query found."""

    result: list[Series]


class Answer(msgspec.Struct, frozen=True):
    """What Prometheus answers to an instant query."""

    status: str
    data: Vector


def reader(source: BeamSource) -> Reader:
    """Returns what reads the beam mode once, in bounded time; it raises NoBeamMode."""
    if source.file:
        return _FileReader(source).read

    async def from_url() -> BeamMode:
        return word_of(await _get(source.url, {}, source), source)

    async def from_prometheus() -> BeamMode:
        url = f"{source.prometheus.rstrip('/')}/api/v1/query"
        return mode_of_series(await _get(url, {"query": source.query}, source), source)

    return from_url if source.url else from_prometheus


def word_of(content: bytes, source: BeamSource) -> BeamMode:
    """Returns the mode in an answer: a JSON object with it at `field`, a JSON text, or plain text."""
    text = content.decode(errors="replace").strip()
    if not text.startswith(("{", '"')):
        return named(text, source.names)
    try:
        found = msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise NoBeamMode(f"no JSON ({error})") from error
    if isinstance(found, str):
        return named(found, source.names)
    for key in source.field.split("."):
        if not isinstance(found, dict) or key not in found:
            raise NoBeamMode(f"there is no {source.field} in the answer; see beam.field")
        found = found[key]
    return named(_text(found), source.names)


def mode_of_series(content: bytes, source: BeamSource) -> BeamMode:
    """Returns the mode of the one series that is 1, by its label."""
    try:
        answer = msgspec.json.decode(content, type=Answer)
    except msgspec.MsgspecError as error:
        raise NoBeamMode(f"no answer to a query ({error})") from error
    on = [series.metric.get(source.label, "") for series in answer.data.result if _is_one(series.value[1])]
    if len(on) != 1:
        raise NoBeamMode(f"{len(on)} of {len(answer.data.result)} series are 1, and one is wanted; see beam.query")
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
            content = await asyncio.wait_for(future, self._source.timeout_s)
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


async def _get(url: str, arguments: dict[str, str], source: BeamSource) -> bytes:
    try:
        status, content = await ask(Way(url, source.timeout_s, {}), url, arguments=arguments)
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
