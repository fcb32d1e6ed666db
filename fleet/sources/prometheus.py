"""A Prometheus as a source: `prometheus:http://host:9090`, by the mode series that collectors export."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from contract.metric_names import MODE
from contract.modes import Mode
from contract.undecodable import UNDECODABLE
from fleet.hosts import NAME
from fleet.sources.asking import Way, ask, short
from fleet.sources.found import BadSource, Found, Known, unknown_mode

WITHIN_S: Final = 10.0

# Node and BU may both tell of a node; of four series a node has one that is 1, none when its mode is unknown.
QUERY: Final = f"max by (host, appliance, mode) ({MODE})"


class Labels(msgspec.Struct, frozen=True):
    """The labels of the series that are asked for."""

    host: str = ""
    appliance: str = ""
    mode: str = ""


class Sample(msgspec.Struct, frozen=True):
    """One series at one moment: time, and the value as a text."""

    metric: Labels
    value: tuple[float, str]


class Vector(msgspec.Struct, frozen=True):
    """The samples."""

    result: tuple[Sample, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What Prometheus says to an instant query."""

    status: str
    data: Vector | None = None
    error: str = ""


async def ask_prometheus(url: str) -> Known:
    """Returns the nodes whose mode series the Prometheus at `url` has. Raises BadSource."""
    source = f"prometheus:{url}"
    way = Way(source, WITHIN_S, {})
    status, body = await ask(way, f"{url.rstrip('/')}/api/v1/query", arguments={"query": QUERY})
    try:
        answer = msgspec.json.decode(body, type=Answer)
    except UNDECODABLE as error:
        raise BadSource(f"{source}: HTTP {status}, not a Prometheus' answer: {short(body) or 'empty'}") from error
    if status != HTTPStatus.OK or answer.data is None:
        raise BadSource(f"{source}: refuses the query (HTTP {status}: {answer.error[:200]})")
    nodes = nodes_of(answer.data.result)
    if not nodes:
        raise BadSource(f"{source}: has no series {MODE}; does it scrape the collectors?")
    return Known(nodes, unknown_mode(nodes, source, "no series of theirs is 1, or several are"))


def nodes_of(samples: tuple[Sample, ...]) -> tuple[Found, ...]:
    """Returns the nodes that the samples tell of; one that is in several modes at once is in none that is known."""
    appliances: dict[str, str] = {}
    modes: dict[str, set[str]] = {}
    for sample in samples:
        labels = sample.metric
        if not NAME.fullmatch(labels.host):
            continue
        appliances[labels.host] = labels.appliance or appliances.get(labels.host, "")
        modes.setdefault(labels.host, set())
        if sample.value[1] == "1":
            modes[labels.host].add(labels.mode)
    return tuple(Found(host=host, appliance=appliances[host], mode=_mode(seen)) for host, seen in sorted(modes.items()))


def _mode(seen: set[str]) -> Mode | None:
    word = next(iter(seen)) if len(seen) == 1 else ""
    return Mode(word) if word in set(Mode) else None
