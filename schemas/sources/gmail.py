"""Gmail messages, as the API gives them, alone or in a thread: https://developers.google.com/workspace/gmail/api

Also as connectors flatten them: `sender` and `recipients` beside the id, or a row with either in its column
`record`.

**Who.** Everybody in `From` (role `sender`), `To` (`recipient`), `Cc` and `Bcc`, known by `email`, with the
name that stands beside the address. What else a header or the text holds names nobody: `Reply-To` and
`Return-Path` are machines' as often as not, and quoted mails are somebody else's.

**Companies.** By the domain of each address, free mail aside (`schemas.companies`).

**When.** `internalDate`, which is Gmail's own; without it the header `Date`, else on arrival.

**Which.** The message's `id`. Each mailbox that holds a mail has an id of its own for it.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import Draft, assemble, assemble_one_or_each
from schemas.companies import companies
from schemas.errors import BadMessage
from schemas.events import MAX_INSTANT_MS, Decoded, Event, Json, Message
from schemas.identifiers import MakeIdentifier
from schemas.instants import parse_instant
from schemas.mailboxes import mailboxes
from schemas.rows import from_row
from schemas.validation import refusal

SOURCE = "gmail"

_ROLES = {"from": "sender", "to": "recipient", "cc": "cc", "bcc": "bcc"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_DATE = 100


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class GmailHeader(_Shape):
    """A header of the mail, as it was received."""

    name: str
    value: str


class GmailPayload(_Shape):
    """The outermost part of the mail."""

    headers: list[GmailHeader]


class GmailMessage(_Shape):
    """A message resource in the formats `full` and `metadata`; `minimal` and `raw` have no headers."""

    id: Annotated[str, Field(min_length=1)]
    label_ids: list[str] = Field(default_factory=list, alias="labelIds")
    internal_date: str | int | None = Field(
        None, alias="internalDate", description="Milliseconds since 1970."
    )
    payload: GmailPayload


class FlatMessage(_Shape):
    """What connectors make of it: the headers as fields, the date in RFC 3339."""

    id: Annotated[str, Field(min_length=1)]
    date: str | None = None
    sender: str
    recipients: str | list[str] | None = None
    cc: str | list[str] | None = None
    bcc: str | list[str] | None = None


_validate = GmailMessage.__pydantic_validator__.validate_python
_validate_flat = FlatMessage.__pydantic_validator__.validate_python
_Addresses = Iterable[tuple[str, str]]  # a role and the value of a header


class GmailMessages:
    """The format `gmail`: a message is one mail, or a thread with its `messages`."""

    name = "gmail"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """One event per mail, or none where a mail names nobody."""
        record = from_row(payload, "record")
        return assemble_one_or_each(record, "messages", lambda mail: _event(mail, message, make))


def _event(record: Json, message: Message, make: MakeIdentifier) -> Event | None:
    try:
        if isinstance(record, dict) and "sender" in record and "payload" not in record:
            return _of_flat(_validate_flat(record), message, make)
        return _of_resource(_validate(record), message, make)
    except ValidationError as error:
        raise refusal(error) from None


def _of_resource(mail: GmailMessage, message: Message, make: MakeIdentifier) -> Event | None:
    headers = [(each.name.lower(), each.value) for each in mail.payload.headers]
    addresses = ((_ROLES[name], value) for name, value in headers if name in _ROLES)
    dates = (value for name, value in headers if name == "date")
    return _mail(
        mail.id,
        "draft" if "DRAFT" in mail.label_ids else "message",
        _internal_date(mail.internal_date) if mail.internal_date is not None else _written(next(dates, "")),
        addresses,
        message,
        make,
    )


def _of_flat(mail: FlatMessage, message: Message, make: MakeIdentifier) -> Event | None:
    addresses = [("sender", mail.sender)]
    for role, given in (("recipient", mail.recipients), ("cc", mail.cc), ("bcc", mail.bcc)):
        addresses += [(role, value) for value in ([given] if isinstance(given, str) else given or ())]
    instant = parse_instant(mail.date, "date") if mail.date else None
    return _mail(mail.id, "message", instant, addresses, message, make)


def _mail(
    mail_id: str,
    name: str,
    instant: int | None,
    addresses: _Addresses,
    message: Message,
    make: MakeIdentifier,
) -> Event | None:
    people = list(_people(addresses))
    groups, memberships = companies(people, make)
    if not people:
        return None
    return assemble(
        message,
        make,
        event_id=mail_id,
        source=SOURCE,
        event_name=name,
        event_type="email",
        occurred_at_ms=instant,
        participants=[*people, *groups],
        memberships=memberships,
    )


def _people(addresses: _Addresses) -> Iterator[Draft]:
    """Everybody once in each role, in the order of the headers."""
    seen: set[tuple[str, str]] = set()
    for role, header in addresses:
        for mailbox in mailboxes(header):
            if (role, mailbox.address) in seen:
                continue
            seen.add((role, mailbox.address))
            traits: dict[str, Json] = {"name": mailbox.name} if mailbox.name else {}
            yield Draft("person", [("email", mailbox.address)], f"{role}-{len(seen)}", role, traits)


def _internal_date(given: str | int) -> int:
    """`"1451174603000"`: int64 is text in Google's JSON."""
    text = str(given)
    if not (text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= MAX_INSTANT_MS):
        raise BadMessage("instant", "internalDate: not milliseconds since 1970")
    return int(text)


def _written(date: str) -> int | None:
    """The instant of a `Date` header, None for one that cannot be read: its writer is a stranger."""
    try:
        moment = parsedate_to_datetime(date[:_LONGEST_DATE])
        written = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # -0000 is UTC, of no known zone
        return (written - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
