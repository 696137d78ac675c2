"""E-mail through an SMTP server."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from sinks.notices import Outcome, of_connection

_LONGEST_SUBJECT = 200
_CUT_S = 0.05


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Who is written to, and through which server."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None


class Mail:
    """A NoticeSink that is a mailbox; a connection for each message.

    The body of a notice is `{"subject": ..., "text": ...}`. A message that one of several addresses took is
    delivered. Its Message-ID is the notice's id, so that mail readers show a copy once.
    """

    def __init__(self, mailbox: Mailbox, timeout_s: float) -> None:
        self._mailbox, self._timeout_s = mailbox, timeout_s

    def send(self, notice_id: str, body: bytes) -> Outcome:
        """Attempt to deliver it."""
        try:
            self._send(self._message(notice_id, json.loads(body)))
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is an attempt that failed
            is_down = not isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPDataError)
            return Outcome("failed", _told(error), is_down=is_down)
        return Outcome("delivered")

    def close(self) -> None:
        """No connection is kept."""

    def _message(self, notice_id: str, body: dict[str, str]) -> EmailMessage:
        box, message = self._mailbox, EmailMessage()
        message["From"], message["To"] = box.sender, ", ".join(box.to)
        message["Subject"] = one_line(body["subject"])
        message["Message-ID"] = f"<{notice_id}@{box.sender.rpartition('@')[2]}>"
        message["Date"] = formatdate(usegmt=True)
        message["Auto-Submitted"] = "auto-generated"  # or somebody's out-of-office note comes back
        message.set_content(body["text"])
        return message

    def _send(self, message: EmailMessage) -> None:
        """All of it within the time limit: smtplib's own is for each wait alone."""
        done, is_late = threading.Event(), threading.Event()
        server = self._unconnected()
        watching = (server, self._timeout_s, done, is_late)
        threading.Thread(target=_cut_when_late, args=watching, daemon=True).start()
        try:
            server.connect(self._mailbox.host, self._mailbox.port)
            server.ehlo_or_helo_if_needed()
            if self._mailbox.tls == "starttls":
                server.starttls(context=self._context())
            if self._mailbox.user is not None:
                server.login(self._mailbox.user, self._mailbox.password or "")
            server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise TimeoutError if is_late.is_set() else error from None
        finally:
            done.set()
            server.close()

    def _unconnected(self) -> smtplib.SMTP:
        server: smtplib.SMTP
        if self._mailbox.tls == "tls":
            server = smtplib.SMTP_SSL(timeout=self._timeout_s, context=self._context())
        else:
            server = smtplib.SMTP(timeout=self._timeout_s)
        # What the certificate must name. smtplib sets it only if it may connect at once.
        server._host = self._mailbox.host  # type: ignore[attr-defined]  # -- not in the stubs
        return server

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._mailbox.ca_file)


def one_line(text: str) -> str:
    """Text for a header: a line end in it would begin another header."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:_LONGEST_SUBJECT]


def _cut_when_late(
    server: smtplib.SMTP, timeout_s: float, done: threading.Event, is_late: threading.Event
) -> None:
    """Cut the connection when the time is up, and again until the attempt has ended: it may be one that was
    not there yet, or that TLS has taken over since.
    """
    done.wait(timeout_s)
    while not done.wait(_CUT_S):
        is_late.set()
        plain = server.sock
        if plain is not None:
            with suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)


def _told(error: Exception) -> str:
    """Why an attempt failed: what the server says may quote addresses, so its code alone."""
    match error:
        case smtplib.SMTPResponseException():
            return f"SMTP {error.smtp_code} ({type(error).__name__})"
        case smtplib.SMTPRecipientsRefused():
            return "every recipient is refused"
    return of_connection(error) or f"no SMTP: {type(error).__name__}"
