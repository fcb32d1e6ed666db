"""A web server for tests: it keeps what is posted to it, as a receiver of alerts, and serves one page of metrics."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers.settings import LOOPBACK


class Listener:
    """A web server that keeps what is posted to it and serves `page`; it is up as a context."""

    def __init__(self, page: str = "") -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        listener = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                listener.messages.append((self.path.removeprefix("/"), message))
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Answer)
        self.port = self._server.server_address[1]
        self.url = f"http://{LOOPBACK}:{self.port}"

    def of(self, alert: str, appliance: str = "", status: str = "firing") -> list[tuple[str, int]]:
        """Returns receiver and number of alerts of each message about `alert`."""
        labels = {"alertname": alert} | ({"appliance": appliance} if appliance else {})
        return [
            (receiver, len(message["alerts"]))
            for receiver, message in list(self.messages)
            if message["groupLabels"] == labels and message["status"] == status
        ]

    def alerts(self, alert: str) -> list[dict[str, Any]]:
        """Returns the alerts of that name in all messages that said that they fire."""
        found = [message for _, message in list(self.messages) if message["status"] == "firing"]
        return [each for message in found for each in message["alerts"] if each["labels"]["alertname"] == alert]

    def __enter__(self) -> Listener:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
