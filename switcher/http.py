"""The HTTP entrance: who may come in, how often, and what every answer has in common."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from contract.answering import tell_door
from contract.callers import Allowed, Rates, Sparing, caller_of
from contract.config import Http
from contract.errors import HltmodeError
from contract.networks import Address
from switcher import api, cgi
from switcher.node import Switcher

log = logging.getLogger(__name__)

server_log = logging.getLogger("switcher.http.server")  # for aiohttp

ACTING_COSTS: Final = 5.0  # what changes something leaves a record in the journal; a question leaves nothing
LONGEST_LOGGED: Final = 200
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unforeseen(logging.Filter):
    """Of what aiohttp would log with a traceback: a malformed request is one line, and floods of either are cut."""

    def __init__(self) -> None:
        super().__init__()
        self._said = Sparing()

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        added = self._said.admit(f"{record.args} {type(error).__name__}", time.monotonic())
        if added is None:
            return False
        if isinstance(error, HttpProcessingError):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg = f"{record.msg}: malformed ({type(error).__name__}){added}"
            record.exc_info = None
        return True


class Rules:
    """What holds for callers now; `take_over` changes it for all requests to come."""

    def __init__(self, settings: Http, token: str) -> None:
        self.allowed = Allowed(settings.allow)
        self.rates = Rates(settings.requests_per_s)
        self.token = token
        self.tls_port = 0

    def take_over(self, settings: Http, token: str) -> None:
        """Changes the rules. Connections stay; their next requests are judged anew."""
        self.allowed = Allowed(settings.allow)
        self.rates = Rates(settings.requests_per_s)
        self.token = token


class Guard:
    """Stands before every request."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._loop = asyncio.get_running_loop()
        self._said: dict[str, Sparing] = {}

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Returns the answer, which for most uninvited callers is a line that says why not."""
        caller = caller_of(request.transport and request.transport.get_extra_info("peername"))
        if caller not in self._rules.allowed:
            return self._refuse(request, caller, 403, "may not ask here", "http.allow")
        acts = request.method != "GET" or request.path in cgi.ACTING
        if not self._rules.rates.spend(caller, ACTING_COSTS if acts else 1.0, self._loop.time()):
            return self._refuse(request, caller, 429, "asks too often", "http.requests_per_s")
        if not request.path.startswith(cgi.FOLDER):
            if self._rules.tls_port and not request.secure and not caller.is_loopback:
                words = f"asks in plain text; the API is at https port {self._rules.tls_port}"
                return self._refuse(request, caller, 403, words, "http.tls_port")
            if not api.bears(request, self._rules.token):
                return self._refuse(request, caller, 403, "bears no token that is right", "http.token_file")
        try:
            return await handler(request)
        except HltmodeError as error:
            self._log("bad request", request, caller, str(error))
            return web.Response(status=400, text=f"{error}\n")

    def _refuse(self, request: web.Request, caller: Address, status: int, words: str, key: str) -> web.Response:
        self._log(key, request, caller, f"{words}; see {key}")
        if request.path.startswith(cgi.FOLDER) or caller not in self._rules.allowed:
            response = web.Response(status=status, text=f"{caller} {words}\n")
        else:
            body = msgspec.json.encode(api.Refusal(f"{caller} {words}; see {key}"))
            response = web.Response(status=status, body=body + b"\n", content_type="application/json")
        if status == 429:
            response.headers["Retry-After"] = "1"
        response.force_close()
        return response

    def _log(self, kind: str, request: web.Request, caller: Address, words: str) -> None:
        added = self._said.setdefault(kind, Sparing()).admit(str(caller), self._loop.time())
        if added is not None:
            asked = request.rel_url.raw_path_qs[:LONGEST_LOGGED]
            log.warning("%s: refused to %s: %s%s", asked, caller, words, added)


def build(switcher: Switcher, rules: Rules) -> web.Application:
    """Returns the application with the CGI URLs of old callers and the JSON API."""
    guard = Guard(rules)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard.handle(request, handler)

    if not server_log.filters:
        server_log.addFilter(Unforeseen())
    application = web.Application(middlewares=[tell_door, _close_cgi, guarded])
    cgi.add_routes(application, switcher)
    api.add_routes(application, switcher)
    return application


@web.middleware
async def _close_cgi(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    if request.path.startswith(cgi.FOLDER):
        response.force_close()
    return response
