"""Asks nodes over HTTP and says what their answers mean. What is not known is not guessed: the node is asked again.

A node of hltmode takes a request with an id and tells later, by its journal, what became of it; asking twice is asking
once. A node of unmodified hltd has only the old URLs: a file is made there, its page says so whether or not that went
well, and how many cores the cloud has is all that it tells.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import resource
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import aiohttp
import msgspec

from contract.modes import Mode, Wanted
from contract.request import Answer, Request, Verdict
from contract.undecodable import UNDECODABLE
from fleet.hosts import PORT, TLS_PORT, Place
from fleet.journal_lines import JournalLine
from fleet.old_pages import error_in
from fleet.standing import Answered, Denied, NoAnswer, NotSent

LOOK_WITHIN: Final = aiohttp.ClientTimeout(total=5.0, sock_connect=5.0)
ASK_WITHIN: Final = aiohttp.ClientTimeout(total=10.0, sock_connect=5.0)  # a node may ask its cloud tool first
AT_ONCE: Final = 256
OTHER_FILES: Final = 64
PLENTY_OF_FILES: Final = 4096  # with fewer no connection is kept for the next look
LONGEST_COUNT: Final = 6  # digits of a number of cores
LARGEST: Final = 4 << 20
MOST_PAGES: Final = 100
OLD_COMMANDS: Final = {Wanted.CLOUD: "exclude_cgi.py", Wanted.HLT: "include_cgi.py"}
LETS_NOBODY_IN: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
KNOWN_MODES: Final = {mode.value: mode for mode in Mode}


class Switching(msgspec.Struct, frozen=True):
    """Of the switch under way its request, and since when."""

    request: dict[str, object]
    started: str = ""

    @property
    def id(self) -> str:
        """The id."""
        return str(self.request.get("id", ""))

    @property
    def who(self) -> str:
        """Who has asked."""
        return str(self.request.get("who", ""))

    @property
    def to(self) -> str:
        """Where the node is wanted."""
        return str(self.request.get("to", ""))


class RunJobs(msgspec.Struct, frozen=True):
    """Of a run on the node the jobs that must end, by their pids."""

    number: int = 0
    jobs: tuple[int, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of `GET /status`."""

    host: str
    journal_seq: int
    mode_name: str = msgspec.field(name="mode")
    appliance: str = ""
    mode_age_s: float = 0.0
    blocker: str = ""
    stuck: bool = False
    vms: str = ""
    switch: Switching | None = None
    runs: tuple[RunJobs, ...] = ()
    tokens: dict[str, int] = {}

    @property
    def cores(self) -> int | None:
        """How many cores it has, whoever they work for; None when it does not say."""
        return sum(self.tokens.values()) if self.tokens else None

    @property
    def mode(self) -> Mode | None:
        """The mode; None for one that we don't know, as a newer switcher may have."""
        return KNOWN_MODES.get(self.mode_name)

    @property
    def jobs(self) -> int:
        """How many jobs must end before the node can leave."""
        return sum(len(run.jobs) for run in self.runs)

    @property
    def working(self) -> dict[str, tuple[int, ...]]:
        """The pids of those jobs, by the number of their run."""
        return {str(run.number): run.jobs for run in self.runs if run.jobs}


class Old(msgspec.Struct, frozen=True):
    """A node that has only hltd's URLs; `cores` is how many belong to the cloud."""

    cores: int


Look = NodeStatus | Old | Denied | NoAnswer

_status: Final = msgspec.json.Decoder(NodeStatus)
_answer: Final = msgspec.json.Decoder(Answer)
_journal: Final = msgspec.json.Decoder(list[JournalLine])


