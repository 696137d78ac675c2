"""Google Calendar events in the shape that the API gives them in, as the organizer's calendar holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from demo_producer.calls import Call, Payload
from demo_producer.gmail import Mailbox
from demo_producer.moments import Moment, stamp

_LENGTH_MS = 45 * 60_000

Status = Literal["confirmed", "cancelled"]
Answer = Literal["needsAction", "accepted", "declined"]


class Meeting(NamedTuple):
    """A meeting as it is agreed on; `id` stays, whatever becomes of it."""

    id: str
    summary: str
    organizer: Mailbox
    guests: Sequence[Mailbox]
    start_ms: int


def meeting(agreed: Meeting, moment: Moment, status: Status, answer: Answer) -> Call:
    """The meeting as it stands in the calendar from this moment on, with every guest's answer."""
    host, end_ms = agreed.organizer, agreed.start_ms + _LENGTH_MS
    organizer = {"email": host.address, "displayName": host.name, "self": True}
    guests: list[Payload] = [
        {"email": guest.address, "displayName": guest.name, "responseStatus": answer}
        for guest in agreed.guests
    ]
    payload: Payload = {
        "kind": "calendar#event",
        "etag": f'"{moment.at_ms * 1_000}"',
        "id": agreed.id,
        "status": status,
        "updated": stamp(moment.at_ms),
        "summary": agreed.summary,
        "creator": organizer,
        "organizer": organizer,
        "start": {"dateTime": stamp(agreed.start_ms), "timeZone": "UTC"},
        "end": {"dateTime": stamp(end_ms), "timeZone": "UTC"},
        "iCalUID": f"{agreed.id}@google.com",
        "attendees": [{**organizer, "organizer": True, "responseStatus": "accepted"}, *guests],
        "eventType": "default",
    }
    return Call("google_calendar", agreed.id, payload)
