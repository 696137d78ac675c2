"""What is in Kafka, read past Nexus."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import cast

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from schemas.dead_letters import DeadLetter, from_headers
from schemas.events import Message
from schemas.transitions import Transition, from_json

Headers = tuple[tuple[str, bytes], ...]


def read_topics(bootstrap: str, topics: Sequence[str]) -> list[Message]:
    """Every message of the topics as they are now, with the broker's times."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{uuid.uuid4().hex[:8]}",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        return list(_messages(consumer, topics))
    finally:
        consumer.close()


def _messages(consumer: Consumer, topics: Sequence[str]) -> Iterator[Message]:
    places = [
        TopicPartition(topic, partition, 0)
        for topic in topics
        for partition in consumer.list_topics(topic, timeout=20).topics[topic].partitions
    ]
    ends = {
        (place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=20)[1]
        for place in places
    }
    unread = {place for place, end in ends.items() if end > 0}
    consumer.assign(places)
    while unread:
        found = consumer.consume(5000, timeout=1)
        for one in found:
            message = _message(one)
            yield message
            if message.next_offset >= ends[message.topic, message.partition]:
                unread.discard((message.topic, message.partition))


def _message(one: KafkaMessage) -> Message:
    assert one.error() is None, one.error()
    topic, partition, offset = one.topic(), one.partition(), one.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    headers = cast("list[tuple[str, bytes]]", one.headers() or [])  # the stub knows text as well
    return Message(
        topic, partition, offset, offset + 1, one.timestamp()[1], one.value(), one.key(), tuple(headers)
    )


def transitions_in(bootstrap: str, topic: str) -> list[Transition]:
    """Every transition that was published; tombstones say nothing."""
    return [from_json(message.value) for message in read_topics(bootstrap, [topic]) if message.value]


def dead_letters_in(bootstrap: str, topic: str) -> list[tuple[DeadLetter, Headers]]:
    """Every dead letter, and its headers as they are."""
    return [
        (from_headers(message.headers, message.key, message.value), message.headers)
        for message in read_topics(bootstrap, [topic])
    ]
