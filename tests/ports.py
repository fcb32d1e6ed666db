"""Loopback ports for servers of tests, each kept for its finder until it has found many more.

A port that is only found free may have another owner by the time that its server has started. So a socket stays bound
to it that never listens: the kernel gives the port to no one who asks for any, and lets a server have it that asks for
this one, as all do that may be restarted (SO_REUSEADDR). They lie where no outgoing connection
gets one: a server that is down during a test of an outage finds its port free again.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from typing import Final

from contract.errors import Surroundings

PORTS: Final = range(20_000, 32_000)
KEPT: Final = 256

_kept: deque[socket.socket] = deque()


def free_port() -> int:
    """Returns a port of 127.0.0.1 for one server, which may start as often and as late as it likes."""
    for port in random.sample(PORTS, 100):
        keeper = socket.socket()
        try:
            keeper.bind(("127.0.0.1", port))
        except OSError:
            keeper.close()
            continue
        # Only now: while others are sought, a port that somebody keeps must not seem free.
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _kept.append(keeper)
        if len(_kept) > KEPT:
            _kept.popleft().close()
        return port
    raise Surroundings(f"no free port from {PORTS.start} to {PORTS.stop - 1}")
