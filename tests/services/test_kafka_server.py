"""The Kafka that tests kill: it comes back on the same folder and ports, with its topics and records."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from tests.conftest import MakeTopic
from tests.services import KafkaServer, make_topic

pytestmark = pytest.mark.services


def write(bootstrap: str, topic: str, value: bytes) -> None:
    """Produce one record and wait for its delivery report."""
    reports: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _: reports.append(error))
    producer.flush(30)
    assert reports == [None]


def read(bootstrap: str, topic: str) -> bytes | None:
    """Consume the topic's first record."""
    group = uuid.uuid4().hex
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        message = consumer.poll(30)
        assert message is not None
        return message.value()
    finally:
        consumer.close()


def test_records_survive_kill_9(start_kafka: Callable[[], KafkaServer]) -> None:
    """Topic and record are there after kill -9 and a restart at the same address; `stop` ends it."""
    server = start_kafka()
    address = server.bootstrap
    make_topic(address, "kept")
    write(address, "kept", b"once")
    server.kill9()
    assert not server.answers()
    server.start()
    assert server.bootstrap == address
    assert read(address, "kept") == b"once"
    server.stop()
    assert not server.running


def test_the_shared_broker_makes_topics(kafka: str, new_topic: MakeTopic) -> None:
    """Each test gets a topic of its own on the shared broker."""
    first, second = new_topic(), new_topic(partitions=3)
    write(kafka, first, b"here")
    assert read(kafka, first) == b"here"
    admin = AdminClient({"bootstrap.servers": kafka})
    assert len(admin.list_topics(timeout=10).topics[second].partitions) == 3
