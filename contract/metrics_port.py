"""A port at which Prometheus reads metrics, with bounds that prometheus_client's own server does not have."""

from __future__ import annotations

import math
import socket
import sys
import threading
import time
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from contract.errors import Surroundings

MOST: Final = 16
WHOLE_S: Final = 30.0  # for question and answer together; Prometheus itself gives up after 10
ROOM_S: Final = 0.5  # for one that is let go to be gone
LOOK_EVERY_S: Final = 0.5
BACKLOG: Final = 128


class _Silent(WSGIRequestHandler):
    """Logs no request."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the library's
        pass


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Has a thread for each connection, `most` of them, and lets none live longer than `whole_s`.

    Where there is no room the oldest connection is let go. One that comes while even that makes none is turned away.
    """

    daemon_threads = True
    request_queue_size = BACKLOG

    def __init__(self, bind: str, port: int, *, most: int = MOST, whole_s: float = WHOLE_S) -> None:
        self.address_family, *_, address = socket.getaddrinfo(
            bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self._whole_s = whole_s
        self._room = threading.BoundedSemaphore(most)
        self._here: dict[socket.socket, float] = {}  # oldest first, and until when each may live
        self._changing = threading.Lock()
        super().__init__((str(address[0]), port), _Silent)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of callers who are gone."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begins a thread when there is room."""
        if not self._room.acquire(blocking=False):
            self._let_go_oldest()
            if not self._room.acquire(timeout=ROOM_S):
                self.shutdown_request(request)
                return
        with self._changing:
            self._here[request] = time.monotonic() + self._whole_s
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers, and makes room again."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection; it is not touched any more afterwards, for its number may soon be another's."""
        with self._changing:
            self._here.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Lets go of those whose time is over; called once in each LOOK_EVERY_S at least."""
        while self._let_go_oldest(time.monotonic()):
            pass

    def _let_go_oldest(self, over_by_s: float = math.inf) -> bool:
        """Has reads and writes of a connection end that may live until then, and so its thread; returns whether."""
        with self._changing:
            request = next((here for here, until_s in self._here.items() if until_s <= over_by_s), None)
            if request is None:
                return False
            del self._here[request]
            with suppress(OSError):  # the caller is gone already
                request.shutdown(socket.SHUT_RDWR)
            return True


def serve_metrics(
    bind: str, port: int, registry: CollectorRegistry, keys: str
) -> tuple[MetricsServer, threading.Thread]:
    """Takes the port and serves `registry` in a thread of its own. Raises Surroundings, which names `keys`."""
    try:
        server = MetricsServer(bind, port)
    except OSError as error:
        raise Surroundings(f"{bind}:{port}: cannot listen ({error.strerror}); set {keys}") from error
    server.set_app(make_wsgi_app(registry))
    serving = threading.Thread(target=server.serve_forever, args=(LOOK_EVERY_S,), name="metrics", daemon=True)
    serving.start()
    return server, serving
