"""What an endpoint of notifications promises, whatever is behind it: a webhook, a chat, a mailbox.

`send` makes one attempt to hand over one notice and returns what came of it, within the endpoint's time
limit. It raises nothing. The id of a notice stays over all attempts, so who gets it twice can tell. What is
said about a failure never holds anything of the notice, nor of the address beyond its host.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Literal, Protocol

Verdict = Literal["delivered", "failed", "gone"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt. `gone`: the endpoint wants nothing any more.

    `retry_after_s`: the endpoint asks for so much time. `is_down`: it is the endpoint that is unwell and not
    this notice, so others need not be tried just now.
    """

    verdict: Verdict
    detail: str = ""
    retry_after_s: float | None = None
    is_down: bool = False


class NoticeSink(Protocol):
    """One endpoint, used by one thread."""

    def send(self, notice_id: str, body: bytes) -> Outcome:
        """Attempt to deliver it."""

    def close(self) -> None:
        """Let go of the connection."""


def of_connection(error: Exception) -> str | None:
    """Why a connection failed, in words that hold nothing of who is behind it; None for another error."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason}"
        case socket.gaierror():
            return "the name is not known"
        case TimeoutError():
            return "it took too long"
        case OSError() if error.strerror:
            return error.strerror.lower()
    return None
