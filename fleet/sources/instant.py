"""One instant query to a Prometheus: the series that it finds, or why there are none."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from contract.undecodable import UNDECODABLE
from fleet.sources.asking import Way, ask, short
from fleet.sources.found import BadSource


class Sample(msgspec.Struct, frozen=True):
    """One series at one moment: its labels, then time and the value as a text."""

    metric: dict[str, str]
    value: tuple[float, str]


class Vector(msgspec.Struct, frozen=True):
    """The samples."""

    result: tuple[Sample, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What Prometheus says to an instant query."""

    status: str
    data: Vector | None = None
    error: str = ""


async def ask_instantly(way: Way, url: str, query: str) -> tuple[Sample, ...]:
    """Returns what `query` finds now in the Prometheus at `url`. Raises BadSource."""
    status, body = await ask(way, f"{url.rstrip('/')}/api/v1/query", arguments={"query": query})
    return samples_of(way.source, status, body)


def samples_of(source: str, status: int, body: bytes) -> tuple[Sample, ...]:
    """Returns the samples in an answer. Raises BadSource. Pure."""
    try:
        answer = msgspec.json.decode(body, type=Answer)
    except UNDECODABLE as error:
        raise BadSource(f"{source}: HTTP {status}, not a Prometheus' answer: {short(body) or 'empty'}") from error
    if status != HTTPStatus.OK or answer.data is None:
        raise BadSource(f"{source}: refuses the query (HTTP {status}: {answer.error[:200]})")
    return answer.data.result
