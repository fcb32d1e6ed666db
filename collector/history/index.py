"""Asks an index server for past switches and for the nodes that are stuck. A thin shell around `history_queries`.

Everything that a wish picks is fetched and counted here, page by page, as from a log: percentiles are exact, whatever
there is, and no server's estimate. A table shows fifty switches, for which one page is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec

from collector.documents import SWITCHOVER
from collector.history.past import NodeNow, Switchover
from collector.history.queries import PAGE, Query, order_field, page, page_size, settled, stuck_query, switchover_query
from collector.history.questions import Wish, matches, rank, select
from collector.history.stores import Answer
from collector.index.clients import IndexClient, IndexTrouble, Reply, WrongProduct, check_product
from collector.index.templates import pattern
from contract.errors import Unreadable
from contract.index_names import CURRENT

# A part of the answer that looks like the whole is worse than none.
WHOLE: Final = {"allow_partial_search_results": "false"}

Hit = dict[str, Any]
T = TypeVar("T", Switchover, NodeNow)


class Index:
    """The indices of one server as a store."""

    def __init__(self, client: IndexClient) -> None:
        self._client = client

    def switches(self, wish: Wish) -> Answer:
        """Returns what `wish` asks for. Raises IndexTrouble or Unreadable."""
        total = self._count(pattern(SWITCHOVER))
        found: dict[str, Switchover] = {}
        for hits in self._pages(switchover_query(wish), wish):
            last = 0.0
            for hit in hits:
                switch = self._read(hit, Switchover)
                last = rank(switch, wish)
                if matches(switch, wish):
                    found[hit["_id"]] = switch
            if settled([rank(switch, wish) for switch in found.values()], last, wish):
                break
        return Answer(select(found.values(), wish), total)

    def nodes(self, wish: Wish) -> list[NodeNow]:
        """Returns the nodes that may be stuck. Raises IndexTrouble or Unreadable."""
        body = {"size": PAGE, "query": stuck_query(wish)}
        hits = self._search(pattern(CURRENT), body)
        return [self._read(hit, NodeNow) for hit in hits]

    def _pages(self, query: Query, wish: Wish) -> Iterator[list[Hit]]:
        after, size = None, page_size(wish)
        while True:
            hits = self._search(pattern(SWITCHOVER), page(query, order_field(wish), size=size, after=after))
            if hits:
                yield hits
            if len(hits) < size:
                return
            after = hits[-1]["sort"]

    def _count(self, indices: str) -> int:
        body = self._ask(indices, {"size": 0, "track_total_hits": True})
        return int(body["hits"]["total"]["value"])

    def _search(self, indices: str, body: Query) -> list[Hit]:
        hits: list[Hit] = self._ask(indices, body)["hits"]["hits"]
        return hits

    def _ask(self, indices: str, body: Query) -> dict[str, Any]:
        reply = self._client.request("POST", f"/{indices}/_search", body=msgspec.json.encode(body), params=WHOLE)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            refusal = f"{self._client.where}: refuses (HTTP {reply.status}: {reply.reason})"
            raise IndexTrouble(refusal + self._remedy(reply))
        answer = reply.body
        if not isinstance(answer, dict) or "_shards" not in answer:
            sink = self._client.sink
            raise WrongProduct(f"{self._client.where}: not a server of kind {sink.kind}; see kind of sink {sink.name}")
        if answer["_shards"]["total"] == 0:
            check_product(self._client)
            raise IndexTrouble(
                f"{self._client.where}: has no index {indices}; `hltmode index apply` prepares the server, "
                "and collectors with this sink fill it"
            )
        return answer

    def _remedy(self, reply: Reply) -> str:
        if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"; the user of sink {self._client.sink.name} needs the right to read hltmode-*"
        if reply.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return f"; is it an index server of kind {self._client.sink.kind}?"
        return ""

    def _read(self, hit: Hit, form: type[T]) -> T:
        try:
            return msgspec.convert(hit["_source"], form)
        except msgspec.ValidationError as error:
            where = f"{self._client.where}: {hit['_index']}/{hit['_id']}"
            raise Unreadable(f"{where} is a document of another form ({error})") from error
