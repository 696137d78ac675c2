"""Google Calendar events, alone or as a page of a list: https://developers.google.com/workspace/calendar/api

Also as a row with the event in its column `record`.

**Who.** The organizer, the creator and the attendees, each in that role and known by `email`, with their
names; of attendees also their answer, in the trait `response_status`. Rooms and other resources are nobody,
nor are the addresses below `calendar.google.com`, which belong to calendars. Descriptions are never read.

**Companies.** By the domain of each address, free mail aside (`schemas.companies`).

**What.** `event.` and the status: `event.confirmed`, `event.tentative`, `event.cancelled`.

**When.** The start. A whole day begins at midnight in UTC, since it has no zone. A meeting that lies ahead
counts as of now, as everything does that is said of the future.

**Which.** `id` and `updated`: an event that was changed is another event, and of two about one start the
later one counts. Without an id it is a digest of the whole.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import Draft, assemble, assemble_one_or_each
from schemas.companies import companies
from schemas.errors import BadMessage
from schemas.events import Decoded, Event, Json, Message
from schemas.identifiers import MakeIdentifier
from schemas.instants import parse_instant, parse_local
from schemas.mailboxes import name_of
from schemas.rows import from_row
from schemas.strict_json import digest
from schemas.validation import refusal

SOURCE = "google_calendar"

_CALENDARS = "calendar.google.com"


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class CalendarPerson(_Shape):
    """The organizer, the creator or an attendee. People who may not be seen have no address."""

    email: str | None = None
    display_name: str | None = Field(None, alias="displayName")
    is_resource: bool = Field(False, alias="resource")
    response_status: str | None = Field(None, alias="responseStatus")


class CalendarTime(_Shape):
    """A day, or a time with an offset or a zone or both."""

    date: str | None = None
    date_time: str | None = Field(None, alias="dateTime")
    time_zone: str | None = Field(None, alias="timeZone")


class CalendarEvent(_Shape):
    """An event resource. Of one that was cancelled there may be only the id left."""

    id: str | None = None
    status: Annotated[str, Field(min_length=1)] = "confirmed"  # so says Google: the default
    updated: str | None = None
    organizer: CalendarPerson | None = None
    creator: CalendarPerson | None = None
    attendees: list[CalendarPerson] = Field(default_factory=list)
    start: CalendarTime | None = None
    original_start: CalendarTime | None = Field(None, alias="originalStartTime")


_validate = CalendarEvent.__pydantic_validator__.validate_python


class CalendarEvents:
    """The format `google_calendar`: a message is one event, or a page with its `items`."""

    name = "google_calendar"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """One event per event of the calendar, or none where it names nobody."""
        record = from_row(payload, "record")
        return assemble_one_or_each(record, "items", lambda item: _event(item, message, make))


def _event(record: Json, message: Message, make: MakeIdentifier) -> Event | None:
    try:
        meeting: CalendarEvent = _validate(record)
    except ValidationError as error:
        raise refusal(error) from None
    instant = _start(meeting)
    people = list(_people(meeting))
    groups, memberships = companies(people, make)
    if not people:
        return None
    return assemble(
        message,
        make,
        event_id=f"{meeting.id}:{meeting.updated or meeting.status}" if meeting.id else digest(record),
        source=SOURCE,
        event_name=f"event.{meeting.status}",
        event_type="meeting",
        occurred_at_ms=instant,
        participants=[*people, *groups],
        memberships=memberships,
    )


def _start(meeting: CalendarEvent) -> int | None:
    """When it begins, or began once; None only for what was cancelled and has no more time."""
    for path, time in (("start", meeting.start), ("originalStartTime", meeting.original_start)):
        if time is None:
            continue
        if time.date_time is None:
            return parse_instant(f"{time.date or ''}T00:00:00Z", f"{path}.date")
        if time.time_zone is None or _has_offset(time.date_time):
            return parse_instant(time.date_time, f"{path}.dateTime")
        return parse_local(time.date_time, time.time_zone, f"{path}.dateTime")
    if meeting.status == "cancelled":
        return None
    raise BadMessage("schema", "start: required of an event that is not cancelled")


def _has_offset(text: str) -> bool:
    return text[-1:] in "zZ" or text[-6:-5] in ("+", "-")


def _people(meeting: CalendarEvent) -> Iterator[Draft]:
    """Everybody once in each role. The organizer is often an attendee, too, and has two."""
    named = [("organizer", meeting.organizer), ("creator", meeting.creator)]
    named += [("attendee", each) for each in meeting.attendees]
    seen: set[tuple[str, str]] = set()
    for role, person in named:
        address = _address(person) if person is not None else ""
        if person is None or not address or (role, address) in seen:
            continue
        seen.add((role, address))
        yield Draft("person", [("email", address)], f"{role}-{len(seen)}", role, _traits(person))


def _address(person: CalendarPerson) -> str:
    """The address of a person; empty for one who shows none, for rooms and for calendars."""
    address = (person.email or "").strip()
    host = address.rpartition("@")[2].lower()
    is_calendar = host == _CALENDARS or host.endswith("." + _CALENDARS)
    return "" if person.is_resource or is_calendar else address


def _traits(person: CalendarPerson) -> dict[str, Json]:
    name = name_of(person.display_name or "")
    given: dict[str, Json] = {"name": name, "response_status": person.response_status}
    return {trait: value for trait, value in given.items() if value}
