"""Asks nodes over HTTP and says what their answers mean. What is not known is not guessed: the node is asked again.

A node of hltmode takes a request with an id and tells later, by its journal, what became of it; asking twice is asking
once. A node of unmodified hltd has only the old URLs: a file is made there, and how many cores the cloud has is all
that it tells.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec

from contract.modes import Mode, Wanted
from contract.request import Answer, Request, Verdict
from fleet.hosts import Place
from fleet.standing import Answered, NoAnswer, Seen

TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)
AT_ONCE: Final = 256
LARGEST: Final = 4 << 20
ERROR_TEXT: Final = re.compile(rb"error|traceback|exception|denied", re.IGNORECASE)
OLD_COMMANDS: Final = {Wanted.CLOUD: "exclude_cgi.py", Wanted.HLT: "include_cgi.py"}


class Switching(msgspec.Struct, frozen=True):
    """Of the switch under way its request's id."""

    request: dict[str, object]

    @property
    def id(self) -> str:
        """The id."""
        return str(self.request.get("id", ""))


class RunJobs(msgspec.Struct, frozen=True):
    """Of a run on the node the jobs that must end."""

    jobs: tuple[int, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of `GET /status`."""

    host: str
    mode: Mode
    journal_seq: int
    appliance: str = ""
    mode_age_s: float = 0.0
    blocker: str = ""
    stuck: bool = False
    switch: Switching | None = None
    runs: tuple[RunJobs, ...] = ()
    tokens: dict[str, int] = {}

    @property
    def cores(self) -> int | None:
        """How many cores it has, whoever they work for; None when it does not say."""
        return sum(self.tokens.values()) if self.tokens else None

    @property
    def jobs(self) -> int:
        """How many jobs must end before the node can leave."""
        return sum(len(run.jobs) for run in self.runs)


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a journal's record."""

    kind: str
    seq: int
    id: str = ""
    outcome: str = ""
    why: str = ""
    verdict: str = ""


class Old(msgspec.Struct, frozen=True):
    """A node that has only hltd's URLs; `cores` is how many belong to the cloud."""

    cores: int


Look = NodeStatus | Old | NoAnswer

_status: Final = msgspec.json.Decoder(NodeStatus)
_answer: Final = msgspec.json.Decoder(Answer)
_journal: Final = msgspec.json.Decoder(list[JournalLine])


@asynccontextmanager
async def connected(token: str = "") -> AsyncIterator[Client]:
    """Yields a client; `token` is borne if there is one."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(limit=AT_ONCE, limit_per_host=2, ttl_dns_cache=300)
    async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT, connector=connector) as session:
        yield Client(session)


class Client:
    """The way to all nodes."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def look(self, place: Place) -> Look:
        """Returns how the node stands."""
        found = await self._call("GET", place, "/status")
        if isinstance(found, NoAnswer):
            return found
        status, body = found
        if status == HTTPStatus.NOT_FOUND:
            return await self._look_at_old(place)
        if status != HTTPStatus.OK:
            return NoAnswer(_words(status, body), sent=False)
        try:
            return _status.decode(body)
        except msgspec.MsgspecError as error:
            return NoAnswer(f"an answer that is none: {error}", sent=False)

    async def ask(self, place: Place, request: Request, *, old: bool) -> Answered | NoAnswer:
        """Sends `request`; to an `old` node by its URL."""
        if old:
            return await self._ask_old(place, request)
        found = await self._call("POST", place, "/switch", msgspec.json.encode(request))
        if isinstance(found, NoAnswer):
            return found
        status, body = found
        try:
            answer = _answer.decode(body)
        except msgspec.MsgspecError:
            return _refused(status, body)
        if answer.id != request.id:
            return NoAnswer(f"an answer to another request ({answer.id[:40]})", sent=True)
        return Answered(answer.verdict, answer.reason)

    async def settle(self, place: Place, request_id: str, status: NodeStatus, after: int) -> tuple[Seen, int]:
        """Returns what the node says of request `request_id`, and up to which journal record it is read.

        The journal is read after `after`, so each record once.
        """
        seen = Seen(
            mode=status.mode,
            switch_id=status.switch.id if status.switch else None,
            blocker=status.blocker,
            stuck=status.stuck,
        )
        while after < status.journal_seq:
            found = await self._call("GET", place, f"/journal?after={after}")
            if isinstance(found, NoAnswer) or found[0] != HTTPStatus.OK:
                break
            try:
                lines = _journal.decode(found[1])
            except msgspec.MsgspecError:
                break
            if not lines:
                break
            for line in lines:
                if line.id == request_id and line.kind == "switch":
                    return msgspec.structs.replace(seen, outcome=line.outcome, why=line.why), line.seq
                if line.id == request_id and line.kind == "request":
                    seen = msgspec.structs.replace(seen, heard=Verdict(line.verdict), why=line.why)
            after = lines[-1].seq
        return seen, after

    async def _look_at_old(self, place: Place) -> Look:
        found = await self._call("GET", place, "/cgi-bin/cloud_mode_active_cgi.py")
        if isinstance(found, NoAnswer):
            return found
        status, body = found
        text = body.decode(errors="replace").strip()
        if status != HTTPStatus.OK or not (text.isascii() and text.isdigit()):
            return NoAnswer(_words(status, body), sent=False)
        return Old(int(text))

    async def _ask_old(self, place: Place, request: Request) -> Answered | NoAnswer:
        found = await self._call("GET", place, f"/cgi-bin/{OLD_COMMANDS[request.to]}")
        if isinstance(found, NoAnswer):
            return found
        status, body = found
        if status != HTTPStatus.OK or ERROR_TEXT.search(body):
            return Answered(Verdict.REFUSED, _words(status, body), certain=False)
        return Answered(Verdict.ACCEPTED, certain=False)

    async def _call(
        self, method: str, place: Place, path: str, body: bytes | None = None
    ) -> tuple[int, bytes] | NoAnswer:
        headers = {"Content-Type": "application/json"} if body else {}
        async with self._turn:
            try:
                async with self._session.request(
                    method, f"http://{place.address}{path}", data=body, headers=headers, allow_redirects=False
                ) as response:
                    return response.status, await response.content.read(LARGEST)
            except aiohttp.ClientConnectorError as error:
                return NoAnswer(f"not reached: {error.strerror or error}", sent=False)
            except TimeoutError:
                return NoAnswer("no answer in time", sent=True)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return NoAnswer(f"the connection broke: {str(error) or type(error).__name__}", sent=True)


def _refused(status: int, body: bytes) -> Answered | NoAnswer:
    """Returns what an answer means that is no verdict: the node may not be ready, or does not take it from us."""
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST):
        return Answered(Verdict.REFUSED, _words(status, body))
    return NoAnswer(_words(status, body), sent=True)


def _words(status: int, body: bytes) -> str:
    return f"{status}: {' '.join(body.decode(errors='replace').split())[:200]}"
