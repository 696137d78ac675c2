"""An HTTP proxy that loses replies: the request was carried out, and nobody is told."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.services.server import LOOPBACK

_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
}  # of one connection, not of a reply


class Lossy:
    """Hands requests on to a port. The one that `lose` names is carried out, and its connection closed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self._server.daemon_threads = True
        self._lock = threading.Lock()
        self._nth: int | None = None
        self._requests = self.lost = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    def lose(self, nth: int | None) -> None:
        """Lose the reply to the nth request from now on, counted from 1; none, if none is named."""
        with self._lock:
            self._nth, self._requests, self.lost = nth, 0, 0

    def is_lost(self) -> bool:
        """Whether the reply to this request is."""
        with self._lock:
            self._requests += 1
            is_lost = self._requests == self._nth
            self.lost += is_lost
            return is_lost

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        lossy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65_537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                self._hand_on()

            def _hand_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                connection = http.client.HTTPConnection(LOOPBACK, lossy._target, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if lossy.is_lost():
                    self.close_connection = True
                    return
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in _HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler
