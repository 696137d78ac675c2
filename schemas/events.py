"""Messages as they come in, and events as everything downstream sees them: frozen and valid from birth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from schemas.errors import BadMessage
from schemas.identifiers import EntityType, Identifier

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_MESSAGE_BYTES: Final = 1024 * 1024
MAX_ID_BYTES: Final = 256
MAX_IDENTIFIERS: Final = 64
MAX_PARTICIPANTS: Final = 1_000
MAX_AHEAD_MS: Final = 5 * 60 * 1000
"""An `occurred_at` further ahead of `ingested_at` than this counts as `ingested_at`."""

INGESTED_AT_HEADER: Final = "nexus-ingested-at"
FORMAT_HEADER: Final = "nexus-format"

_INSTANT_BYTES: Final = 6
MAX_INSTANT_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999


@dataclass(frozen=True, slots=True)
class Message:
    """One record of the input, from Kafka or from the input log, untouched.

    `offset` is where it lies and `next_offset` where the reader goes on: a count of records in Kafka, of
    bytes in the input log. `timestamp_ms` is the broker's, or the one written with the line.
    """

    topic: str
    partition: int
    offset: int
    next_offset: int
    timestamp_ms: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> bytes | None:
        """The last header of this name, as Kafka's own clients have it, or None."""
        for header_name, value in reversed(self.headers):
            if header_name == name:
                return value
        return None

    @property
    def ingested_at_ms(self) -> int:
        """When the system first saw this message: a replayed dead letter carries that in a header.

        The header can make a message older, never younger, and what is not a number in it is not believed.
        """
        if not self.headers:
            return self.timestamp_ms
        first = self.header(INGESTED_AT_HEADER)
        if first is None or not first.isdigit() or len(first) > 15:
            return self.timestamp_ms
        return min(int(first), self.timestamp_ms)


class LogPosition(NamedTuple):
    """When the system first learned something: the parts of a log position."""

    ingested_at_ms: int
    source: str
    event_id: str


def log_position(ingested_at_ms: int, source: str, event_id: str) -> bytes:
    """The log position as bytes whose order *is* the log order.

    Six bytes of milliseconds, big endian, then the source, NUL, the event id. Sources and event ids hold no
    control characters, so the one NUL parts them without ambiguity, sorts before every character, and UTF-8
    sorts as code points do.
    """
    return ingested_at_ms.to_bytes(_INSTANT_BYTES, "big") + f"{source}\0{event_id}".encode()


def parse_position(position: bytes) -> LogPosition:
    """The parts of a position that `log_position` made."""
    source, _, event_id = position[_INSTANT_BYTES:].decode().partition("\0")
    return LogPosition(int.from_bytes(position[:_INSTANT_BYTES], "big"), source, event_id)


class EventKey(NamedTuple):
    """What tells an event apart within its namespace, whatever its messages say and how many they are."""

    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Participant:
    """One entity as an event mentions it. `identifiers` are distinct and in the order given."""

    ref: str | None
    entity_type: EntityType
    role: str | None
    identifiers: tuple[Identifier, ...]
    traits: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Membership:
    """The participant `person` belongs to the participant `group`; `ended` says: no longer in this role."""

    person: str
    group: str
    role: str | None
    ended: bool


@dataclass(frozen=True, slots=True)
class StateFact:
    """At the event's instant the state of the participant `of` became this: a text, a number, or both."""

    of: str
    state_name: str
    state_value: str | None
    state_numeric_value: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number that the event carries. `unit` is free text; for money the ISO 4217 code in upper case."""

    name: str
    value: float
    unit: str | None


@dataclass(frozen=True, slots=True)
class RejectedValue:
    """An identifier value that could not be normalised: whose, of which type, and why. Never the value."""

    ref: str | None
    entity_type: EntityType
    identifier_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, in canonical form. Its key is (namespace, `source`, `event_id`).

    Instants are milliseconds since 1970 in UTC. Every `ref` in memberships and states names a participant of
    the right entity type. `position` is the event's log position.
    """

    event_id: str
    source: str
    event_name: str
    event_type: str | None
    occurred_at_ms: int
    ingested_at_ms: int
    participants: tuple[Participant, ...]
    memberships: tuple[Membership, ...] = ()
    states: tuple[StateFact, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    rejected: tuple[RejectedValue, ...] = ()
    position: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        position = log_position(self.ingested_at_ms, self.source, self.event_id)
        object.__setattr__(self, "position", position)

    @property
    def key(self) -> EventKey:
        """What tells it apart from others."""
        return EventKey(self.source, self.event_id)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one message turned out to be.

    `events` are good and to be taken, whatever else is set. `problem` makes the message a dead letter.
    `skipped` says why a well-formed message has no events: that is neither a dead letter nor an error.
    """

    events: tuple[Event, ...]
    problem: BadMessage | None = None
    skipped: str | None = None
