"""The port for Prometheus with few connections and a short patience: real sockets, real threads."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge, make_wsgi_app

from contract.errors import Surroundings
from contract.metrics_port import MetricsServer, serve_metrics
from tests.integration.node import wait_for

MOST = 4


@contextmanager
def serving(whole_s: float) -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    Gauge("answer", "What is asked for.", registry=registry).set(42)
    server = MetricsServer("127.0.0.1", 0, most=MOST, whole_s=whole_s)
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def read(server: MetricsServer) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def call(server: MetricsServer, sent: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.server_port), timeout=60)
    client.sendall(sent)
    return client


def ended(client: socket.socket) -> bool:
    """Waits for the end, of which a reset is one kind."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_only_holds_connections_gives_way_to_prometheus() -> None:
    with serving(whole_s=3600.0) as server, ExitStack() as held:
        before = threading.active_count()
        clients = [held.enter_context(call(server, b"GET /metrics HTTP/1.1\r\n")) for _ in range(10 * MOST)]
        for _ in range(2 * MOST):
            assert "answer 42.0" in read(server)
        assert threading.active_count() - before <= MOST
        assert all(map(ended, clients[: 9 * MOST]))


@pytest.mark.parametrize("sent", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: "])
def test_a_request_that_goes_on_a_byte_at_a_time_is_not_waited_for(sent: bytes) -> None:
    with serving(whole_s=0.3) as server, call(server, sent) as client:
        over = threading.Event()

        def dribble() -> None:
            try:
                while not over.wait(0.02):
                    client.send(b"a")
            except OSError:
                return

        sending = threading.Thread(target=dribble)
        sending.start()
        try:
            assert ended(client)
        finally:
            over.set()
            sending.join()
        wait_for("its thread has ended", lambda: not server._here)
        assert "answer 42.0" in read(server)


def test_a_port_that_is_taken_is_one_line_with_a_remedy() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Surroundings, match=r"^127\.0\.0\.1:\d+: cannot listen \(Address already in use\); set a and b$"),
    ):
        serve_metrics("127.0.0.1", taken.getsockname()[1], CollectorRegistry(), "a and b")
