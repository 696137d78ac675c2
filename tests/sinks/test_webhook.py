"""Webhooks against a real HTTP server: what counts as delivered, and what a hostile endpoint can do."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from flows.notices import key_of
from sinks.http_post import Poster, is_public
from sinks.notices import Outcome
from sinks.slack import Slack, escaped
from sinks.webhook import Webhook
from tests.sinks.receiver import SECRET, Receiver, drip, endless, receiver, self_signed, status

OTHER = "whsec_b3RoZXIgc2VjcmV0LCBvdGhlciBzZWNyZXQ="
BODY = json.dumps({"type": "nexus.entities_merged", "data": {"name": "Ada Ł"}}, ensure_ascii=False).encode()


def webhook(to: Receiver, *secrets: str, timeout_s: float = 60, ca_file: Path | None = None) -> Webhook:
    """A webhook that may send to this machine."""
    named = None if ca_file is None else str(ca_file)
    poster = Poster(to.url, timeout_s=timeout_s, allow_private=True, ca_file=named)
    return Webhook(poster, [key_of(secret) for secret in secrets or (SECRET,)])


def test_a_notice_is_signed_as_the_official_library_wants_it() -> None:
    """Id, time and body are verified; another body would not be."""
    with receiver() as to:
        assert webhook(to).send("n-1", BODY) == Outcome("delivered")
    (got,) = to.received
    assert got.verified() == json.loads(BODY)
    assert (got.id, got.headers["content-type"]) == ("n-1", "application/json")
    with pytest.raises(WebhookVerificationError):
        got.verified(OTHER)


def test_while_a_secret_is_changed_both_verify() -> None:
    """With two secrets a receiver may know either."""
    with receiver() as to:
        webhook(to, OTHER, SECRET).send("n-1", BODY)
    assert to.received[0].verified(SECRET) == to.received[0].verified(OTHER) == json.loads(BODY)


@pytest.mark.parametrize(
    ("code", "verdict", "is_down"),
    [(204, "delivered", False), (500, "failed", False), (404, "failed", False), (503, "failed", True),
     (410, "gone", False)],
)  # fmt: skip
def test_the_status_decides(code: int, verdict: str, is_down: bool) -> None:
    """200 to 299 is a delivery, 410 the end, anything else a failure."""
    with receiver(status(code)) as to:
        outcome = webhook(to).send("n-1", BODY)
    assert (outcome.verdict, outcome.is_down) == (verdict, is_down)


def test_a_redirect_is_not_followed() -> None:
    """Whoever may be there, the message does not go there."""
    with receiver() as elsewhere, receiver(status(307, location=elsewhere.url)) as to:
        assert webhook(to).send("n-1", BODY) == Outcome("failed", "status 307")
    assert elsewhere.received == []


def test_retry_after_is_seconds_or_a_date() -> None:
    """Both are understood, with 429 and 503; nonsense is not."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    answers = [status(429, retry_after="7"), status(503, retry_after=soon), status(429, retry_after="later")]
    with receiver(*answers) as to:
        sink = webhook(to)
        pauses = [sink.send("n-1", BODY).retry_after_s for _ in answers]
    assert pauses[0] == 7
    assert pauses[1] is not None
    assert 0 < pauses[1] <= 1000
    assert pauses[2] is None


def test_a_slow_drip_ends_in_time() -> None:
    """An answer of which a byte comes now and then is given up, though no wait for a byte is long."""
    with receiver(drip) as to:
        outcome = webhook(to, timeout_s=0.5).send("n-1", BODY)
    assert outcome == Outcome("failed", "it took too long", is_down=True)


