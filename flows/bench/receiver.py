"""Somebody who is told: an HTTP server in a process of its own, which notes when each webhook came."""

import contextlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import NamedTuple

_CONTEXT = multiprocessing.get_context("spawn")
_READY_S = 60.0


class Arrival(NamedTuple):
    """A webhook: when it was in hand (ns), and its body."""

    at: int
    body: bytes


class Receiver(NamedTuple):
    """Where it listens, and whom to ask (by sending anything) for its list of arrivals."""

    port: int
    asked: Connection


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that is there within the block."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_receive, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        if not here.poll(_READY_S):
            raise TimeoutError("the receiver did not start")
        yield Receiver(here.recv(), here)
    finally:
        here.close()
        process.join(30)


def _receive(connection: Connection) -> None:
    arrivals: list[Arrival] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrivals.append(Arrival(time.monotonic_ns(), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        connection.send(server.server_address[1])
        while True:
            connection.recv()
            connection.send(arrivals)
