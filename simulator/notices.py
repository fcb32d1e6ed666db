"""What a BU tells its filter units: one GET each, on its own, with a time-out, so that a dead one delays nobody."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final, NamedTuple

LARGEST_ANSWER_BYTES: Final = 64 << 10


class Notice(NamedTuple):
    """One notice: to whom, where, what for people and what as a URL's path."""

    host: str
    ip: str
    port: int
    what: str
    path: str


def start_path(run: int, bu: str = "") -> str:
    """Returns the path that announces a run."""
    return f"/cgi-bin/start_cgi.py?run={run}" + (f"&buname={bu}" if bu else "")


def stop_path(run: int) -> str:
    """Returns the path that announces the end of a run."""
    return f"/cgi-bin/stop_cgi.py?run={run}"


async def send(notice: Notice, timeout_s: float) -> str:
    """Sends one notice and returns what came of it, in one line. Never raises for what the other side does."""
    where = f"{notice.host} ({notice.ip}:{notice.port})"
    try:
        if not ipaddress.ip_address(notice.ip).is_loopback:
            return f"not notified: {where} of {notice.what}: a simulated BU speaks to loopback addresses only"
    except ValueError:
        return f"not notified: {where} of {notice.what}: its box has no address"
    try:
        async with asyncio.timeout(timeout_s):
            status = await _get(notice)
    except TimeoutError:
        return f"not notified: {where} of {notice.what}: no answer within {timeout_s:g} s"
    except (OSError, ValueError) as error:
        return f"not notified: {where} of {notice.what}: {error}"
    return f"notified: {where} of {notice.what}: {status}"


async def _get(notice: Notice) -> int:
    """Returns the status of a GET once the whole answer is there. Raises OSError or ValueError."""
    reader, writer = await asyncio.open_connection(notice.ip, notice.port)
    try:
        host = f"[{notice.ip}]" if ":" in notice.ip else notice.ip
        writer.write(f"GET {notice.path} HTTP/1.0\r\nHost: {host}:{notice.port}\r\n\r\n".encode())
        await writer.drain()
        answer = await reader.read(LARGEST_ANSWER_BYTES)
        while chunk := await reader.read(LARGEST_ANSWER_BYTES):
            if len(answer) < LARGEST_ANSWER_BYTES:
                answer += chunk
    finally:
        writer.close()
    protocol, _, rest = answer.partition(b" ")
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError("its answer is not HTTP")
    return int(rest[:3])
