"""The Kafka sinks: keys, envelope, partitions, and what happens when the broker is away."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest

from schemas.errors import SettingsError, SinkUnavailable, TerminalError
from schemas.transitions import EntityCreated, Transition, from_json
from sinks.kafka import KafkaDeadLetters, KafkaTransitions
from sinks.topics import TopicPlan, admin_client, ensure_topics
from tests.services import KafkaServer
from tests.services.server import free_port
from tests.sinks.kafka_topics import Found, read_topic
from tests.sinks.made_up import (
    created,
    dead_letter,
    entity,
    erased,
    history,
    merged,
    snapshot_started,
)

# What Kafka's own org.apache.kafka.common.utils.Utils.murmur2 gives.
JAVAS_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
    b"": 275646681,
    b"per_0123456789abcdef0123456789abcdef": 1852530764,
    b"grp_ffffffffffffffffffffffffffffffff": -1366379932,
}


StartKafka = Callable[[], KafkaServer]


@pytest.fixture
def topic() -> str:
    """Give a name that nobody has used."""
    return f"test-{uuid.uuid4().hex[:12]}"


def attributes(found: Found) -> dict[str, str]:
    return {name: value.decode() for name, value in found.headers}


def make_topic(bootstrap: str, topic: str, partitions: int = 1) -> None:
    ensure_topics(admin_client({"bootstrap.servers": bootstrap}), [TopicPlan.output(topic, partitions)])


def numbers(bootstrap: str, topic: str) -> list[int]:
    return [from_json(found.value).number for found in read_topic(bootstrap, topic) if found.value]


def compacted(found: list[Found]) -> dict[bytes | None, bytes]:
    """What a compacted copy of a topic keeps: the last value of each key, nothing behind a tombstone."""
    last = {one.key: one.value for one in found}
    return {key: value for key, value in last.items() if value is not None}


# --- what goes out


def test_a_transition_is_a_cloud_event(mock_kafka: str, topic: str) -> None:
    """Key, envelope and type are those of the CloudEvents binding for Kafka."""
    sink = KafkaTransitions({"bootstrap.servers": mock_kafka}, topic)
    sink.write([created(5, namespace="my team")])
    [found] = read_topic(mock_kafka, topic)
    assert found.key == entity(5).encode()
    assert attributes(found) == {
        "ce_specversion": "1.0",
        "ce_id": f"{5:032x}",
        "ce_source": "/nexus/my%20team",
        "ce_type": "nexus.entity_created",
        "ce_time": "2026-01-05T10:00:00.000Z",
        "ce_subject": entity(5),
        "content-type": "application/json",
    }


def test_a_merge_goes_out_under_both_keys(mock_kafka: str, topic: str) -> None:
    """Who follows either entity hears of it, with the same content."""
    KafkaTransitions({"bootstrap.servers": mock_kafka}, topic).write([merged(1, 2, 3)])
    found = read_topic(mock_kafka, topic)
    assert {one.key for one in found} == {entity(2).encode(), entity(3).encode()}
    assert len({one.value for one in found}) == 1
    assert len({attributes(one)["ce_id"] for one in found}) == 1


def test_an_erasure_leaves_tombstones(mock_kafka: str, topic: str) -> None:
    """Behind it, under its own key and under each erased id, come messages without a value."""
    KafkaTransitions({"bootstrap.servers": mock_kafka}, topic).write([erased(1, 2, 3)])
    found = read_topic(mock_kafka, topic)
    of_entity = [one.value for one in found if one.key == entity(2).encode()]
    of_other = [one.value for one in found if one.key == entity(3).encode()]
    assert [value is None for value in of_entity] == [False, True]
    assert of_other == [None]
    assert {attributes(one)["ce_type"] for one in found} == {"nexus.entity_erased"}


def test_a_compacted_copy_forgets_the_erased_and_keeps_what_remains(mock_kafka: str, topic: str) -> None:
    """Nothing is left under their keys but what began anew, also when a publisher writes it twice."""
    batch: list[Transition] = [created(1), created(2), merged(3, 1, 2), erased(4, 1, 2), created(5, about=1)]
    sink = KafkaTransitions({"bootstrap.servers": mock_kafka}, topic)
    sink.write(batch)
    sink.write(batch[2:])
    kept = compacted(read_topic(mock_kafka, topic))
    assert {key: from_json(value).number for key, value in kept.items()} == {entity(1).encode(): 5}


def test_a_snapshot_has_no_instant(mock_kafka: str, topic: str) -> None:
    """Its messages describe and were not caused."""
    KafkaTransitions({"bootstrap.servers": mock_kafka}, topic).write([snapshot_started(1)])
    [found] = read_topic(mock_kafka, topic)
    assert "ce_time" not in attributes(found)
    assert found.key == b"test"


def test_a_key_lives_where_java_would_put_it(mock_kafka: str, topic: str) -> None:
    """The partition is murmur2 of the key, made positive, modulo their number, as with Java's clients."""
    sink = KafkaDeadLetters({"bootstrap.servers": mock_kafka}, topic)
    sink.write([dead_letter(0, b"x", key) for key in JAVAS_MURMUR2])
    found = {one.key: one.partition for one in read_topic(mock_kafka, topic)}
    partitions = len(
        admin_client({"bootstrap.servers": mock_kafka}).list_topics(topic).topics[topic].partitions
    )
    assert partitions > 1
    assert found == {key: (hashed & 0x7FFFFFFF) % partitions for key, hashed in JAVAS_MURMUR2.items()}


