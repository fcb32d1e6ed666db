"""Looks whether the server has our templates before an index is made: without them it gets the wrong fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from collector.index.clients import IndexClient, IndexTrouble, NoAnswer, is_busy
from collector.index.templates import template_name

log = logging.getLogger("collector")


class NotPrepared(IndexTrouble):
    """The server lacks a template."""


class Prepared:
    """Knows for which indices the server was found prepared. It looks when an index is new to it."""

    def __init__(self) -> None:
        self._good: set[str] = set()

    def check(self, client: IndexClient, kinds: Mapping[str, str]) -> None:
        """Returns when the indices, each of one of `kinds`, may be written to. Raises IndexTrouble."""
        for index, kind in kinds.items():
            if index not in self._good:
                self._look(client, template_name(kind))
                self._good.add(index)

    def _look(self, client: IndexClient, template: str) -> None:
        reply = client.request("GET", f"/_index_template/{template}", params={"filter_path": "**.name"})
        if is_busy(reply.status):
            raise NoAnswer(f"{client.where}: HTTP {reply.status}: {reply.reason}")
        if reply.status == HTTPStatus.NOT_FOUND:
            raise NotPrepared(f"{client.where}: has no index template {template}; run hltmode index apply")
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise IndexTrouble(f"{client.where}: HTTP 401: {reply.reason}; see the secrets of sink {client.sink.name}")
        if reply.status >= HTTPStatus.BAD_REQUEST:
            log.info("%s: may not look at templates (HTTP %d); taken for prepared", client.where, reply.status)
