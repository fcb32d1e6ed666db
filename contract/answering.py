"""Between aiohttp's requests and the door that they came through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from contract.connection import Connection


def connection_of(request: web.BaseRequest) -> Connection | None:
    """Returns the connection of a request; None when it came through no door, or is gone."""
    connection = request.transport.get_protocol() if request.transport else None
    return connection if isinstance(connection, Connection) else None


@web.middleware
async def tell_door(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tells the connection when its request is dealt with; stands before all other middlewares."""
    connection = connection_of(request)
    if connection is None:
        return await handler(request)
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.force_close()
        raise
    else:
        if connection.last:
            response.force_close()
        return response
    finally:
        connection.answered()