# --- what goes wrong


def test_a_broker_that_is_away_is_no_success(topic: str) -> None:
    """The write fails in time, says where it wanted to write and why it could not, and quotes nothing."""
    bootstrap = f"127.0.0.1:{free_port()}"
    sink = KafkaTransitions({"bootstrap.servers": bootstrap, "delivery.timeout.ms": "500"}, topic)
    with pytest.raises(SinkUnavailable, match=f"{topic}.*refused") as failed:
        sink.write(history(3))
    assert "ü" not in str(failed.value)
    sink.close()


def test_a_report_that_does_not_come_is_no_success(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even when nothing has failed yet."""
    sink = KafkaTransitions({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, topic)
    monkeypatch.setattr(sink._topic, "_timeout_s", 0.2)
    with pytest.raises(SinkUnavailable, match="3 of 3 messages were not confirmed"):
        sink.write(history(3))


def test_a_full_queue_is_waited_for(mock_kafka: str, topic: str) -> None:
    """A batch larger than the client's queue arrives whole."""
    config = {"bootstrap.servers": mock_kafka, "queue.buffering.max.messages": "10"}
    KafkaTransitions(config, topic).write(history(100))
    assert sorted(numbers(mock_kafka, topic)) == list(range(1, 101))


def test_a_tombstone_that_is_not_confirmed_is_no_success(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts like any other message: the erasure and two tombstones are three."""
    sink = KafkaTransitions({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, topic)
    monkeypatch.setattr(sink._topic, "_timeout_s", 0.2)
    with pytest.raises(SinkUnavailable, match="3 of 3 messages were not confirmed"):
        sink.write([erased(1, 2, 3)])


def test_a_queue_that_does_not_empty_is_an_error(topic: str) -> None:
    """Nor is it waited for for ever."""
    config = {
        "bootstrap.servers": f"127.0.0.1:{free_port()}",
        "queue.buffering.max.messages": "10",
        "delivery.timeout.ms": "500",
    }
    with pytest.raises(SinkUnavailable):
        KafkaTransitions(config, topic).write(history(100))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("enable.idempotence", "false"),
        ("partitioner", "consistent_random"),
        ("transactional.id", "x"),
        ("delivery.report.only.error", "true"),
        ("delivery.timeout.ms", "soon"),
        ("linger.ms", "soon"),
        ("no.such.option", "1"),
        ("max.in.flight", "9"),
    ],
)
def test_a_setting_that_would_void_a_promise_is_refused(option: str, value: str) -> None:
    """Before anything is written, in one line that names the option."""
    with pytest.raises(SettingsError) as refused:
        KafkaTransitions({"bootstrap.servers": "127.0.0.1:1", option: value}, "topic")
    assert "\n" not in str(refused.value)
    assert "kafka: " in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"acks": "-1", "enable.idempotence": "True"},
        {"request.required.acks": "all"},
        {"message.timeout.ms": "2000", "queue.buffering.max.ms": "1"},
    ],
)
def test_a_setting_in_other_words_is_accepted(options: dict[str, str]) -> None:
    """librdkafka has two names and several spellings for some options."""
    KafkaTransitions({"bootstrap.servers": "127.0.0.1:1", **options}, "topic").close()


# --- on a real broker


@pytest.mark.services
def test_a_topic_that_is_not_there_needs_a_person(kafka: str, topic: str) -> None:
    """A deleted topic is not made anew by writing to it, and not waited for again and again."""
    with pytest.raises(TerminalError, match=f"{topic}.*make the topic again"):
        KafkaTransitions({"bootstrap.servers": kafka}, topic).write(history(1))


@pytest.mark.services
def test_a_message_that_the_topic_does_not_take_needs_a_person(
    kafka: str, new_topic: Callable[[], str]
) -> None:
    """The remedy is in the message; to try again would be in vain."""
    topic = new_topic()
    large = dead_letter(0, bytes(range(256)) * 20_000)
    sink = KafkaDeadLetters({"bootstrap.servers": kafka, "compression.type": "none"}, topic)
    with pytest.raises(TerminalError, match=r"raise max\.message\.bytes"):
        sink.write([large])


@pytest.mark.services
def test_a_broker_killed_in_the_middle_of_a_write(topic: str, start_kafka: StartKafka) -> None:
    """The write fails; written again after the restart everything is there, first copies in order."""
    server = start_kafka()
    make_topic(server.bootstrap, topic)
    sink = KafkaTransitions({"bootstrap.servers": server.bootstrap, "delivery.timeout.ms": "3000"}, topic)
    failed = _write_until_killed(sink, server)
    server.start()
    sink.write(failed)
    last = failed[-1].number + 1
    sink.write([created(last)])
    found = numbers(server.bootstrap, topic)
    assert list(dict.fromkeys(found)) == list(range(1, last + 1))
    assert found[-1] == last  # nothing of the failed write came out behind it


@pytest.mark.services
def test_a_broker_that_comes_back_in_time_is_not_noticed(topic: str, start_kafka: StartKafka) -> None:
    """Killed and restarted within the delivery timeout: no error, one copy of each, in order."""
    server = start_kafka()
    make_topic(server.bootstrap, topic)
    sink = KafkaTransitions({"bootstrap.servers": server.bootstrap, "delivery.timeout.ms": "60000"}, topic)
    sink.write([created(1)])

    def kill_and_start() -> None:
        server.kill9()
        server.start()

    restart = threading.Thread(target=kill_and_start)
    restart.start()
    number = 1
    while restart.is_alive():
        sink.write([created(number + i) for i in range(1, 501)])
        number += 500
    restart.join()
    assert numbers(server.bootstrap, topic) == list(range(1, number + 1))


def _write_until_killed(sink: KafkaTransitions, server: KafkaServer) -> list[EntityCreated]:
    """Kill the broker while batches are written, and return the batch that failed."""
    killer = threading.Timer(0.5, server.kill9)
    killer.start()
    number = 1
    while True:
        batch = [created(number + i) for i in range(2_000)]
        number += len(batch)
        try:
            sink.write(batch)
        except SinkUnavailable:
            killer.join()
            return batch
