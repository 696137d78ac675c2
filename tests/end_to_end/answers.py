"""What the answer to a log has to be: by the reference, and by a consumer who only sees the transitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resolver.reference import Reference
from schemas.decode import decode
from schemas.events import Event, Message
from schemas.identifiers import Keyring
from schemas.mapping import EntityMapping, Name
from schemas.transitions import Transition

Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A log after decoding: the events in it, and the messages that must become dead letters."""

    events: tuple[Event, ...]
    bad: Mapping[Place, Message]


def judged(log: Iterable[Message], formats: Mapping[str, str]) -> Judged:
    """Decode a log by the formats of its topics."""
    events: list[Event] = []
    bad: dict[Place, Message] = {}
    for message in log:
        decoded = decode(message, formats.get(message.topic))
        events += decoded.events
        if decoded.problem is not None:
            bad[message.topic, message.partition, message.offset] = message
    return Judged(tuple(events), bad)


def answer(events: Iterable[Event], namespace: str, secret: bytes | None = None) -> dict[Name, str]:
    """The reference's entity id of every identifier."""
    reference = Reference(Keyring(namespace, secret))
    reference.add(events)
    return {
        (one.entity_type, one.identifier_type, one.identifier_value): name
        for one, name in reference.answer().entity_of.items()
    }


def consumed(transitions: Iterable[Transition]) -> dict[Name, str]:
    """The mapping of a consumer who starts from nothing and sees these transitions."""
    consumer = EntityMapping()
    for transition in transitions:
        consumer.apply(transition)
    assert consumer.missing == ()
    return dict(consumer.as_dict())
