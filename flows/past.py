"""Reads a topic, or the log in its place, from its start to where it ends now, past the consumer group."""

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka_reader import message_of as kafka_message
from flows.log_reader import message_of as log_message
from flows.wiring import Wiring
from schemas.errors import BrokerUnavailable, SettingsError
from schemas.events import Message

_ANSWER_S = 10.0
_SILENCE_S = 30.0


def messages_of(parts: Wiring, log_name: str, topic: str) -> Iterator[Message]:
    """Every message that is there now, each partition in order: embedded of the log, else of the topic."""
    return _lines(parts, log_name) if parts.settings.source == "log" else _messages(parts, topic)


def _lines(parts: Wiring, log_name: str) -> Iterator[Message]:
    log = parts.log(log_name)
    offset, end = log.first(), log.end()
    while offset < end and (lines := log.read(offset)):
        yield from (log_message(log_name, line) for line in lines)
        offset = lines[-1].next_offset


def _messages(parts: Wiring, topic: str) -> Iterator[Message]:
    config = {
        **parts.consumer_config,
        "group.id": f"{parts.settings.group_id}-past",  # which is never joined
        "enable.partition.eof": True,
    }
    try:
        consumer = Consumer(dict(config))
    except KafkaException as error:
        raise SettingsError(f"kafka: {error.args[0].str()}; correct it in the settings") from error
    try:
        yield from _read(consumer, topic)
    except KafkaException as error:
        raise BrokerUnavailable(f"cannot read topic {topic}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str) -> Iterator[Message]:
    known = consumer.list_topics(timeout=_ANSWER_S).topics.get(topic)  # asked by name, it may be made
    unread: set[int] = set(known.partitions) if known else set()
    starts = [_start(consumer, topic, number) for number in sorted(unread)]
    consumer.assign(starts)
    while unread:
        one = consumer.poll(_SILENCE_S)
        if one is None:
            raise BrokerUnavailable(f"cannot read topic {topic}: nothing came for {_SILENCE_S:.0f} s")
        error = one.error()
        if error is None:
            yield kafka_message(one, one.offset() or 0)
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(one.partition() or 0)
        elif not error.retriable():
            raise BrokerUnavailable(f"cannot read topic {topic}: {error.str()}")


def _start(consumer: Consumer, topic: str, number: int) -> TopicPartition:
    place = TopicPartition(topic, number)
    first, _ = consumer.get_watermark_offsets(place, timeout=_ANSWER_S)
    return TopicPartition(topic, number, first)
