"""The traffic that is measured: the demo's customers, as they come and as canonical events."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

from pydantic_core import from_json, to_json

from demo_producer.production import records
from demo_producer.stories import Profile
from schemas.decode import decode
from schemas.events import FORMAT_HEADER, Event, Message
from schemas.instants import format_instant

Shape = Literal["sources", "event"]
_YEAR_MS = 365 * 86_400_000
EVENT_HEADER = ((FORMAT_HEADER, b"event"),)


def messages(profile: Profile, shape: Shape, count: int, seed: int = 7) -> Iterator[Message]:
    """`count` messages of the demo: `sources` as Segment and Stripe send them, `event` in canonical form."""
    stream = records(seed=seed, count=count, profile=profile, timestamps=True)
    for offset, one in enumerate(stream):
        message = Message(
            "bench", 0, offset, offset + 1, one.ingested_at_ms or 0, one.value, one.key, one.headers
        )
        if shape == "sources":
            yield message
        else:
            for event in decode(message, None).events:
                yield as_canonical(event, message)


def as_canonical(event: Event, message: Message) -> Message:
    """An event in the form in which producers send it themselves."""
    value = to_json(_payload(event))
    return replace(message, value=value, headers=EVENT_HEADER)


def _payload(event: Event) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "event_id": event.event_id,
        "source": event.source,
        "event_name": event.event_name,
        "event_type": event.event_type,
        "occurred_at": format_instant(event.occurred_at_ms),
        "participants": [
            {
                "ref": each.ref,
                "entity_type": each.entity_type,
                "role": each.role,
                "identifiers": [
                    {"type": one.identifier_type, "value": one.identifier_value} for one in each.identifiers
                ],
                "traits": each.traits,
            }
            for each in event.participants
        ],
    }
    for name in ("memberships", "states", "measurements"):
        if facts := getattr(event, name):
            payload[name] = facts
    return payload


def slices(profile: Profile, shape: Shape, slice_of: int, count: int) -> Iterator[list[Message]]:
    """The traffic in `count` slices, one after the other in time. Each is made when it is asked for."""
    stream = messages(profile, shape, slice_of * count)
    for _ in range(count):
        yield list(islice(stream, slice_of))


def again(once: Sequence[Message], number: int) -> list[Message]:
    """The same canonical events once more: other ids, a year later each time."""
    return [_again(message, number) for message in once]


def _again(message: Message, number: int) -> Message:
    payload = from_json(message.value or b"")
    payload["event_id"] = f"{payload['event_id']}-{number}"
    later_ms = message.timestamp_ms + number * _YEAR_MS
    return replace(message, value=to_json(payload), timestamp_ms=later_ms)
