"""An index server as a source: `index` or `index:SINK`, by the newest box of each host that collectors ship there."""

from __future__ import annotations

import ssl
from base64 import b64encode
from http import HTTPStatus
from typing import Any, Final

import msgspec

from contract.config import NodeConfig
from contract.errors import ConfigError
from contract.index_names import current_of
from contract.modes import Mode
from contract.secrets import read_secrets
from contract.sink import Sink
from contract.times import unix
from contract.undecodable import UNDECODABLE
from fleet.node_sets import NAME
from fleet.sources.asking import NotReached, Way, ask, short
from fleet.sources.found import BadSource, Found, Known, unknown_mode

PAGE: Final = 5000
OLD_AFTER_S: Final = 60.0  # sampling, shipping and the index's own refresh take their time


class Current(msgspec.Struct, frozen=True, kw_only=True, rename={"seen": "@timestamp"}):
    """What is read of a host's document; `box_old` marks box fields that no longer hold."""

    host: str
    seen: str
    appliance: str = ""
    mode: Mode | None = None
    box_old: bool = False


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One document, and its place in the order."""

    source: Current = msgspec.field(name="_source")
    sort: list[str]


class Hits(msgspec.Struct, frozen=True):
    """A page of documents."""

    hits: tuple[Hit, ...]


class Shards(msgspec.Struct, frozen=True):
    """How many shards were searched."""

    total: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What both products say to a search."""

    hits: Hits
    shards: Shards = msgspec.field(name="_shards")


FIELDS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Current))


def sink_named(config: NodeConfig, name: str) -> Sink:
    """Returns the sink of that name, the first for no name. Raises ConfigError when there is none."""
    found = next((sink for sink in config.sink if name in ("", sink.name)), None)
    if found is None:
        known = ", ".join(sink.name for sink in config.sink) or "none"
        raise ConfigError(f"{_source(name)}: no such [[sink]] in --config; there: {known}")
    return found


def _source(name: str) -> str:
    return f"index:{name}" if name else "index"


async def ask_index(sink: Sink, subsystem: str, now_s: float) -> Known:
    """Returns the nodes that the index of `sink` holds. Raises BadSource, ConfigError when a secret can't be read."""
    source = _source(sink.name)
    failed: NotReached | None = None
    for host in sink.hosts:
        try:
            nodes = await _all_pages(_way(sink, f"{source} ({host})"), host, current_of(subsystem), now_s)
        except NotReached as error:
            failed = error
            continue
        return Known(nodes, unknown_mode(nodes, source, f"nothing newer than {OLD_AFTER_S:g} s tells it"))
    raise failed or BadSource(f"{source}: has no hosts")


async def _all_pages(way: Way, host: str, index: str, now_s: float) -> tuple[Found, ...]:
    nodes: list[Found] = []
    after: list[str] | None = None
    while True:
        answer = await _page(way, host, index, after)
        nodes += [_found(hit.source, now_s) for hit in answer.hits.hits if NAME.fullmatch(hit.source.host)]
        if len(answer.hits.hits) < PAGE:
            break
        after = answer.hits.hits[-1].sort
    if not nodes:
        raise BadSource(f"{way.source}: {index} holds no node; do collectors ship there, and is node.subsystem right?")
    return tuple(nodes)


async def _page(way: Way, host: str, index: str, after: list[str] | None) -> Answer:
    query: dict[str, Any] = {"size": PAGE, "_source": FIELDS, "sort": [{"host": "asc"}], "track_total_hits": False}
    body = msgspec.json.encode(query | ({"search_after": after} if after else {}))
    whole = {"allow_partial_search_results": "false"}
    status, content = await ask(way, f"{host}/{index}/_search", arguments=whole, body=body)
    if status == HTTPStatus.NOT_FOUND:
        raise BadSource(f"{way.source}: has no index {index}; `hltmode index apply` prepares the server")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise BadSource(f"{way.source}: lets this user not read {index} (HTTP {status}); see the sink's secrets")
    if status != HTTPStatus.OK:
        raise BadSource(f"{way.source}: refuses the search (HTTP {status}: {short(content)})")
    try:
        return msgspec.json.decode(content, type=Answer)
    except UNDECODABLE as error:
        raise BadSource(f"{way.source}: not an index server's answer ({error}): {short(content)[:80]}") from error


def _found(current: Current, now_s: float) -> Found:
    try:
        old = current.box_old or now_s - unix(current.seen) > OLD_AFTER_S
    except ValueError:
        old = True
    return Found(host=current.host, appliance=current.appliance, mode=None if old else current.mode)


def _way(sink: Sink, source: str) -> Way:
    secrets = read_secrets(sink)
    headers = {"Accept": "application/json"}
    if secrets.api_key:
        headers["Authorization"] = f"ApiKey {secrets.api_key}"
    elif secrets.basic:
        headers["Authorization"] = f"Basic {b64encode(':'.join(secrets.basic).encode()).decode()}"
    try:
        tls = ssl.create_default_context(cafile=sink.ca_file) if sink.ca_file else None
    except OSError as error:
        raise ConfigError(f"{sink.ca_file}: not to be used ({error.strerror}); see ca_file of {source}") from error
    return Way(source, sink.timeout_s, headers, tls)
