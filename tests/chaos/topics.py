"""What is in a topic of a real broker, and what may be done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient

from demo_producer import Record
from schemas.events import Message

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition, offset."""

_PATIENCE_S = 30.0
LARGEST = 8 * 1024 * 1024  # bytes: some of the malformed messages are malformed in that they are large


class Committed(NamedTuple):
    """How far a group has committed, and how far the topic goes, of every partition of a topic."""

    offsets: Mapping[int, int]
    ends: Mapping[int, int]


def read(bootstrap: str, topic: str) -> list[Message]:
    """Every message that a topic holds now, in order within each partition."""
    consumer = _consumer(bootstrap)
    try:
        return list(_read(consumer, topic))
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str) -> Iterator[Message]:
    ends = _ends(consumer, topic)
    unread = {partition for partition, (low, high) in ends.items() if high > low}
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unread])
    while unread:
        first = consumer.poll(_PATIENCE_S)  # consume alone would wait until it has as many as it may have
        assert first is not None, f"{topic}: nothing came, though partitions {unread} are not at their ends"
        for each in [first, *consumer.consume(1_000, timeout=0)]:
            assert each.error() is None, each.error()
            message = _message(topic, each)
            yield message
            if message.next_offset == ends[message.partition][1]:
                unread.discard(message.partition)


def _message(topic: str, each: KafkaMessage) -> Message:
    partition, offset = each.partition() or 0, each.offset() or 0
    headers: Sequence[tuple[str, bytes]] = each.headers() or ()  # type: ignore[assignment]  # as they come
    return Message(
        topic, partition, offset, offset + 1, each.timestamp()[1], each.value(), each.key(),
        tuple((name, value or b"") for name, value in headers),
    )  # fmt: skip


def _ends(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    partitions = consumer.list_topics(topic, timeout=_PATIENCE_S).topics[topic].partitions
    return {
        each: consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=_PATIENCE_S)
        for each in partitions
    }


def _consumer(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "a-group-that-commits-nothing",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )


def produce(bootstrap: str, topics: Mapping[str, str], records: Iterable[Record]) -> dict[Place, Record]:
    """Send records to the topics of their formats; returns where each of them is."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.max.bytes": LARGEST}
    )
    places: dict[Place, Record] = {}

    def note(record: Record) -> Callable[[object, KafkaMessage], None]:
        def take(error: object, message: KafkaMessage) -> None:
            assert error is None, error
            places[message.topic() or "", message.partition() or 0, message.offset() or 0] = record

        return take

    sent = 0
    for sent, record in enumerate(records, 1):  # noqa: B007  # the last number is how many there were
        producer.produce(
            topics[record.format], record.value, record.key, headers=list(record.headers),
            on_delivery=note(record),
        )  # fmt: skip
        producer.poll(0)
    assert producer.flush(_PATIENCE_S) == 0
    assert len(places) == sent
    return places


def append(bootstrap: str, topic: str, values: Iterable[bytes]) -> None:
    """Send messages without keys to a topic, one after the other."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(_PATIENCE_S) == 0


def delete_records(bootstrap: str, topic: str) -> None:
    """Let everything that a topic holds expire at once."""
    consumer = _consumer(bootstrap)
    ends = _ends(consumer, topic)
    consumer.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    to = [TopicPartition(topic, partition, high) for partition, (_, high) in ends.items()]
    for future in admin.delete_records(to).values():
        future.result(timeout=_PATIENCE_S)


def delete(bootstrap: str, topic: str) -> None:
    """Delete a topic; returns when the broker no longer names it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result(timeout=_PATIENCE_S)
    while topic in admin.list_topics(timeout=_PATIENCE_S).topics:
        pass


def members(bootstrap: str, group: str) -> dict[str, set[tuple[str, int]]]:
    """The members of a consumer group with the partitions that each owns; none without coordinator."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        described = admin.describe_consumer_groups([group])[group].result(timeout=_PATIENCE_S)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE):
            return {}
        raise
    return {
        member.member_id: {(each.topic, each.partition) for each in member.assignment.topic_partitions}
        for member in described.members
    }


def committed(bootstrap: str, group: str, topic: str) -> Committed:
    """How far the group has committed in a topic; -1001 where it never did."""
    consumer = _consumer(bootstrap)
    ends = {partition: high for partition, (_, high) in _ends(consumer, topic).items()}
    consumer.close()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, each) for each in ends])
    found = admin.list_consumer_group_offsets([asked])[group].result(timeout=_PATIENCE_S)
    return Committed({each.partition: each.offset for each in found.topic_partitions}, ends)
