"""Messages to decode, made short: one place that knows which fields a good one needs."""

import json
from typing import Any

from schemas.decode import decode
from schemas.errors import BadMessage
from schemas.events import Event, Message

NOW_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
NOW = "2026-01-05T10:00:00Z"


def message(value: bytes | None, **fields: Any) -> Message:
    """A message of the topic `events` that came at `NOW`."""
    return Message(
        **{
            "topic": "events",
            "partition": 0,
            "offset": 7,
            "next_offset": 8,
            "timestamp_ms": NOW_MS,
            "value": value,
            **fields,
        }
    )


def payload(**changes: Any) -> dict[str, Any]:
    """A good canonical event about one person, with fields changed; a field set to `...` is left out."""
    good = {
        "event_id": "e-1",
        "source": "app",
        "event_name": "signed_up",
        "occurred_at": NOW,
        "participants": [person()],
        **changes,
    }
    return {name: value for name, value in good.items() if value is not ...}


def person(value: str = "ada@acme.test", kind: str = "email", **changes: Any) -> dict[str, Any]:
    """A participant of the canonical event with one identifier."""
    return {"entity_type": "person", "identifiers": [{"type": kind, "value": value}], **changes}


def decode_one(value: Any, format_name: str = "event", **fields: Any) -> Event:
    """The one event of a message that must be good; `value` is bytes or something to be written as JSON."""
    decoded = decode(message(as_bytes(value), **fields), format_name)
    assert decoded.problem is None, decoded.problem
    (event,) = decoded.events
    return event


def problem_of(value: Any, format_name: str | None = "event", **fields: Any) -> BadMessage:
    """Why a message that must be bad is."""
    decoded = decode(message(as_bytes(value), **fields), format_name)
    assert decoded.events == ()
    assert decoded.problem is not None
    return decoded.problem


def as_bytes(value: Any) -> bytes | None:
    """Bytes and None as they are, everything else as JSON."""
    return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()


def names(event: Event) -> set[str]:
    """The identifiers of an event, as `type=value`."""
    return {
        f"{each.identifier_type}={each.identifier_value}"
        for who in event.participants
        for each in who.identifiers
    }
