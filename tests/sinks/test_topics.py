"""Topics: made as they must be, and refused where the log would be wrong or incomplete."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from schemas.errors import BrokerUnavailable, SettingsError, StartRefused
from sinks.topics import (
    TopicPlan,
    admin_client,
    check_control_topic,
    check_input_topic,
    check_output_topic,
    ensure_topics,
    is_mock_cluster,
    longest_kept_ms,
    topic_id,
)
from tests.conftest import MakeTopic
from tests.services.server import free_port
from tests.sinks.kafka_topics import eventually


@pytest.fixture
def topic() -> str:
    """Give a name that nobody has used."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def admin(kafka: str) -> AdminClient:
    """Give a client of the real broker."""
    return admin_client({"bootstrap.servers": kafka})


# --- on the mock cluster, which answers no question about topics


def test_the_mock_cluster_is_told_apart(mock_kafka: str) -> None:
    """It says itself what it is."""
    assert is_mock_cluster(admin_client({"bootstrap.servers": mock_kafka}))


def test_on_the_mock_cluster_questions_are_left_out_and_logged(
    mock_kafka: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Topics are made, checks pass with a warning, and the cluster's id stands for the topics'."""
    admin = admin_client({"bootstrap.servers": mock_kafka})
    with caplog.at_level(logging.WARNING, logger="nexus.kafka"):
        assert ensure_topics(admin, [TopicPlan.input(topic, 3)]) == [topic]
        assert ensure_topics(admin, [TopicPlan.input(topic, 3)]) == []
        check_input_topic(admin, topic)
        check_output_topic(admin, topic)
        check_control_topic(admin, topic)
    assert topic_id(admin, topic).startswith("mockCluster")
    assert longest_kept_ms(admin, topic) is None
    assert caplog.text.count("mock cluster") == 4


# --- without a broker


def test_no_broker_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is not taken for anything else."""
    monkeypatch.setattr("sinks.topics._TIMEOUT_S", 0.3)
    with pytest.raises(BrokerUnavailable, match="cannot reach the broker"):
        is_mock_cluster(admin_client({"bootstrap.servers": f"127.0.0.1:{free_port()}"}))


def test_a_wrong_option_is_named() -> None:
    """A misspelt option of librdkafka ends with its name."""
    with pytest.raises(SettingsError, match=r"no\.such\.option"):
        admin_client({"no.such.option": "1"})


# --- on a real broker


@pytest.mark.services
def test_missing_topics_are_made_with_the_brokers_times(admin: AdminClient, topic: str) -> None:
    """What is made may be read from at once, and is made once."""
    assert not is_mock_cluster(admin)
    assert ensure_topics(admin, [TopicPlan.input(topic, 3)]) == [topic]
    assert ensure_topics(admin, [TopicPlan.input(topic, 3)]) == []
    check_input_topic(admin, topic)
    assert len(admin.list_topics(topic).topics[topic].partitions) == 3


@pytest.mark.services
def test_producers_times_are_refused_unless_trusted(new_topic: MakeTopic, admin: AdminClient) -> None:
    """The remedy names both ways out."""
    topic = new_topic(1, {"message.timestamp.type": "CreateTime"})
    with pytest.raises(StartRefused, match="LogAppendTime, or set trust_producer_clocks"):
        check_input_topic(admin, topic)
    check_input_topic(admin, topic, trust_producer_clocks=True)


@pytest.mark.services
@pytest.mark.parametrize("ask", [check_input_topic, check_control_topic, check_output_topic, topic_id])
def test_a_topic_that_is_not_there_is_refused_and_not_made(
    admin: AdminClient, topic: str, ask: Callable[[AdminClient, str], object]
) -> None:
    """A misspelt name stays a misspelt name."""
    with pytest.raises(StartRefused, match=topic):
        ask(admin, topic)
    assert topic not in admin.list_topics().topics


@pytest.mark.services
def test_a_topic_made_again_has_another_id(admin: AdminClient, topic: str) -> None:
    """The name alone does not tell that all offsets are void."""
    ensure_topics(admin, [TopicPlan.input(topic, 1)])
    before = topic_id(admin, topic)
    assert topic_id(admin, topic) == before
    admin.delete_topics([topic])[topic].result()
    eventually(lambda: ensure_topics(admin, [TopicPlan.input(topic, 1)]) == [topic])
    assert topic_id(admin, topic) != before


@pytest.mark.services
def test_a_compacted_topic_is_no_place_for_transitions(new_topic: MakeTopic, admin: AdminClient) -> None:
    """It would keep the last transition of each entity only."""
    with pytest.raises(StartRefused, match=r"set its cleanup\.policy to delete"):
        check_output_topic(admin, new_topic(1, {"cleanup.policy": "compact"}))


@pytest.mark.services
def test_dead_letters_need_room_for_the_largest_message(
    new_topic: MakeTopic, admin: AdminClient, topic: str
) -> None:
    """A topic with the input's own limit has no room for the headers; one that we make has."""
    inputs = [new_topic(1)]
    with pytest.raises(StartRefused, match=r"set its max\.message\.bytes"):
        check_output_topic(admin, new_topic(1), inputs)
    ensure_topics(admin, [TopicPlan.output(topic, 1)])
    check_output_topic(admin, topic, inputs)


@pytest.mark.services
def test_what_the_broker_refuses_is_told(admin: AdminClient, topic: str) -> None:
    """More replicas than brokers is for a person to correct."""
    with pytest.raises(StartRefused, match="there are fewer brokers"):
        ensure_topics(admin, [TopicPlan.input(topic, 1, replication_factor=3)])


@pytest.mark.services
def test_operator_events_have_a_topic_that_forgets_nothing(admin: AdminClient, topic: str) -> None:
    """The one that is made has one partition and no end of retention, and passes its own check."""
    assert ensure_topics(admin, [TopicPlan.control(topic)]) == [topic]
    check_control_topic(admin, topic)
    assert len(admin.list_topics(topic).topics[topic].partitions) == 1
    assert longest_kept_ms(admin, topic) is None


KEPT = {"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}
NOT_FOR_OPERATORS = {
    "a week": (1, {**KEPT, "retention.ms": "604800000"}, r"set its retention\.ms to -1"),
    "a gigabyte": (1, {**KEPT, "retention.bytes": "1000000000"}, r"set its retention\.bytes to -1"),
    "compacted": (1, {**KEPT, "cleanup.policy": "compact"}, r"set its cleanup\.policy to delete"),
    "producers' times": (1, {**KEPT, "message.timestamp.type": "CreateTime"}, "to LogAppendTime"),
    "two partitions": (2, KEPT, r"another topic in input\.control"),
}


@pytest.mark.services
@pytest.mark.parametrize(
    ("partitions", "config", "says"), NOT_FOR_OPERATORS.values(), ids=list(NOT_FOR_OPERATORS)
)
def test_a_topic_that_would_lose_operator_events_is_refused(
    new_topic: MakeTopic, admin: AdminClient, partitions: int, config: dict[str, str], says: str
) -> None:
    """Or their order: the remedy is in the message."""
    with pytest.raises(StartRefused, match=says):
        check_control_topic(admin, new_topic(partitions, config))


@pytest.mark.services
def test_how_long_a_message_is_kept(new_topic: MakeTopic, admin: AdminClient) -> None:
    """A segment is deleted whole, so its own length in time comes on top."""
    topic = new_topic(1, {"retention.ms": "1000000", "segment.ms": "200000"})
    assert longest_kept_ms(admin, topic) == 1_200_000
