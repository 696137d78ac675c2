"""Reading topics back in tests, and librdkafka's mock cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


class Found(NamedTuple):
    """One record of a topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@contextmanager
def mock_cluster() -> Iterator[str]:
    """Run librdkafka's mock cluster inside this process and give its address."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(0)  # the cluster lives as long as this client


def read_topic(bootstrap: str, topic: str) -> list[Found]:
    """Give everything that is in the topic now, partition by partition, in the order of the offsets."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        return sorted(_records(consumer, topic), key=lambda found: found.partition)
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str) -> Iterator[Found]:
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    places = [TopicPartition(topic, partition, 0) for partition in partitions]
    ends = {place.partition: _end(consumer, place) for place in places}
    unread = {partition for partition, end in ends.items() if end > 0}
    consumer.assign(places)
    while unread:
        message = consumer.poll(20)
        assert message is not None, f"partitions {unread} have nothing more, but should"
        assert message.error() is None, message.error()
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        if offset + 1 >= ends[partition]:
            unread.discard(partition)
        headers = cast("list[tuple[str, bytes]]", message.headers() or [])  # the stub knows text as well
        yield Found(partition, message.key(), message.value(), headers)


_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Where a partition ends. One that was just made has no leader for a moment."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException as error:
            if time.monotonic() > deadline or error.args[0].code() not in _LEADERLESS:
                raise
            time.sleep(0.05)


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except KafkaException:
            pass
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
