"""Google Calendar events: who meets, what they answered, and when it begins."""

from typing import Any

import pytest

from schemas.decode import decode
from tests.schemas.messages import NOW_MS, as_bytes, decode_one, message, names, problem_of


def meeting(**changes: Any) -> dict[str, Any]:
    """A meeting of two companies with fields changed; a field set to `...` is left out."""
    whole = {
        "kind": "calendar#event",
        "id": "c-1",
        "status": "confirmed",
        "updated": "2026-01-04T10:00:00.000Z",
        "start": {"dateTime": "2026-01-05T10:00:00+02:00"},
        "creator": {"email": "ada@acme.test"},
        "organizer": {"email": "ada@acme.test", "displayName": "Ada"},
        "attendees": [
            {"email": "ada@acme.test", "organizer": True, "responseStatus": "accepted"},
            {"email": "bob@hill.test", "displayName": "Bob", "responseStatus": "declined"},
        ],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def test_who_meets_whom() -> None:
    """Organizer, creator and attendees have their roles, names and answers, and belong to their companies."""
    event = decode_one(meeting(), "google_calendar")
    assert [(who.role, dict(who.traits)) for who in event.participants] == [
        ("organizer", {"name": "Ada"}),
        ("creator", {}),
        ("attendee", {"response_status": "accepted"}),
        ("attendee", {"name": "Bob", "response_status": "declined"}),
        (None, {}),
        (None, {}),
    ]
    assert [(each.person, each.group) for each in event.memberships] == [
        ("organizer-1", "acme.test"),
        ("attendee-4", "hill.test"),
    ]


@pytest.mark.parametrize(
    "attendee",
    [
        {"email": "room@acme.test", "resource": True},
        {"email": "room-7@resource.calendar.google.com"},
        {"email": "team@group.calendar.google.com"},
        {"email": "unknownorganizer@calendar.google.com"},
        {"displayName": "Somebody"},
        {"email": " "},
    ],
)
def test_rooms_and_calendars_are_nobody(attendee: dict[str, Any]) -> None:
    """Nobody is known by a room, by a calendar's address, or by a name alone."""
    payload = meeting(attendees=[attendee])
    assert names(decode_one(payload, "google_calendar")) == {"email=ada@acme.test", "domain=acme.test"}


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ({"dateTime": "2026-01-05T10:00:00+02:00", "timeZone": "UTC"}, 1_767_600_000_000),
        ({"dateTime": "2026-01-05T08:00:00.5Z"}, 1_767_600_000_500),
        ({"dateTime": "2026-01-05T09:00:00", "timeZone": "Europe/Berlin"}, 1_767_600_000_000),
        ({"dateTime": "2025-07-05T09:00:00", "timeZone": "Europe/Berlin"}, 1_751_698_800_000),
        ({"date": "2026-01-05"}, 1_767_571_200_000),
        ({"date": "2999-01-05"}, NOW_MS),
    ],
)
def test_when_a_meeting_begins(start: dict[str, str], expected: int) -> None:
    """The offset counts, else the zone with its summer time; a day begins in UTC, the future is now."""
    assert decode_one(meeting(start=start), "google_calendar").occurred_at_ms == expected


def test_an_instance_that_was_moved_away_keeps_its_first_time() -> None:
    """Without a start the original one counts."""
    payload = meeting(start=..., originalStartTime={"dateTime": "2026-01-05T08:00:00Z"})
    assert decode_one(payload, "google_calendar").occurred_at_ms == 1_767_600_000_000


@pytest.mark.parametrize("status", ["confirmed", "tentative", "cancelled"])
def test_the_status_says_what_happened(status: str) -> None:
    """Also what was cancelled is an event; Google's word for it is in its name."""
    assert decode_one(meeting(status=status), "google_calendar").event_name == f"event.{status}"


def test_a_change_is_an_event_of_its_own() -> None:
    """Of two versions about one start the later one sorts behind the earlier."""
    first, second = (
        decode_one(meeting(updated=updated), "google_calendar").event_id
        for updated in ("2026-01-04T10:00:00.000Z", "2026-01-05T07:00:00.000Z")
    )
    assert first < second < decode_one(meeting(updated=..., status="cancelled"), "google_calendar").event_id


def test_without_an_id_the_content_is_the_id() -> None:
    """The same event sent twice is one event."""
    one, two = (decode_one(meeting(id=...), "google_calendar") for _ in range(2))
    assert one == two
    assert one.event_id != decode_one(meeting(id=..., updated=...), "google_calendar").event_id


def test_a_page_is_its_items() -> None:
    """The calendar's own name is nobody; what was cancelled and names nobody is passed over."""
    page = {"summary": "x@acme.test", "items": [meeting(), {"id": "c-2", "status": "cancelled"}]}
    event = decode_one(page, "google_calendar")
    assert "email=x@acme.test" not in names(event)


def test_a_tombstone_is_skipped() -> None:
    """Of what was cancelled there may be the id and no more, which is no fault."""
    decoded = decode(message(as_bytes({"id": "c-1", "status": "cancelled"})), "google_calendar")
    assert (decoded.problem, decoded.skipped) == (None, "no person or group in it")


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        (meeting(start=...), "schema", "start"),
        (meeting(start={}), "instant", "start.date"),
        (meeting(start={"dateTime": "2026-01-05T10:00:00"}), "instant", "start.dateTime"),
        (meeting(start={"dateTime": "2026-01-05T10:00:00", "timeZone": "Mars"}), "instant", "start.dateTime"),
        (meeting(start={"dateTime": "2026-01-05T10:00:00", "timeZone": "/etc"}), "instant", "start.dateTime"),
        (meeting(start={"dateTime": 7}), "schema", "start.dateTime"),
        (meeting(attendees="bob@hill.test"), "schema", "attendees"),
        (meeting(attendees=[{"email": 7}]), "schema", "attendees.0.email"),
        (meeting(id=7), "schema", "id"),
    ],
)
def test_what_is_no_calendar_event(payload: dict[str, Any], reason: str, path: str) -> None:
    """The field that is wrong or missing is named."""
    problem = problem_of(payload, "google_calendar")
    assert (problem.reason, problem.detail.split(":")[0]) == (reason, path)
