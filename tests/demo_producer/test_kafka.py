"""The stream in Kafka: the real client against librdkafka's own mock cluster."""

import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from demo_producer import MALFORMED_KINDS, malformed_as, records
from demo_producer.calls import Format
from demo_producer.chance import Chance
from demo_producer.kafka import KafkaOutput
from schemas.errors import BrokerUnavailable, SettingsError, SinkUnavailable

TOPICS: dict[Format, str] = {"segment": "calls", "stripe": "webhooks"}


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """The address of a cluster that lives as long as its client, with both topics."""
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    for topic in TOPICS.values():
        cluster.list_topics(topic, timeout=10)  # asking for a topic makes it there
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    del cluster


def _read(bootstrap: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test", "auto.offset.reset": "earliest"})
    topics = consumer.list_topics(timeout=10).topics
    consumer.assign(
        [TopicPartition(topic, number, 0) for topic in TOPICS.values() for number in topics[topic].partitions]
    )
    found: list[Message] = []
    while len(found) < count and (batch := consumer.consume(count - len(found), timeout=15)):
        found += batch
    consumer.close()
    return found


def _content(message: Message) -> tuple[object, ...]:
    return message.topic(), message.key(), message.value(), tuple(message.headers() or ())


def test_every_record_arrives_in_the_topic_of_its_format(bootstrap: str) -> None:
    """What is sent is there when `write` returns: keys, headers, values and tombstones."""
    sent = list(records(count=400, faults="malformed=20"))
    assert KafkaOutput(bootstrap, TOPICS).write(sent) == 400
    found = _read(bootstrap, 400)
    expected = ((TOPICS[each.format], each.key, each.value, each.headers) for each in sent)
    assert Counter(map(_content, found)) == Counter(expected)


def test_a_record_that_cannot_be_delivered_is_an_error(bootstrap: str) -> None:
    """A message that the client refuses ends the run; it is not left out."""
    output = KafkaOutput(bootstrap, TOPICS, {"message.max.bytes": "1000"})
    with pytest.raises(SinkUnavailable, match="not delivered"):
        output.write(records(count=500))


def test_a_failed_delivery_report_is_an_error() -> None:
    """Records that were taken into the queue and then not acknowledged in time end the run."""
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    for topic in TOPICS.values():
        cluster.list_topics(topic, timeout=10)
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    output = KafkaOutput(f"{broker.host}:{broker.port}", TOPICS, {"message.timeout.ms": "1000"})
    del cluster  # the broker is gone
    with pytest.raises(SinkUnavailable, match="not delivered after 0"):
        output.write(records(count=50))


def test_a_broker_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: the run ends before the first record."""
    monkeypatch.setattr("demo_producer.kafka.ANSWER_S", 0.3)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9"):
        KafkaOutput("127.0.0.1:9", TOPICS)


def test_a_wrong_option_is_refused() -> None:
    """An option that librdkafka does not know is a wrong setting."""
    with pytest.raises(SettingsError, match=r"no\.such\.option"):
        KafkaOutput("127.0.0.1:9", TOPICS, {"no.such.option": "1"})


@pytest.mark.services
def test_missing_topics_are_made_with_the_brokers_time(kafka: str) -> None:
    """On a real broker the topics that are missing take even huge messages, and stamp them on arrival."""
    topics: dict[Format, str] = {
        "segment": f"calls-{uuid.uuid4().hex}",
        "stripe": f"webhooks-{uuid.uuid4().hex}",
    }
    model = next(record for record in records(count=1))
    huge = malformed_as(MALFORMED_KINDS["message-too-big"], model, Chance("huge"))
    assert KafkaOutput(kafka, topics, partitions=3).write([*records(count=500, faults="all"), huge]) == 501
    admin = AdminClient({"bootstrap.servers": kafka})
    for topic in topics.values():
        assert len(admin.list_topics(timeout=10).topics[topic].partitions) == 3
        (found,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
        assert found.result(timeout=10)["message.timestamp.type"].value == "LogAppendTime"
