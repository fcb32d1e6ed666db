"""Sends documents to one sink: looks before the first, creates each, and puts the newest of each host in its place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from collector.index.clients import NDJSON, IndexClient, NoAnswer, check_product, connect
from collector.index.names import hltd_alias
from collector.shipping import bulk
from collector.shipping.bulk import Outcome, Row
from collector.shipping.prepared import Prepared
from collector.trouble import Trouble
from contract.index_names import CURRENT, current_of
from contract.sink import Sink


class Sender:
    """The way to `sink`; after trouble of the surroundings it is closed, and the next call reads secrets anew.

    `took` is told the seconds of each bulk request.
    """

    def __init__(self, sink: Sink, subsystem: str, took: Callable[[float], None]) -> None:
        self.where = ", ".join(sink.hosts)
        self._sink = sink
        self._current = current_of(subsystem)
        self._alias = hltd_alias(subsystem) if sink.hltd_form else ""
        self._took = took
        self._client: IndexClient | None = None
        self._prepared = Prepared()
        self._upserted: dict[str, int] = {}
        self._trouble = Trouble(f"sink {sink.name}: takes the newest box of each host again")

    def send(self, rows: Sequence[Row], live_s: float) -> Outcome:
        """Returns what became of `rows`; boxes from after `live_s` are put in the place of older ones besides.

        Raises IndexTrouble, and ConfigError when a secret can't be read; nobody knows then what has arrived.
        """
        client = self._connected()
        upserts = [row for row in bulk.newest_of_hosts(rows) if row.time_s >= live_s and self._is_newer(row)]
        kinds = {row.index_name: row.kind for row in rows} | ({self._current: CURRENT} if upserts else {})
        self._prepared.check(client, kinds)
        lines = [*bulk.create(rows), *bulk.current(upserts, self._current)]
        if self._alias:
            lines += bulk.hltd_form(upserts, self._alias)
        began_s = time.monotonic()
        reply = client.request(
            "POST", "/_bulk", body=bulk.body_of(lines), params={"filter_path": bulk.FILTER}, content_type=NDJSON
        )
        self._took(time.monotonic() - began_s)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return bulk.read_refusal(rows, reply.status, reply.reason + self._remedy(reply.status))
        try:
            outcome, refused = bulk.read_items(rows, reply.body), bulk.read_upserts(rows, reply.body)
        except bulk.Unreadable as error:
            raise NoAnswer(f"{self.where}: {error}") from error
        self._trouble.say(f"sink {self._sink.name}: newest box of a host not taken: {refused}" if refused else "")
        self._upserted |= {row.host: row.number for row in upserts}
        return outcome

    def close(self) -> None:
        """Closes all connections."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _connected(self) -> IndexClient:
        if self._client is None:
            client = connect(self._sink)
            try:
                check_product(client)
            except BaseException:
                client.close()
                raise
            self._client = client
            self._prepared = Prepared()
        return self._client

    def _is_newer(self, row: Row) -> bool:
        return row.number >= self._upserted.get(row.host, 0)

    def _remedy(self, status: int) -> str:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"; see user, key and rights of sink {self._sink.name}"
        return ""
