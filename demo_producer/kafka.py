"""The stream into Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from demo_producer.calls import Format
from demo_producer.record import Record
from schemas.errors import BrokerUnavailable, SettingsError, SinkUnavailable

ANSWER_S = 10.0  # how long a broker may take to answer at all
_DEFAULTS: Mapping[str, str] = {
    "enable.idempotence": "true",
    "acks": "all",
    "partitioner": "murmur2_random",  # as Java's clients: one key lives on one partition, whoever writes it
    "compression.type": "lz4",
    "linger.ms": "20",
    "message.timeout.ms": "30000",
    "message.max.bytes": str(8 * 1024 * 1024),  # some malformed messages are longer than the usual limit
    "queue.buffering.max.messages": "20000",
    "queue.buffering.max.kbytes": "65536",
}


class KafkaOutput:
    """Writes records to one topic per format and knows that they arrived.

    `finish` returns when every record is acknowledged by all in-sync replicas. A record that was not
    delivered, now or later, raises SinkUnavailable; BrokerUnavailable when nobody answers at the start.
    Topics that are missing are made, with the broker's time (`LogAppendTime`), since producers' clocks lend
    no seniority.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Mapping[Format, str],
        options: Mapping[str, str] | None = None,
        partitions: int = 8,
    ) -> None:
        self._topics = topics
        self._failure: KafkaError | None = None
        self._delivered = 0
        connection = {"bootstrap.servers": bootstrap, **(options or {})}
        try:
            self._producer = Producer({**_DEFAULTS, **connection, "error_cb": _ignore, "log_level": 0})
        except KafkaException as error:
            raise SettingsError(f"Kafka option refused: {_words(error)}") from error
        self._make_missing_topics(connection, partitions)

    def write(self, records: Iterable[Record]) -> int:
        """Send the records, wait until all arrived, and return how many."""
        for record in records:
            self._send(record)
        return self.finish()

    def finish(self) -> int:
        """Wait for every delivery report and return how many records arrived since the start."""
        while len(self._producer):
            self._producer.poll(0.1)  # ends: each message is delivered or fails within message.timeout.ms
            self._raise_failure()
        self._raise_failure()
        return self._delivered

    def _send(self, record: Record) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topics[record.format],
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    on_delivery=self._report,
                )
                break
            except BufferError:
                self._producer.poll(0.1)  # the queue is full: let some arrive first
                self._raise_failure()
            except KafkaException as error:
                raise self._undelivered(error.args[0]) from error
        self._producer.poll(0)
        self._raise_failure()

    def _report(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._delivered += 1
        elif self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._producer.purge()
            raise self._undelivered(self._failure)

    def _undelivered(self, error: KafkaError) -> SinkUnavailable:
        return SinkUnavailable(f"a record was not delivered after {self._delivered} that were: {error.str()}")

    def _make_missing_topics(self, connection: Mapping[str, str], partitions: int) -> None:
        try:
            there = self._producer.list_topics(timeout=ANSWER_S).topics
            missing = sorted(set(self._topics.values()) - there.keys())
            if missing:
                _make_topics(AdminClient({**connection, "log_level": 0}), missing, partitions)
        except (KafkaException, TimeoutError) as error:
            raise BrokerUnavailable(f"Kafka at {connection['bootstrap.servers']}: {_words(error)}") from error


def _make_topics(admin: AdminClient, names: list[str], partitions: int) -> None:
    config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": _DEFAULTS["message.max.bytes"]}
    topics = [NewTopic(name, num_partitions=partitions, config=config) for name in names]
    for made in admin.create_topics(topics, operation_timeout=ANSWER_S).values():
        try:
            made.result(timeout=2 * ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
                raise


def _ignore(_error: KafkaError) -> None:
    """Errors of a connection are retried by librdkafka; what counts is what the delivery reports say."""


def _words(error: Exception) -> str:
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    return "no answer"
