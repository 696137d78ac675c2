"""One POST to a URL that somebody else runs, who may be slow, broken or hostile.

What may be relied on:

- An attempt ends within its time limit, however slowly an answer drips. (Only looking a name up takes as long
  as the system's resolver does.)
- Of an answer's body at most some kilobytes are read; of its head, what http.client allows (a hundred lines).
  A redirect is an answer like any other: it is not followed.
- Unless private addresses are allowed, what is connected to is a public address: the name is looked up, the
  addresses are judged, and the connection is made to one of those, not to the name. So no second look-up can
  give another one (DNS rebinding).
- No proxy of the environment is used.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import urlsplit

from sinks.notices import Outcome, of_connection

_ANSWER_BYTES = 64 * 1024
_REST_S = 1.0  # for the rest of an answer whose status is known
_IDLE_S = 30.0  # a connection that rested longer is not used again
_LONGEST_PAUSE_S = 24 * 3600.0  # that an endpoint may ask for
_DOWN = {429, 502, 503, 504}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # whatever IPv6 has given out to the public

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(OSError):
    """The name has no address that may be connected to."""


class Poster:
    """Posts to one URL, over one connection that is kept while it works. Used by one thread."""

    def __init__(
        self, url: str, *, timeout_s: float, allow_private: bool = False, ca_file: str | None = None
    ) -> None:
        parts = urlsplit(url)
        self._host, self._is_tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s, self._allow_private, self._ca_file = timeout_s, allow_private, ca_file
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """One attempt. A connection that the other side had closed meanwhile is replaced once."""
        deadline = time.monotonic() + self._timeout_s
        if self._connection is not None and time.monotonic() - self._used > _IDLE_S:
            self.close()
        is_used = self._connection is not None
        try:
            try:
                return self._attempt(body, headers, deadline)
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
                self.close()
                if not is_used:
                    raise
                return self._attempt(body, headers, deadline)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is an attempt that failed
            self.close()
            return Outcome("failed", _told(error), is_down=True)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _attempt(self, body: bytes, headers: Mapping[str, str], deadline: float) -> Outcome:
        connection = self._connection = self._connection or self._connected(deadline)
        cast("_Timed", connection.sock).deadline = deadline
        connection.request("POST", self._target, body, dict(headers))
        answer = connection.getresponse()
        outcome = _judged(answer.status, answer.headers.get("retry-after"))
        self._used = time.monotonic()
        if answer.will_close or not self._is_drained(answer):
            self.close()
        return outcome

    def _is_drained(self, answer: http.client.HTTPResponse) -> bool:
        """Whether the connection can be used again, since what is left of the answer is short and comes."""
        cast("_Timed", cast("http.client.HTTPConnection", self._connection).sock).deadline = (
            self._used + _REST_S
        )
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer.read(_ANSWER_BYTES)
        return answer.isclosed()

    def _connected(self, deadline: float) -> http.client.HTTPConnection:
        plain = self._socket(deadline)
        try:
            connected = self._secured(plain, deadline)
        except BaseException:
            plain.close()
            raise
        connection = http.client.HTTPConnection(self._authority())
        connection.auto_open = 0  # or it would connect by itself, to whatever the name says then
        connection.sock = cast("socket.socket", _Timed(connected, deadline))
        return connection

    def _authority(self) -> str:
        """The Host header's value."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return host if self._port == (443 if self._is_tls else 80) else f"{host}:{self._port}"

    def _socket(self, deadline: float) -> socket.socket:
        """A connection to the first address that takes one; none of them may use up the time of all."""
        error: OSError = Refused(f"{self._host} has no address")
        addresses = self._addresses()
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                plain = socket.create_connection((address, self._port), _left(deadline) / left)
            except OSError as failure:
                error = failure
            else:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the body follows the headers
                return plain
        raise error

    def _addresses(self) -> list[str]:
        """The addresses that may be connected to. Refused if there are only others."""
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not self._allow_private:
            addresses = [one for one in addresses if is_public(one)]
        if not addresses:
            raise Refused("the address is private; allow_private would allow it")
        return addresses

    def _secured(self, plain: socket.socket, deadline: float) -> socket.socket:
        if not self._is_tls:
            return plain
        if self._context is None:  # to read all certificates takes longer than to send
            self._context = ssl.create_default_context(cafile=self._ca_file)
        plain.settimeout(_left(deadline))
        return self._context.wrap_socket(plain, server_hostname=self._host)


class _Timed(io.RawIOBase):
    """A socket as http.client uses it, each of whose waits ends at one deadline."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        super().__init__()
        self.deadline, self._socket = deadline, plain

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:  # piece by piece: over TLS `sendall` would wait anew for each
            self._socket.settimeout(_left(self.deadline))
            rest = rest[self._socket.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self))

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_left(self.deadline))
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        self._socket.close()
        super().close()


class _Reading(io.RawIOBase):
    """What is read of one answer; the connection outlives it."""

    def __init__(self, timed: _Timed) -> None:
        super().__init__()
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._timed.readinto(buffer)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, and not one that leads elsewhere in disguise."""
    parsed: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return _is_public(parsed)
    inner = _inside(parsed)
    return _is_public(inner) if inner is not None else parsed in _UNICAST and _is_public(parsed)


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, translated or tunnelled."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _judged(status: int, retry_after: str | None) -> Outcome:
    if 200 <= status < 300:
        return Outcome("delivered")
    if status == 410:
        return Outcome("gone", "status 410")
    pause_s = _pause(retry_after) if status in (429, 503) else None
    return Outcome("failed", f"status {status}", pause_s, is_down=status in _DOWN)


def _pause(retry_after: str | None) -> float | None:
    """Seconds that a retry-after asks for: a number of them, or a date."""
    if retry_after is None:
        return None
    try:
        pause_s = float(int(retry_after))
    except ValueError:
        try:
            until = parsedate_to_datetime(retry_after)
            pause_s = (until.astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(pause_s, 0.0), _LONGEST_PAUSE_S)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _told(error: Exception) -> str:
    """Why an attempt failed, in words that hold no part of the URL and none of the answer."""
    if isinstance(error, Refused):
        return str(error)
    return of_connection(error) or f"no HTTP: {type(error).__name__}"
