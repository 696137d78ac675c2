"""Sinks that are Kafka topics.

What may be relied on: `write` returns when every message was acknowledged by all in-sync replicas, and by
nothing less than a delivery report for each. A report that fails or does not come is an error. Inside one
`write` and one partition the order is kept, and retries of the client leave one copy (`enable.idempotence`);
a `write` that is tried again after an error may leave a second one.

A transition goes out under the key of its entity, and one about two entities under both. The partition of a
key is the one that Java's clients would choose (murmur2). Its envelope is a CloudEvent in binary mode. A dead
letter keeps its key and value as they came.

Behind an `entity_erased` come tombstones, messages without a value: under the entity's key and under each of
its erased ids, so that a compacted copy of the topic forgets what it held there. What begins anew under such
a key is a later transition, and so behind its tombstone. Readers leave messages without a value out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import dead_letters as dead_letter_format
from schemas.dead_letters import DeadLetter
from schemas.errors import NexusError, SettingsError, SinkUnavailable, TerminalError
from schemas.events import Message
from schemas.transitions import Change, Transition, entity_keys, to_json, tombstones
from sinks.kafka_errors import error_of, translated

_LOGGER = logging.getLogger("nexus.kafka")

# Without any of these a promise above would be void, so they are not for the settings to change.
_FIXED = {
    "enable.idempotence": "true",
    "acks": "all",
    "partitioner": "murmur2_random",  # by librdkafka's default, CRC32, a key would live on two partitions
}
_REFUSED = ("transactional.id", "delivery.report.only.error")  # each would make a write wait for ever
_SPELLINGS = {"true": {"true", "1", "t"}, "all": {"all", "-1"}}
_ALIASES = {
    "request.required.acks": "acks",
    "message.timeout.ms": "delivery.timeout.ms",
    "queue.buffering.max.ms": "linger.ms",
}
_DEFAULTS = {
    "linger.ms": "5",  # a flush does not wait for it; it only keeps the first messages of a batch together
    "delivery.timeout.ms": "6000",  # then the caller hears of it, and may stop within its ten seconds
    "topic.metadata.propagation.max.ms": "4000",  # sooner than the timeout, so that a missing topic is named
    "message.max.bytes": "1000000000",  # the client's highest: the topic decides, and counts compressed
    "compression.type": "lz4",  # what came in compressed must not be too large when it goes out
}
_GRACE_S = 1.0  # for the report of a message that timed out
_SLICE_S = 0.1  # signals are heard between two slices of waiting

Headers = list[tuple[str, str | bytes | None]]  # as the client wants them


class _Outgoing(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: Headers


class _Reports:
    """The delivery reports of one write."""

    def __init__(self) -> None:
        self.delivered = 0
        self.failure: KafkaError | None = None

    def take(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self.delivered += 1
        elif self.failure is None:
            self.failure = error


class _Topic:
    """Writes batches to one topic, with a producer that is thrown away whenever a batch fails.

    A failed producer may still hold messages that it would deliver behind newer ones; a new one has nothing
    to hide.
    """

    def __init__(self, producer_config: Mapping[str, str], topic: str) -> None:
        self._config = _checked(producer_config)
        self._timeout_s = _seconds(self._config["delivery.timeout.ms"]) + _GRACE_S
        self._topic = topic
        self._last_words = ""
        self._producer: Producer | None = self._connected()

    def write(self, messages: Iterable[_Outgoing]) -> None:
        try:
            self._write(self._producer or self._connected(), messages)
        except BaseException:  # an interrupt too: what is still queued must not come out later
            self.close()
            raise

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()

    def _write(self, producer: Producer, messages: Iterable[_Outgoing]) -> None:
        self._producer = producer
        reports = _Reports()
        produced = 0
        for message in messages:
            self._produce(producer, message, reports)
            produced += 1
        self._wait_for_all(producer)
        self._raise_for(reports)
        if reports.delivered != produced:
            missing = produced - reports.delivered
            raise SinkUnavailable(
                f"cannot {self._what()}: {missing} of {produced} messages were not confirmed"
            )

    def _produce(self, producer: Producer, message: _Outgoing, reports: _Reports) -> None:
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            self._raise_for(reports)  # one that failed makes the whole write fail: no need to queue the rest
            try:
                producer.produce(
                    self._topic, message.value, message.key, headers=message.headers, on_delivery=reports.take
                )
            except BufferError:  # the queue is full: let some out
                producer.poll(_SLICE_S)
            except KafkaException as error:
                raise self._translated(error_of(error)) from error
            else:
                return
        raise SinkUnavailable(f"cannot {self._what()}: the client's queue does not empty")

    def _raise_for(self, reports: _Reports) -> None:
        if reports.failure is not None:
            raise self._translated(reports.failure)

    def _wait_for_all(self, producer: Producer) -> None:
        deadline = time.monotonic() + self._timeout_s
        while producer.flush(_SLICE_S) and time.monotonic() < deadline:
            pass

    def _translated(self, error: KafkaError) -> NexusError:
        return translated(error, self._what(), transient=SinkUnavailable, terminal=TerminalError)

    def _what(self) -> str:
        return f"write to topic {self._topic}" + (f" ({self._last_words})" if self._last_words else "")

    def _connected(self) -> Producer:
        self._last_words = ""
        try:
            return Producer({**self._config, "error_cb": self._hear}, logger=_LOGGER)
        except KafkaException as error:
            raise SettingsError(f"kafka: {error_of(error).str()}; correct it in the settings") from error

    def _hear(self, error: KafkaError) -> None:
        # That a broker is away arrives here, while the messages only ever say that they timed out.
        self._last_words = error.str()


class KafkaTransitions:
    """A TransitionSink that is a topic. See the module for its promises."""

    def __init__(self, producer_config: Mapping[str, str], topic: str) -> None:
        """Any librdkafka option may be given, but none that would void a promise (SettingsError)."""
        self._topic = _Topic(producer_config, topic)

    def write(self, transitions: Sequence[Transition]) -> None:
        """Return when all are acknowledged. SinkUnavailable names the topic, never a value."""
        self._topic.write(message for transition in transitions for message in _messages(transition))

    def close(self) -> None:
        """Let go of the connections; nothing is pending after any `write`."""
        self._topic.close()


class KafkaDeadLetters:
    """A DeadLetterSink that is a topic. Key and value stay as they came, a missing one stays missing."""

    def __init__(self, producer_config: Mapping[str, str], topic: str) -> None:
        """Any librdkafka option may be given, but none that would void a promise (SettingsError)."""
        self._topic = _Topic(producer_config, topic)

    def write(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged. SinkUnavailable names the topic, never a value."""
        self._topic.write(
            _Outgoing(letter.message.key, letter.message.value, [*dead_letter_format.headers(letter)])
            for letter in dead_letters
        )

    def close(self) -> None:
        """Let go of the connections; nothing is pending after any `write`."""
        self._topic.close()


