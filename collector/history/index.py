"""Asks an index server for past switches and for the nodes that are stuck. A thin shell around `queries`.

Everything that a wish picks is fetched and counted here, page by page, as from a log: percentiles are exact, whatever
there is, and no server's estimate. A table shows fifty switches, for which one page is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec

from collector.documents import SWITCHOVER
from collector.history.asking import Answered, Asking
from collector.history.past import NodeNow, Switchover
from collector.history.queries import (
    PAGE,
    Place,
    Query,
    next_place,
    order_field,
    page,
    page_size,
    settled,
    stuck_query,
    switchover_query,
)
from collector.history.questions import Wish, arranged, matches, rank
from collector.history.stores import Answer
from collector.index.clients import IndexTrouble, Reply, WrongProduct
from collector.index.templates import pattern
from contract.errors import Unreadable
from contract.index_names import CURRENT
from contract.undecodable import UNDECODABLE

# A part of the answer that looks like the whole is worse than none.
WHOLE: Final = "allow_partial_search_results=false"

T = TypeVar("T", Switchover, NodeNow)


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One document that was found, and its place in the order."""

    index: str = msgspec.field(name="_index")
    id: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source")
    sort: Place = ()


class Total(msgspec.Struct, frozen=True):
    """How many there are."""

    value: int


class Hits(msgspec.Struct, frozen=True):
    """A page of what was found; `total` where it was asked for."""

    hits: list[Hit]
    total: Total | None = None


class Shards(msgspec.Struct, frozen=True):
    """How many shards were searched."""

    total: int


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What both products say to a search."""

    hits: Hits
    shards: Shards = msgspec.field(name="_shards")


_searched: Final = msgspec.json.Decoder(Searched)
_switchover: Final = msgspec.json.Decoder(Switchover)
_node_now: Final = msgspec.json.Decoder(NodeNow)


class Index:
    """The indices of one server as a store."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def switches(self, wish: Wish) -> Answer:
        """Returns what `wish` asks for. Raises IndexTrouble or Unreadable."""
        total = self._count(pattern(SWITCHOVER))
        found: dict[str, Switchover] = {}
        for hits in self._pages(switchover_query(wish), wish):
            switch = None
            for hit in hits:
                switch = self._read(hit, _switchover)
                if matches(switch, wish):
                    found[hit.id] = switch
            if switch and wish.at_most:
                ranks = [rank(each, wish) for each in found.values()]
                if settled(ranks, rank(switch, wish), wish):
                    break
        return Answer(arranged(found.values(), wish), total)

    def nodes(self, wish: Wish) -> list[NodeNow]:
        """Returns the nodes that may be stuck. Raises IndexTrouble or Unreadable."""
        body = {"size": PAGE, "query": stuck_query(wish)}
        return [self._read(hit, _node_now) for hit in self._search(pattern(CURRENT), body).hits]

    def _pages(self, query: Query, wish: Wish) -> Iterator[list[Hit]]:
        after: Place = ()
        size = page_size(wish)
        while True:
            hits = self._search(pattern(SWITCHOVER), page(query, order_field(wish), size=size, after=after)).hits
            if hits:
                yield hits
            if len(hits) < size:
                return
            after, size = next_place([hit.sort for hit in hits]), PAGE

    def _count(self, indices: str) -> int:
        total = self._search(indices, {"size": 0, "track_total_hits": True}).total
        return total.value if total else 0

    def _search(self, indices: str, body: Query) -> Hits:
        answered = self._asking.post(f"/{indices}/_search?{WHOLE}", msgspec.json.encode(body))
        sink = self._asking.sink
        if answered.status >= HTTPStatus.BAD_REQUEST:
            reply = _reply(answered)
            refusal = f"{self._asking.where}: refuses (HTTP {reply.status}: {reply.reason})"
            raise IndexTrouble(refusal + self._remedy(reply))
        try:
            searched = _searched.decode(answered.content)
        except UNDECODABLE as error:
            words = f"{self._asking.where}: not a server of kind {sink.kind}; see kind of sink {sink.name}"
            raise WrongProduct(words) from error
        if searched.shards.total == 0:
            raise IndexTrouble(
                f"{self._asking.where}: has no index {indices}; `hltmode index apply` prepares the server, "
                "and collectors with this sink fill it"
            )
        return searched.hits

    def _remedy(self, reply: Reply) -> str:
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"; the user of sink {self._asking.sink.name} needs the right to read hltmode-*"
        if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return f"; is it an index server of kind {self._asking.sink.kind}?"
        return ""

    def _read(self, hit: Hit, decoder: msgspec.json.Decoder[T]) -> T:
        try:
            return decoder.decode(hit.source)
        except UNDECODABLE as error:
            where = f"{self._asking.where}: {hit.index}/{hit.id}"
            raise Unreadable(f"{where} is a document of another form ({error})") from error


def _reply(answered: Answered) -> Reply:
    """Returns the answer with its JSON decoded, or as text where it is none."""
    try:
        return Reply(answered.status, msgspec.json.decode(answered.content))
    except UNDECODABLE:
        return Reply(answered.status, answered.content[:1000].decode(errors="replace"))
