"""The HTTP entrance: who may come in, and what every answer has in common."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from contract.config import Http
from contract.errors import HltmodeError
from switcher import api, cgi
from switcher.node import Switcher

log = logging.getLogger(__name__)

LARGEST_BODY_BYTES: Final = 16 << 10
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(switcher: Switcher, settings: Http, token: str) -> web.Application:
    """Returns the application with the CGI URLs of old callers and the JSON API."""
    networks = [ipaddress.ip_network(network) for network in settings.allow]

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        address = ipaddress.ip_address(request.remote or "0.0.0.0")  # noqa: S104 - nobody's address, in no network
        if not any(address in network for network in networks):
            log.warning("%s: refused to %s; see http.allow", request.path, address)
            return web.Response(status=403, text=f"{address} may not ask here\n")
        try:
            return await handler(request)
        except HltmodeError as error:
            log.warning("%s from %s: %s", request.path_qs[:200], address, error)
            return web.Response(status=400, text=f"{error}\n")

    application = web.Application(middlewares=[_close_cgi, guard], client_max_size=LARGEST_BODY_BYTES)
    cgi.add_routes(application, switcher)
    api.add_routes(application, switcher, token)
    return application


@web.middleware
async def _close_cgi(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.force_close()
        raise
    if request.path.startswith(cgi.FOLDER):
        response.force_close()
    return response