def test_who_does_not_read_is_left_in_time() -> None:
    """A message that fills all buffers of a connection that nobody reads is given up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        poster = Poster(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=0.5, allow_private=True)
        outcome = Slack(poster).send("n-1", bytes(64 * 1024 * 1024))
    assert outcome == Outcome("failed", "it took too long", is_down=True)


def test_an_endless_answer_is_not_read() -> None:
    """Its status counts, and the next message goes over another connection."""
    with receiver(endless) as to:
        sink = webhook(to)
        assert [sink.send("n-1", BODY).verdict for _ in range(2)] == ["delivered"] * 2


def test_a_connection_is_used_again() -> None:
    """Two messages, one connection; one that the other side has closed meanwhile is replaced."""
    with receiver(status(200), status(200, connection="close"), status(200)) as to:
        sink = webhook(to)
        ports = set()
        for _ in range(3):
            assert sink.send("n-1", BODY).verdict == "delivered"
            ports.add(sink._poster._connection is None)
    assert len(to.received) == 3
    assert ports == {True, False}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    """A self-signed one is refused, unless it is the one to trust."""
    certificate = self_signed(tmp_path)
    with receiver(certificate=certificate) as to:
        refused = webhook(to).send("n-1", BODY)
        assert (refused.verdict, "certificate" in refused.detail) == ("failed", True)
        assert to.received == []
        assert webhook(to, ca_file=certificate).send("n-1", BODY).verdict == "delivered"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_private_addresses_are_refused(host: str) -> None:
    """What a name leads to counts, not how it is written; nothing is connected to."""
    with receiver() as to:
        url = to.url.replace("127.0.0.1", host)
        outcome = Slack(Poster(url, timeout_s=60)).send("n-1", BODY)
    assert "private" in outcome.detail
    assert to.received == []


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("2001:4860:4860::8888", True), ("10.1.2.3", False), ("100.64.0.1", False),
     ("0.0.0.0", False), ("224.0.0.1", False), ("240.0.0.1", False), ("fe80::1%eth0", False),
     ("fd00::1", False), ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::", False),
     ("64:ff9b::808:808", True), ("64:ff9b:1::808:808", False), ("fec0::1", False), ("::7f00:1", False),
     ("::ffff:0:8.8.8.8", False), ("4000::1", False)],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    """Also where a private IPv4 address is dressed up as an IPv6 one."""
    assert is_public(address) == public


class Names:
    """A resolver that gives another answer each time, and notes whom one then connects to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
        self.answers, self.connected = list(answers), list[str]()
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)
        monkeypatch.setattr(socket, "create_connection", self.create_connection)

    def getaddrinfo(self, _host: str, port: int, **_: object) -> list[Any]:
        """The next answer."""
        return [(0, 0, 0, "", (address, port)) for address in self.answers.pop(0)]

    def create_connection(self, place: tuple[str, int], timeout: float) -> socket.socket:
        """Nothing goes out of this machine."""
        self.connected.append(place[0])
        raise ConnectionRefusedError(111, "Connection refused")


def test_the_address_that_was_judged_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to a public address when it is looked up, and to a private one a moment later."""
    names = Names(monkeypatch, ("8.8.8.8",), ("127.0.0.1",), ("127.0.0.1",))
    poster = Poster("https://rebound.example/", timeout_s=60)
    first, second = (Slack(poster).send("n-1", BODY).detail for _ in range(2))
    assert (first, names.connected) == ("connection refused", ["8.8.8.8"])
    assert "private" in second


def test_of_several_addresses_only_public_ones_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, until one takes the connection."""
    names = Names(monkeypatch, ("10.0.0.1", "8.8.8.8", "::ffff:127.0.0.1", "2001:4860:4860::8888"))
    Slack(Poster("https://many.example/", timeout_s=60)).send("n-1", BODY)
    assert names.connected == ["8.8.8.8", "2001:4860:4860::8888"]


def test_what_failed_is_told_without_the_url() -> None:
    """The path of a URL may be a secret: a refused connection does not show it."""
    with receiver() as to:
        url = to.url
    outcome = Slack(Poster(url, timeout_s=60, allow_private=True)).send("n-1", BODY)
    assert outcome == Outcome("failed", "connection refused", is_down=True)


def test_slack_text_mentions_nobody() -> None:
    """What comes from outside can neither call a channel nor be a link."""
    assert (
        escaped("<!channel> & <https://evil.example|x>")
        == "&lt;!channel&gt; &amp; &lt;https://evil.example|x&gt;"
    )