class KafkaMessages:
    """Puts messages into a topic as they are: key, value and headers. For what came in before and comes
    again.

    A DeadLetterSink in all but what it is given: `write` returns when every message is acknowledged, or
    raises.
    """

    def __init__(self, producer_config: Mapping[str, str], topic: str) -> None:
        """Any librdkafka option may be given, but none that would void a promise (SettingsError)."""
        self._topic = _Topic(producer_config, topic)

    def write(self, messages: Sequence[Message]) -> None:
        """Return when all are acknowledged. SinkUnavailable names the topic, never a value."""
        self._topic.write(_Outgoing(one.key, one.value, [*one.headers]) for one in messages)

    def close(self) -> None:
        """Let go of the connections; nothing is pending after any `write`."""
        self._topic.close()


def _messages(transition: Transition) -> list[_Outgoing]:
    """One message for each entity that it is about, all with the same content; then its tombstones."""
    value = to_json(transition)
    said = [(key, value) for key in entity_keys(transition)]
    forgotten = [(key, None) for key in tombstones(transition)]
    return [_Outgoing(key.encode(), each, _cloud_event(transition, key)) for key, each in said + forgotten]


def _cloud_event(transition: Transition, subject: str) -> Headers:
    """The envelope: CloudEvents 1.0, Kafka binding, binary mode. A snapshot's messages happened at no
    instant. A tombstone is the same event without its data.
    """
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": transition.transition_id,
        "ce_source": f"/nexus/{quote(transition.namespace, safe='')}",
        "ce_type": f"nexus.{transition.transition}",
        "ce_subject": subject,
        "content-type": "application/json",
    }
    if isinstance(transition, Change):
        attributes["ce_time"] = transition.cause.ingested_at
    return [(name, value.encode()) for name, value in attributes.items()]


def _checked(config: Mapping[str, str]) -> dict[str, str]:
    """The options with ours. SettingsError for one that would void a promise."""
    given = {_ALIASES.get(name, name): str(value) for name, value in config.items()}
    for name, value in _FIXED.items():
        if given.get(name, value).lower() not in _SPELLINGS.get(value, {value}):
            raise SettingsError(f"kafka: {name} must stay {value}; remove it from the settings")
    for name in _REFUSED:
        if name in given:
            raise SettingsError(f"kafka: {name} is not for this producer; remove it from the settings")
    return {**_DEFAULTS, **given, **_FIXED}


def _seconds(milliseconds: str) -> float:
    try:
        return int(milliseconds) / 1000
    except ValueError:
        raise SettingsError("kafka: delivery.timeout.ms must be a number of milliseconds") from None
