"""Mail against a real SMTP server."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from sinks.mail import Mail, Mailbox
from sinks.notices import Outcome
from tests.sinks.receiver import self_signed


class Inbox:
    """What the server was handed; `refuses` is what it says instead of taking a message."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refuses = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's name
        """Take a message."""
        if self.refuses:
            return self.refuses
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
        self.recipients += envelope.rcpt_tos
        return "250 OK"


@contextmanager
def server(**options: Any) -> Iterator[tuple[Inbox, int]]:
    """An SMTP server and its port."""
    handler = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port, ready_timeout=60, **options)
    controller.start()
    try:
        yield handler, port
    finally:
        controller.stop()


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    """Give an SMTP server of the test's own, and its port."""
    with server() as its:
        yield its


def mail(
    port: int,
    *,
    tls: Any = "none",
    timeout_s: float = 60,
    user: str | None = None,
    ca_file: str | None = None,
) -> Mail:
    """A mailbox behind that server. The password is the user's name."""
    to = ("team@acme.example", "bo@acme.example")
    return Mail(Mailbox(to, "nexus@acme.example", "127.0.0.1", port, tls, user, user, ca_file), timeout_s)


def body(subject: str, text: str) -> bytes:
    """The body of a notice."""
    return json.dumps({"subject": subject, "text": text}).encode()


def test_a_message_arrives(inbox: tuple[Inbox, int]) -> None:
    """Every recipient gets it, with the words as they were, and an id that stays over attempts."""
    handler, port = inbox
    for _ in range(2):
        assert mail(port).send("n-1", body("Zwei sind eins", "Ada Ł\nund Bo")) == Outcome("delivered")
    first, second = handler.messages
    assert first.get_content().strip().splitlines() == ["Ada Ł", "und Bo"]
    assert first["Message-ID"] == second["Message-ID"] == "<n-1@acme.example>"
    assert (first["Auto-Submitted"], first["Subject"]) == ("auto-generated", "Zwei sind eins")
    assert handler.recipients[:2] == ["team@acme.example", "bo@acme.example"]


def test_a_value_begins_no_header(inbox: tuple[Inbox, int]) -> None:
    """A line end in what comes from outside stays inside of the subject."""
    handler, port = inbox
    mail(port).send("n-1", body("Ada\r\nBcc: eve@evil.example\n\nx\x00", "text"))
    (message,) = handler.messages
    assert message["Subject"] == "Ada Bcc: eve@evil.example x"
    assert message["Bcc"] is None


@pytest.mark.parametrize("answer", ["451 later", "550 ada@acme.example is unknown"])
def test_what_is_refused_failed(inbox: tuple[Inbox, int], answer: str) -> None:
    """The code is told, and not the words, which may quote somebody."""
    handler, port = inbox
    handler.refuses = answer
    outcome = mail(port).send("n-1", body("s", "t"))
    assert outcome == Outcome("failed", f"SMTP {answer[:3]} (SMTPDataError)")


def test_without_tls_nothing_is_sent(inbox: tuple[Inbox, int]) -> None:
    """A server that does not offer the TLS that is asked for gets neither password nor message."""
    handler, port = inbox
    outcome = mail(port, tls="starttls", user="nexus").send("n-1", body("s", "t"))
    assert (outcome.verdict, outcome.detail) == ("failed", "no SMTP: SMTPNotSupportedError")
    assert handler.messages == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it is TLS all along
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
@pytest.mark.parametrize(("tls", "option"), [("tls", "ssl_context"), ("starttls", "tls_context")])
def test_a_certificate_must_be_trusted(tmp_path: Path, tls: str, option: str) -> None:
    """Else neither password nor message goes out; with one that is, the user is let in and heard."""
    certificate, context = self_signed(tmp_path), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    named: list[bytes] = []

    def let_in(*given: Any) -> AuthResult:
        named.append(given[-1].password)
        return AuthResult(success=True)

    options = {option: context, "auth_required": True, "auth_require_tls": tls == "starttls"}
    with server(**options, authenticator=let_in) as (handler, port):
        refused = mail(port, tls=tls, user="nexus").send("n-1", body("s", "t"))
        assert (refused.verdict, "certificate" in refused.detail) == ("failed", True)
        assert (named, handler.messages) == ([], [])
        trusting = mail(port, tls=tls, user="nexus", ca_file=str(certificate))
        assert trusting.send("n-1", body("s", "t")) == Outcome("delivered")
    assert named == [b"nexus"]
    assert len(handler.messages) == 1


def test_a_slow_drip_ends_in_time() -> None:
    """A server whose greeting comes a byte at a time is left after the time limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_drip, args=(server,), daemon=True).start()
        outcome = mail(server.getsockname()[1], timeout_s=0.5).send("n-1", body("s", "t"))
    assert outcome == Outcome("failed", "it took too long", is_down=True)


def _drip(server: socket.socket) -> None:
    client, _ = server.accept()
    with client:
        try:
            for _ in range(1000):
                client.sendall(b"2")
                time.sleep(0.05)
        except OSError:
            return


def test_a_server_that_is_away_is_down() -> None:
    """Then nothing else is tried there for a moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert mail(port).send("n-1", body("s", "t")) == Outcome("failed", "connection refused", is_down=True)
