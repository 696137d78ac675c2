"""A TCP proxy in front of Redis that can lose a reply, or hold a request, as a network may."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.services.server import LOOPBACK

_CHUNK = 1 << 20
_SCRIPT_CALL = b"EVALSHA\r\n$40\r\n"


class RedisProxy:
    """Hands everything through, but for the calls of scripts (EVALSHA), of which it asks two questions.

    `before(n, sha)` runs before the nth call is handed on, and may wait. `loses(n, sha)` says whether its
    reply is dropped with the connection, after Redis has run it. n counts from 1, over all connections.
    """

    def __init__(
        self,
        redis_url: str,
        before: Callable[[int, str], None] = lambda _n, _sha: None,
        loses: Callable[[int, str], bool] = lambda _n, _sha: False,
    ) -> None:
        self._target = (urlsplit(redis_url).hostname or LOOPBACK, urlsplit(redis_url).port or 6379)
        self._before, self._loses = before, loses
        self._lock = threading.Lock()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.calls = self.lost = 0
        self.url = f"redis://{LOOPBACK}:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection: redis-py sends a command and waits for its reply before the next."""
        with client, socket.create_connection(self._target) as server:
            losing = threading.Event()
            threading.Thread(target=self._replies, args=(server, client, losing), daemon=True).start()
            try:
                while request := client.recv(_CHUNK):
                    self._hand_on(request, server, losing)
            except OSError:  # either side is gone, and so is the connection
                pass

    def _hand_on(self, request: bytes, server: socket.socket, losing: threading.Event) -> None:
        _, found, rest = request.partition(_SCRIPT_CALL)
        if found:
            sha = rest[:40].decode()
            with self._lock:
                self.calls += 1
                number = self.calls
            self._before(number, sha)
            if self._loses(number, sha):
                losing.set()
        server.sendall(request)

    def _replies(self, server: socket.socket, client: socket.socket, losing: threading.Event) -> None:
        try:
            while reply := server.recv(_CHUNK):
                if losing.is_set():
                    with self._lock:
                        self.lost += 1
                    break
                client.sendall(reply)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client is gone
            pass
