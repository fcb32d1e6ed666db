"""What stands before every request, asked about callers that a test on loopback cannot be."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from unittest.mock import Mock

from aiohttp import web
from aiohttp.http_exceptions import BadStatusLine
from aiohttp.test_utils import make_mocked_request

from contract.config import Http
from contract.request import BadRequest
from switcher.http import Guard, Rules, Unforeseen

OUTSIDE = Http(allow=["10.0.0.0/8", "127.0.0.0/8"])
TOKEN = "0123456789abcdef"  # noqa: S105 - of no node


def asked(
    rules: Rules, path: str, peer: str = "10.0.0.1", *, secure: bool = False, token: str = "", method: str = "GET"
) -> tuple[int, str]:
    """Returns status and body that a caller gets."""
    transport = Mock()
    infos: dict[str, object] = {"peername": (peer, 5)}
    transport.get_extra_info.side_effect = lambda name, default=None: infos.get(name) or default
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def handler(_request: web.Request) -> web.StreamResponse:
        if path == "/bad":
            raise BadRequest("no such thing")
        return web.Response(text="let in")

    async def ask() -> tuple[int, str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
        request = make_mocked_request(method, path, headers=headers, transport=transport, sslcontext=context)
        answer = await Guard(rules).handle(request, handler)
        assert isinstance(answer, web.Response)
        return answer.status, answer.text or ""

    return asyncio.run(ask())


def test_with_tls_the_api_is_plain_on_this_host_only_and_the_old_urls_everywhere() -> None:
    rules = Rules(OUTSIDE, "")
    rules.tls_port = 9443
    status, body = asked(rules, "/status")
    assert (status, json.loads(body)["error"]) == (
        403,
        "10.0.0.1 asks in plain text; the API is at https port 9443; see http.tls_port",
    )
    assert asked(rules, "/status", secure=True) == (200, "let in")
    assert asked(rules, "/status", "127.0.0.1") == (200, "let in")
    assert asked(rules, "/status", "::ffff:127.0.0.1") == (200, "let in")
    assert asked(rules, "/cgi-bin/exclude_cgi.py") == (200, "let in")


def test_a_token_opens_the_api_and_no_network() -> None:
    rules = Rules(OUTSIDE, TOKEN)
    assert asked(rules, "/status")[0] == 403
    assert asked(rules, "/status", token=TOKEN) == (200, "let in")
    assert asked(rules, "/status", token=TOKEN[:-1])[0] == 403
    assert asked(rules, "/status", "11.0.0.1", token=TOKEN)[0] == 403
    assert asked(rules, "/cgi-bin/runl_cgi.py") == (200, "let in")


def test_what_acts_costs_five_questions() -> None:
    rules = Rules(Http(allow=["10.0.0.0/8"], requests_per_s=0.001), "")
    answers = [asked(rules, "/cgi-bin/include_cgi.py")[0] for _ in range(3)]
    assert answers == [200, 200, 429]
    assert asked(rules, "/switch", "10.0.0.2", method="POST")[0] == 200
    assert [asked(rules, "/status", "10.0.0.2")[0] for _ in range(6)] == [200] * 5 + [429]


def test_a_bad_request_is_one_line() -> None:
    assert asked(Rules(OUTSIDE, ""), "/bad") == (400, "no such thing\n")


def test_a_malformed_request_makes_no_traceback_and_a_flood_of_them_few_lines() -> None:
    only = Unforeseen()
    logged = []
    for number in range(100):
        error = BadStatusLine("x")
        info = (type(error), error, None)
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "from %s", (f"10.0.0.{number}",), info)
        if only.filter(record):
            logged.append(record)
    assert len(logged) == 10
    assert logged[0].getMessage() == "from 10.0.0.0: malformed (BadStatusLine)"
    assert logged[0].exc_info is None
