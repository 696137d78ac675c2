"""What the tests of this folder share: a record as the broker would hand it over, decoded."""

from pydantic_core import to_json

from demo_producer import Record
from demo_producer.calls import Call
from schemas.decode import Decoded, decode
from schemas.events import Message, Participant

ARRIVAL_MS = 1_800_000_000_000  # in 2027, after everything that the demo tells of


def decoded(record: Record) -> Decoded:
    """What the input makes of a record."""
    return decode(
        Message(
            topic="demo",
            partition=0,
            offset=0,
            next_offset=1,
            timestamp_ms=ARRIVAL_MS,
            value=record.value,
            key=record.key,
            headers=record.headers,
        ),
        None,
    )


def person_of(call: Call) -> Participant:
    """The person that a call is about."""
    headers = (("nexus-format", call.format.encode()),)
    (event,) = decoded(Record(call.format, None, headers, to_json(call.payload))).events
    (person,) = (each for each in event.participants if each.entity_type == "person")
    return person