@asynccontextmanager
async def connected(token: str = "", trust: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """Yields a client; `token` is borne if there is one. With `trust` it speaks TLS only."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    files = _allowed_files()
    connector = aiohttp.TCPConnector(
        limit=0, limit_per_host=2, ttl_dns_cache=300, force_close=files < PLENTY_OF_FILES, ssl=trust or True
    )  # fmt: skip
    async with aiohttp.ClientSession(headers=headers, timeout=LOOK_WITHIN, connector=connector) as session:
        yield Client(session, max(1, min(AT_ONCE, files - OTHER_FILES)), tls=trust is not None)


class Client:
    """The way to all nodes; at most `at_once` of them are spoken to at the same moment."""

    def __init__(self, session: aiohttp.ClientSession, at_once: int = AT_ONCE, *, tls: bool = False) -> None:
        self._session = session
        self._tls = tls
        self._turn = asyncio.Semaphore(at_once)

    async def look(self, place: Place, host: str = "") -> Look:
        """Returns how the node stands. With `host` the answer of a node of another name is none."""
        found = await self._call("GET", place, "/status")
        if isinstance(found, NoAnswer | NotSent):
            return NoAnswer(found.words)
        status, body = found
        if status == HTTPStatus.NOT_FOUND:
            return await self._look_at_old(place)
        if status in LETS_NOBODY_IN:
            return Denied(_words(status, body))
        if status != HTTPStatus.OK:
            return NoAnswer(_words(status, body))
        try:
            seen = _status.decode(body)
        except UNDECODABLE as error:
            return NoAnswer(f"an answer that is none: {error}")
        if host and not same_host(host, seen.host):
            return NoAnswer(f"{seen.host[:60]} answers at {place.address} in its place; mend the addresses")
        return seen

    async def ask(self, place: Place, request: Request, *, old: bool) -> Answered | Denied | NotSent | NoAnswer:
        """Sends `request`; to an `old` node by its URL."""
        if old:
            return await self._ask_old(place, request)
        found = await self._call("POST", place, "/switch", msgspec.json.encode(request))
        if isinstance(found, NoAnswer | NotSent):
            return found
        status, body = found
        try:
            answer = _answer.decode(body)
        except UNDECODABLE:
            return _not_heard(status, body)
        if answer.id != request.id:
            return NoAnswer(f"an answer to another request ({answer.id[:40]})")
        return Answered(answer.verdict, answer.reason)

    async def journal(self, place: Place, after: int, upto: int) -> tuple[list[JournalLine], bool]:
        """Returns the journal's records after `after`, and whether those up to `upto` are all there."""
        lines: list[JournalLine] = []
        for _ in range(MOST_PAGES):
            last = lines[-1].seq if lines else after
            if last >= upto:
                return lines, True
            found = await self._call("GET", place, f"/journal?after={last}")
            if isinstance(found, NoAnswer | NotSent) or found[0] != HTTPStatus.OK:
                break
            try:
                page = _journal.decode(found[1])
            except UNDECODABLE:
                break
            if not page or page[-1].seq <= last:
                break
            lines += page
        return lines, False

    async def _look_at_old(self, place: Place) -> Old | Denied | NoAnswer:
        found = await self._call("GET", place, "/cgi-bin/cloud_mode_active_cgi.py")
        if isinstance(found, NoAnswer | NotSent):
            return NoAnswer(found.words)
        status, body = found
        if status in LETS_NOBODY_IN:
            return Denied(_words(status, body))
        text = body.decode(errors="replace").strip()
        if status != HTTPStatus.OK or not (text.isascii() and text.isdigit() and len(text) <= LONGEST_COUNT):
            error = error_in(body)
            return NoAnswer(f"its page says: {error}" if error else _words(status, body))
        return Old(int(text))

    async def _ask_old(self, place: Place, request: Request) -> Answered | Denied | NotSent | NoAnswer:
        # hltd reads no query; a switcher that was taken for one keeps the id that it has got by another way
        said = urlencode({"id": request.id, "who": request.who, "reason": request.reason})
        found = await self._call("GET", place, f"/cgi-bin/{OLD_COMMANDS[request.to]}?{said}")
        if isinstance(found, NoAnswer | NotSent):
            return found
        status, body = found
        if status in (*LETS_NOBODY_IN, HTTPStatus.NOT_FOUND):
            return Denied(_words(status, body))
        if status != HTTPStatus.OK:
            return NoAnswer(_words(status, body))
        if error := error_in(body):  # the file that it should make may be there or not
            return NoAnswer(f"its page says: {error}")
        return Answered(Verdict.ACCEPTED, certain=False)

    def _url(self, place: Place, path: str) -> str:
        if not self._tls:
            return f"http://{place.address}{path}"
        host, _, port = place.address.rpartition(":")
        return f"https://{host}:{TLS_PORT if int(port) == PORT else port}{path}"

    async def _call(
        self, method: str, place: Place, path: str, body: bytes | None = None
    ) -> tuple[int, bytes] | NoAnswer | NotSent:
        headers = {"Content-Type": "application/json"} if body else {}
        within = ASK_WITHIN if body else LOOK_WITHIN
        async with self._turn:
            try:
                async with self._session.request(
                    method,
                    self._url(place, path),
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=within,
                ) as response:
                    return response.status, await _whole(response)
            except aiohttp.ClientConnectorError as error:
                return NotSent(f"not reached: {_reason(error)}")
            except aiohttp.ConnectionTimeoutError:
                return NotSent("not reached: no connection in time")
            except TimeoutError:
                return NoAnswer("no answer in time")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return NoAnswer(f"the connection broke: {str(error) or type(error).__name__}")


def same_host(asked: str, answers: str) -> bool:
    """Returns whether a node that calls itself `answers` may be `asked`: a domain may be left out."""
    try:
        ipaddress.ip_address(asked)
    except ValueError:
        return asked == "localhost" or asked.partition(".")[0].lower() == answers.partition(".")[0].lower()
    return True


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Returns the whole body, however many pieces it comes in. Raises ValueError when it has no end in sight."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LARGEST:
            raise ValueError(f"an answer of more than {LARGEST >> 20} MiB")
    return bytes(body)


def _not_heard(status: int, body: bytes) -> Denied | NoAnswer:
    """Returns what an answer means that is no verdict: the node may not be ready, or does not take it from us."""
    if status in (*LETS_NOBODY_IN, HTTPStatus.BAD_REQUEST):
        return Denied(_words(status, body))
    return NoAnswer(_words(status, body))


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Returns why there is no connection, in the same words for every address."""
    if isinstance(error.os_error, ssl.SSLError):  # its number is of another list than the system's
        verify = getattr(error.os_error, "verify_message", "")
        return f"no TLS ({verify or error.os_error.reason or 'it speaks something else'})"
    number = error.os_error.errno
    return os.strerror(number) if number is not None and number > 0 else str(error.os_error)


def _words(status: int, body: bytes) -> str:
    return f"{status}: {' '.join(body.decode(errors='replace').split())[:200]}"


def _allowed_files() -> int:
    """Lets this process open as many files as it may, and returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard
