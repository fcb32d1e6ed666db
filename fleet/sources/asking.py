"""One HTTP question to a server that knows nodes: bounded in time and bytes, and every failure a line for people."""

from __future__ import annotations

import ssl
from typing import Final, NamedTuple

import aiohttp

from fleet.sources.found import BadSource

LARGEST_BYTES: Final = 64 << 20
CHUNK_BYTES: Final = 1 << 16


class NotReached(BadSource):
    """Nobody listens there, or the connection broke: another host of the same server may be better."""


class Way(NamedTuple):
    """How a server is asked: `source` is its name in errors, `tls` whom to trust, None the machine's own list."""

    source: str
    within_s: float
    headers: dict[str, str]
    tls: ssl.SSLContext | None = None


async def ask(way: Way, url: str, *, arguments: dict[str, str], body: bytes | None = None) -> tuple[int, bytes]:
    """Returns status and body of a GET, or of a POST when there is a `body`. Raises BadSource."""
    timeout = aiohttp.ClientTimeout(total=way.within_s)
    headers = way.headers | ({"Content-Type": "application/json"} if body is not None else {})
    method = "GET" if body is None else "POST"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.request(
                method, url, params=arguments, data=body, ssl=way.tls or True, allow_redirects=False
            ) as response,
        ):
            return response.status, await _bounded(way, response)
    except aiohttp.ClientConnectorCertificateError as error:
        raise BadSource(f"{way.source}: certificate not trusted ({error.certificate_error})") from error
    except aiohttp.ClientConnectorError as error:
        raise NotReached(f"{way.source}: not reached ({error.strerror or error}); is the address right?") from error
    except TimeoutError as error:
        raise NotReached(f"{way.source}: no answer within {way.within_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise NotReached(f"{way.source}: the connection broke, or it speaks no HTTP ({words})") from error


async def _bounded(way: Way, response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        content += chunk
        if len(content) > LARGEST_BYTES:
            raise BadSource(f"{way.source}: an answer of more than {LARGEST_BYTES >> 20} MiB; not what was asked for")
    return bytes(content)


def short(body: bytes) -> str:
    """Returns the beginning of what a server said, in a line."""
    return " ".join(body.decode(errors="replace").split())[:200]
