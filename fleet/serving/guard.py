"""Who may come in, and what every answer has in common: headers, and errors as one line of JSON.

A page of another site must not act through a visitor's browser. It can't: the token is a header, which browsers send
across sites only after asking, and we never answer that. A name of another site that points to this machine is no
name of ours, so it gets nothing at all.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from contract.callers import Sparing
from contract.errors import HltmodeError
from contract.heads import Unfit
from contract.secret_file import read_token
from fleet.node_sets import BadHosts
from fleet.order import BadOrder
from fleet.rollout import BadRamp
from fleet.selection import NothingToDo
from fleet.serving.forms import Refusal
from fleet.serving.service import NodesTaken, OtherOrder, PlanGone, TooBusy
from fleet.store import NoSuchOperation, Taken

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPTION: Final = "--clients-token-file"
LARGEST_BODY_BYTES: Final = 1 << 20
LONGEST_ERROR: Final = 500
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "hltmode",
}

STATUS: Final[Mapping[type[HltmodeError], int]] = {
    NoSuchOperation: HTTPStatus.NOT_FOUND,
    PlanGone: HTTPStatus.GONE,
    NodesTaken: HTTPStatus.CONFLICT,
    Taken: HTTPStatus.CONFLICT,
    OtherOrder: HTTPStatus.CONFLICT,
    NothingToDo: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooBusy: HTTPStatus.SERVICE_UNAVAILABLE,
    BadHosts: HTTPStatus.BAD_REQUEST,
    BadRamp: HTTPStatus.BAD_REQUEST,
    BadOrder: HTTPStatus.BAD_REQUEST,
}


class Stopped(HltmodeError):
    """A request that goes no further; `status` and `headers` are those of its answer."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.headers = headers or {}


class Clients:
    """Who may act: those who bear the token in `path`, read anew each time; without one, nobody."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._sparing = Sparing()
        if path is not None:
            read_token(path, OPTION)

    @property
    def may_act(self) -> bool:
        """Whether anybody may."""
        return self._path is not None

    def check(self, request: web.Request) -> None:
        """Raises Stopped unless the caller may act."""
        if self._path is None:
            raise Stopped(403, f"this server only shows; it acts when it is started with {OPTION}")
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(errors="replace"), f"Bearer {read_token(self._path, OPTION)}".encode()):
            self._tell(request)
            words = "a bearer token is wanted: Authorization: Bearer TOKEN" if not given else "that token is not valid"
            raise Stopped(401, words, {"WWW-Authenticate": 'Bearer realm="hltmode"'})

    def _tell(self, request: web.Request) -> None:
        """Logs that a caller has no valid token, one line a caller and minute: a guesser must not fill the disk."""
        more = self._sparing.admit(request.remote or "", time.monotonic())
        if more is not None:
            method, path = request.method, request.path[:100]
            log.warning("%s %s: refused to %s: no valid token%s", method, path, request.remote, more)


def middleware(names: frozenset[str]) -> Middleware:
    """Returns what stands before every handler. `names` are the hosts as which we may be called, in lower case."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_names(request, names)
            return await handler(request)
        except web.HTTPException as error:
            headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return refusal(error.status, f"{request.method} {request.path[:100]}: {error.reason}", headers=headers)
        except Stopped as error:
            return refusal(error.status, str(error), headers=error.headers)
        except NodesTaken as error:
            return json(409, Refusal(error=line(str(error)), holders=error.holders))
        except HltmodeError as error:
            status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
            if status == 500:  # it may name files of ours
                log.error("%s %s: %s", request.method, request.path[:100], error)
                return refusal(status, "that can't be done now; the server's log says why")
            if isinstance(error, NoSuchOperation):
                return refusal(status, f"{error.name[:100]}: no such operation; GET /operations lists them")
            return refusal(status, str(error))
        except Exception:
            log.exception("%s %s: broke", request.method, request.path[:100])
            return refusal(500, "that broke here; the server's log says how")

    return guard


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Puts on every answer what browsers must know."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def json(status: int, content: object, headers: Mapping[str, str] | None = None) -> web.Response:
    """Returns an answer; `content` is a struct."""
    body = msgspec.json.encode(content) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def refusal(status: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Returns an answer that says why not."""
    return json(status, Refusal(error=line(words)), headers)


def page(unfit: Unfit) -> tuple[str, bytes]:
    """Returns what one reads who sends no request: the same as any refusal."""
    return "application/json", msgspec.json.encode(Refusal(error=line(unfit.words))) + b"\n"


def line(words: str) -> str:
    """Returns words as one line."""
    return " ".join(words.split())[:LONGEST_ERROR]


def host_of(authority: str) -> str:
    """Returns the host of `host[:port]`, in lower case."""
    if authority.startswith("["):
        return authority.partition("]")[0].lower() + "]"
    return authority.rpartition(":")[0].lower() if ":" in authority else authority.lower()


def _check_names(request: web.Request, names: frozenset[str]) -> None:
    host = request.headers.get("Host", "")
    if host_of(host) not in names:
        raise Stopped(421, f"{host[:60] or 'no host'}: not a name of this server; name it with --name")
    origin = request.headers.get("Origin")
    if (
        request.method not in ("GET", "HEAD")
        and origin is not None
        and host_of(origin.partition("://")[2]) not in names
    ):
        raise Stopped(403, f"{origin[:60]}: pages of other sites may not act here")
