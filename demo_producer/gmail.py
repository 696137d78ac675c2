"""Gmail messages in the shape that the API gives them in, as a support team's mailbox holds them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from email.utils import format_datetime, formataddr
from typing import NamedTuple

from demo_producer.calls import Call, Payload
from demo_producer.moments import Moment, instant


class Mailbox(NamedTuple):
    """A name and an address, as they stand in a header."""

    name: str
    address: str


def mail(
    sender: Mailbox,
    to: Sequence[Mailbox],
    moment: Moment,
    *,
    thread: str,
    subject: str,
    text: str,
    cc: Sequence[Mailbox] = (),
) -> Call:
    """A mail of plain text. `thread` is the id of the conversation that it belongs to."""
    mail_id = moment.chance.hex(16)
    headers = {
        "From": formataddr(sender),
        "To": _listed(to),
        **({"Cc": _listed(cc)} if cc else {}),
        "Subject": subject,
        "Date": format_datetime(instant(moment.at_ms)),
        "Message-ID": f"<{moment.chance.hex()}@{sender.address.partition('@')[2]}>",
    }
    payload: Payload = {
        "id": mail_id,
        "threadId": thread,
        "labelIds": ["INBOX"],
        "snippet": text[:100],
        "historyId": str(moment.at_ms // 1_000),
        "internalDate": str(moment.at_ms),
        "payload": _plain_text(headers, text),
        "sizeEstimate": 400 + len(text),
    }
    return Call("gmail", thread, payload)


def _plain_text(headers: dict[str, str], text: str) -> Payload:
    data = text.encode()
    return {
        "partId": "",
        "mimeType": "text/plain",
        "filename": "",
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "body": {"size": len(data), "data": urlsafe_b64encode(data).decode()},
    }


def _listed(mailboxes: Sequence[Mailbox]) -> str:
    return ", ".join(formataddr(each) for each in mailboxes)
