"""A message that could not be taken, with everything that is needed to understand and to replay it.

The payload and the producer's own headers stay untouched. What Nexus adds uses the names that Kafka Connect's
dead letter queue uses, so that existing tools read them, and never holds a value of the payload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.errors import BadMessage
from schemas.events import INGESTED_AT_HEADER, Message

REASON_HEADER: Final = "nexus-reason"
READ_AS_HEADER: Final = "nexus-read-as"
"""The format that the message was read as. Not `nexus-format`: that is the producer's own word, where there
is one, and a replay must not make a wrong setting of the topic into one.
"""

_CONNECT: Final = "__connect.errors."
_TOPIC: Final = _CONNECT + "topic"
_PARTITION: Final = _CONNECT + "partition"
_OFFSET: Final = _CONNECT + "offset"
_MESSAGE: Final = _CONNECT + "exception.message"
_OURS: Final = frozenset({INGESTED_AT_HEADER, READ_AS_HEADER, REASON_HEADER})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, why it could not be taken, and the format it was read as (None: no format was named)."""

    message: Message
    reason: str
    detail: str
    format_name: str | None = None


def headers(dead_letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The producer's headers, then Kafka Connect's, then Nexus's with the first `ingested_at`."""
    message = dead_letter.message
    added = {
        _TOPIC: message.topic,
        _PARTITION: str(message.partition),
        _OFFSET: str(message.offset),
        _CONNECT + "connector.name": "nexus",
        _CONNECT + "task.id": "0",
        _CONNECT + "stage": "VALUE_CONVERTER",
        _CONNECT + "class.name": "schemas.decode",
        _CONNECT + "exception.class.name": "schemas.errors.BadMessage",
        _MESSAGE: f"{dead_letter.reason}: {dead_letter.detail}",
        INGESTED_AT_HEADER: str(message.ingested_at_ms),
        REASON_HEADER: dead_letter.reason,
    }
    if dead_letter.format_name is not None:
        added[READ_AS_HEADER] = dead_letter.format_name
    return [*_producers(message.headers), *((name, value.encode()) for name, value in added.items())]


def from_headers(headers: Sequence[tuple[str, bytes]], key: bytes | None, value: bytes | None) -> DeadLetter:
    """The dead letter that `headers` described, for showing and replaying.

    Its message is the first one, at its first instant. `BadMessage("not-a-dead-letter")` if the headers are
    not those of a dead letter.
    """
    texts = {name: text.decode("utf-8", "replace") for name, text in headers}
    try:
        offset = int(texts[_OFFSET])
        message = Message(
            topic=texts[_TOPIC],
            partition=int(texts[_PARTITION]),
            offset=offset,
            next_offset=offset + 1,
            timestamp_ms=int(texts[INGESTED_AT_HEADER]),
            value=value,
            key=key,
            headers=_producers(headers),
        )
        reason, message_text = texts[REASON_HEADER], texts[_MESSAGE]
    except (KeyError, ValueError):
        raise BadMessage("not-a-dead-letter", "headers: the names of a dead letter are missing") from None
    return DeadLetter(message, reason, message_text.removeprefix(f"{reason}: "), texts.get(READ_AS_HEADER))


def replay_headers(dead_letter: DeadLetter) -> list[tuple[str, bytes]]:
    """The headers to send the message in again with: the producer's, with its format if it named one, and
    the first `ingested_at`. Where the producer named no format, what the topic is set to now counts, so
    that a corrected setting helps.
    """
    message = dead_letter.message
    return [*_producers(message.headers), (INGESTED_AT_HEADER, str(message.ingested_at_ms).encode())]


def _producers(headers: Sequence[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """The headers that Nexus did not add, so that a message that dies twice does not collect them."""
    return tuple(
        (name, value) for name, value in headers if name not in _OURS and not name.startswith(_CONNECT)
    )
