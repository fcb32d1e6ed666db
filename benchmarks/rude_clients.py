"""Clients that don't keep to HTTP, or not to manners: each leaves the node's entrance as it found it."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final

RESET: Final = struct.pack("ii", 1, 0)  # closing with unsent data and no linger resets the connection


def knock(port: int) -> None:
    """Connects and goes away."""
    _talk(port, b"")


def babble(port: int) -> None:
    """Speaks no HTTP at all."""
    _talk(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 \xff\xfe\r\n\r\n", listen=True)


def break_off(port: int) -> None:
    """Goes away in the middle of a header."""
    _talk(port, b"GET /status HTTP/1.1\r\nHost: node\r\nX-Half: wo")


def promise_too_much(port: int) -> None:
    """Announces a body and goes away before it is whole."""
    _talk(port, b'POST /switch HTTP/1.1\r\nHost: n\r\nContent-Length: 5000\r\n\r\n{"id": "half')


def hang_up(port: int) -> None:
    """Asks, and resets the connection before the answer."""
    _talk(port, b"GET /journal HTTP/1.1\r\nHost: node\r\n\r\n", reset=True)


def ask_all_at_once(port: int) -> None:
    """Sends twenty requests in one go and reads none of the answers."""
    _talk(port, b"GET /cgi-bin/cloud_mode_active_cgi.py HTTP/1.1\r\nHost: node\r\n\r\n" * 20)


def talk_nonsense(port: int) -> None:
    """Asks for a switch that makes no sense."""
    body = b'{"id": "../../etc", "to": "Mars"}'
    head = f"POST /switch HTTP/1.1\r\nHost: n\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    _talk(port, head.encode() + b"Connection: close\r\n\r\n" + body, listen=True)


def shout(port: int) -> None:
    """Sends a header larger than any server takes."""
    _talk(port, b"GET / HTTP/1.1\r\nX-Large: " + b"a" * 100_000 + b"\r\n\r\n", listen=True)


def raise_the_voice(port: int) -> None:
    """Sends a header that is too long for one line, but not for a head."""
    _talk(port, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 10_000 + b"\r\n\r\n", listen=True)


def mumble(port: int) -> None:
    """Sends a head that almost is one."""
    _talk(port, b"GET /sta\x00tus HTTP/7.3\r\nHost : n\r\n\r\n", listen=True)


RUDE: Final[tuple[Callable[[int], None], ...]] = (
    *(knock, babble, break_off, promise_too_much),
    *(hang_up, ask_all_at_once, talk_nonsense, shout, raise_the_voice, mumble),
)


def _talk(port: int, words: bytes, *, listen: bool = False, reset: bool = False) -> None:
    # The node may hang up first: that is its right.
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(words)
        if listen:
            connection.recv(1 << 16)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
