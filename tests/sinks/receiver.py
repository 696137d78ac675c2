"""A real HTTP server on this machine that answers as it is told, and remembers what came."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        """The id of a webhook."""
        return self.headers["webhook-id"]

    def verified(self, secret: str = SECRET) -> Any:
        """The body, as the official library gives it after it has verified the signature."""
        return Webhook(secret).verify(self.body, dict(self.headers))


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """An answer with this status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {**headers, "content-length": "2"}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(b"ok")

    return answer


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send the head of the answer one byte at a time, so that no single wait is long."""
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-slow: " + b"." * 1000:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Send a body that does not end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"." * 65_536)


@dataclass
class Receiver:
    """The server. The nth request gets the nth answer, those behind the last one the last."""

    answers: list[Answer]
    port: int = 0
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks/nexus?of=test"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Remember a request, and answer it."""
        body = handler.rfile.read(int(handler.headers["content-length"]))
        with self._turn:
            self.received.append(Received(dict(handler.headers.items()), body, time.monotonic()))
            answer = self.answers[min(len(self.received), len(self.answers)) - 1]
        answer(handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def receiver(*answers: Answer, certificate: Path | None = None) -> Iterator[Receiver]:
    """Run a receiver; with a certificate, by TLS."""
    it = Receiver(list(answers) or [status(200)])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            it.take(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    it.port = server.server_address[1]
    if certificate is not None:
        it.scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key in the same file."""
    both = folder / "server.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    )
    done = subprocess.run(
        [*command.split(), "-keyout", "-", "-out", "-"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    both.write_text(done.stdout)
    return both
