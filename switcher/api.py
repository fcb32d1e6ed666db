"""The JSON API for those who want to know: `GET /status`, `POST /switch`, `GET /journal?after=SEQ`."""

from __future__ import annotations

import asyncio
import hmac
import itertools
from typing import Final

import msgspec
from aiohttp import web
from msgspec.structs import replace

from contract.journal import read_journal
from contract.modes import Wanted
from contract.request import HTTP_STATUS, BadRequest, Request, Verdict, checked
from contract.undecodable import UNDECODABLE
from switcher.node import Switcher

ANSWER_WITHIN_S: Final = 5.0
JOURNAL_PAGE: Final = 1000
JOURNALS_AT_ONCE: Final = 2  # a long journal takes a thread for a while


class Refusal(msgspec.Struct, frozen=True):
    """What a caller is told who gets nothing else."""

    error: str


def bears(request: web.Request, token: str) -> bool:
    """Returns whether `request` bears `token`, in a time that tells nothing of it; without a token all do."""
    given = request.headers.get("Authorization", "")
    return not token or hmac.compare_digest(given.encode(errors="replace"), f"Bearer {token}".encode())


def add_routes(application: web.Application, switcher: Switcher) -> None:
    """Adds the API. Whether a caller may use it has been settled before (`switcher.http`)."""
    reading = asyncio.Semaphore(JOURNALS_AT_ONCE)

    async def status(_request: web.Request) -> web.Response:
        return _json(200, switcher.status())

    async def switch(request: web.Request) -> web.Response:
        asked = _request(request, await request.read())
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await switcher.submit(asked)
        except TimeoutError:
            if switcher.remembers(asked.id):
                return _json(202, {"id": asked.id, "verdict": Verdict.ACCEPTED, "reason": "the cloud tool is asked"})
            return _json(503, Refusal(f"{asked.id}: not on disk yet; ask again with the same id"))
        return _json(HTTP_STATUS[answer.verdict], answer)

    async def journal(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise BadRequest(f"after: the number of a record wanted, not {after[:40]!r}")
        async with reading:
            records = await asyncio.to_thread(_page, switcher, int(after))
        return _json(200, records)

    application.router.add_get("/status", status)
    application.router.add_post("/switch", switch)
    application.router.add_get("/journal", journal)


def _page(switcher: Switcher, after: int) -> list[object]:
    return list(itertools.islice(read_journal(switcher.paths.journal, after=after), JOURNAL_PAGE))


def _request(request: web.Request, body: bytes) -> Request:
    if request.content_type != "application/json":
        raise BadRequest("Content-Type: application/json wanted")
    try:
        asked = msgspec.json.decode(body, type=Request)
    except UNDECODABLE as error:
        modes = " or ".join(wanted.value for wanted in Wanted)
        raise BadRequest(f"body: {error}; at least id and to ({modes}) wanted") from error
    return checked(replace(asked, who=asked.who or f"api {request.remote}"))


def _json(status: int, content: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content) + b"\n", content_type="application/json")
