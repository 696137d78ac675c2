"""Webhooks by the Standard Webhooks specification (https://www.standardwebhooks.com).

The body is `{"type": ..., "timestamp": ..., "data": ...}`. It is signed with each of the endpoint's secrets,
so that one can replace another while both are known: HMAC-SHA256 over id, time of the attempt and body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence

from sinks.http_post import Poster
from sinks.notices import Outcome


class Webhook:
    """A NoticeSink that is a webhook. `keys` are the secrets, decoded."""

    def __init__(self, poster: Poster, keys: Sequence[bytes]) -> None:
        self._poster, self._keys = poster, keys

    def send(self, notice_id: str, body: bytes) -> Outcome:
        """Attempt to deliver it: any status 200 to 299 is a success, 410 says that the endpoint is gone."""
        now = int(time.time())
        headers = {
            "content-type": "application/json",
            "user-agent": "nexus-resolver",
            "webhook-id": notice_id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(signature(key, notice_id, now, body) for key in self._keys),
        }
        return self._poster.post(body, headers)

    def close(self) -> None:
        """Let go of the connection."""
        self._poster.close()


def signature(key: bytes, notice_id: str, timestamp: int, body: bytes) -> str:
    """The signature of one message by one secret."""
    signed = b"%b.%d.%b" % (notice_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
