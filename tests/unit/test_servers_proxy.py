"""The line to a server that breaks on demand, with a server that remembers what it was sent."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.servers.proxy import BlackHole, Cut, FaultProxy, Garble, Pass, Refuse, Slow, Status

ANSWER = json.dumps({"items": list(range(200))}).encode()


class Server(ThreadingHTTPServer):
    """Answers every request with the same document and remembers the bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[bytes] = []
        self.connections = 0
        self.chunked = False

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(ANSWER), ANSWER))
        else:
            self.send_header("Content-Length", str(len(ANSWER)))
            self.end_headers()
            self.wfile.write(ANSWER)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(f"http://127.0.0.1:{server.server_port}") as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=5)
    yield client
    client.close()


def post(client: http.client.HTTPConnection, body: bytes = b"one") -> tuple[int, bytes]:
    client.request("POST", "/_bulk", body)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_pass_carries_request_and_answer_on_one_connection(
    proxy: FaultProxy, client: http.client.HTTPConnection, server: Server
) -> None:
    assert [post(client, body) for body in (b"one", b"two", b"x" * 3_000_000)] == [(200, ANSWER)] * 3
    assert [len(body) for body in server.got] == [3, 3, 3_000_000]
    assert server.connections == 1
    assert (proxy.requests, proxy.forwarded) == (3, 3)


def test_chunked_answers_pass(client: http.client.HTTPConnection, server: Server) -> None:
    server.chunked = True
    assert [post(client), post(client)] == [(200, ANSWER)] * 2


def test_answers_without_a_body_pass(client: http.client.HTTPConnection) -> None:
    client.request("HEAD", "/")
    assert client.getresponse().read() == b""
    assert post(client) == (200, ANSWER)


def test_refuse_closes_the_port_and_open_connections(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    post(client)
    proxy.switch(Refuse())
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        post(client)
    client.close()
    with pytest.raises(ConnectionRefusedError):
        post(client)


def test_the_port_is_the_same_after_an_outage(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    for _ in range(3):
        proxy.switch(Refuse())
        proxy.switch(Pass())
        client.close()
        assert post(client) == (200, ANSWER)


def test_a_black_hole_connects_and_never_answers(
    proxy: FaultProxy, client: http.client.HTTPConnection, server: Server
) -> None:
    proxy.switch(BlackHole())
    client.timeout = 0.2
    with pytest.raises(TimeoutError):
        post(client)
    assert server.got == []
    assert proxy.wait_for_requests(1)


def test_slow_answers_late(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.switch(Slow(delay_s=0.2))
    start_s = time.monotonic()
    assert post(client) == (200, ANSWER)
    assert time.monotonic() - start_s >= 0.2


def test_slow_trickles(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.switch(Slow(bytes_per_s=4 * len(ANSWER)))
    start_s = time.monotonic()
    assert post(client) == (200, ANSWER)
    assert time.monotonic() - start_s >= 0.24


def test_cut_leaves_the_client_in_the_dark_about_what_the_server_did(
    proxy: FaultProxy, client: http.client.HTTPConnection, server: Server
) -> None:
    proxy.switch(Cut())
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        post(client, b"kept")
    assert server.got == [b"kept"]


def test_status_is_answered_without_the_server(
    proxy: FaultProxy, client: http.client.HTTPConnection, server: Server
) -> None:
    proxy.switch(Status(429, retry_after_s=7))
    client.request("POST", "/_bulk", b"x")
    answer = client.getresponse()
    assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
    assert json.loads(answer.read())["status"] == 429
    assert server.got == []


def test_a_share_of_the_requests_is_refused(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.switch(Status(503, share=0.5))
    codes = [post(client)[0] for _ in range(60)]
    assert {200, 503} == set(codes)
    assert proxy.fates["Status"] == codes.count(503)
    assert proxy.fates["Pass"] == proxy.forwarded == codes.count(200)


def test_a_truncated_answer_ends_in_the_middle(proxy: FaultProxy, client: http.client.HTTPConnection) -> None:
    proxy.switch(Garble())
    with pytest.raises(http.client.IncompleteRead):
        post(client)


def test_an_answer_may_be_no_json(proxy: FaultProxy, client: http.client.HTTPConnection, server: Server) -> None:
    proxy.switch(Garble(truncated=False))
    status, body = post(client)
    assert (status, body[:6]) == (200, b"<html>")
    assert server.got == [b"one"]
    proxy.switch(Pass())
    assert post(client) == (200, ANSWER)


def test_a_server_that_is_away_ends_the_connection(
    proxy: FaultProxy, client: http.client.HTTPConnection, server: Server
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        post(client)


def test_many_clients_at_once(proxy: FaultProxy) -> None:
    answers: list[int] = []

    def work() -> None:
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        answers.extend(post(client)[0] for _ in range(20))
        client.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 200
    assert proxy.requests == 200
