"""The transitions as they lie in their topic or log, for a reader that keeps its own place."""

import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient

from flows.log_reader import log_id
from schemas.errors import BrokerUnavailable, StartRefused, TerminalError
from sinks.kafka_errors import error_of, translated
from sinks.segments import SegmentedLog
from sinks.topics import topic_id

log = logging.getLogger("nexus.notify")

_ASK_S = 10.0
_LOOK_S = 30.0  # how often new partitions are looked for
_MOST = 500
_LOG = "transitions"


class Published(NamedTuple):
    """A transition as it was published; `key` is the entity of this copy, None in a log. A tombstone has no
    data.
    """

    partition: int
    next_offset: int
    key: str | None
    data: bytes | None


class Transitions(Protocol):
    """Where transitions are. `topic` names it; `id` is another one when it was made anew."""

    topic: str

    def id(self) -> str:
        """What tells it from one of the same name that was there before."""

    def open(self, offsets: Mapping[int, int], since_ms: int) -> None:
        """Read on from these offsets; partitions that are not named, from what was published since then."""

    def read(self) -> list[Published]:
        """What comes next; empty if nothing came in a moment."""

    def is_at_end(self) -> bool:
        """Whether everything that is there now was read."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell others how far it was read, as advice."""

    def close(self) -> None:
        """Let go of it."""


class LogTransitions:
    """The transitions log in the data folder, as partition 0."""

    def __init__(self, source: SegmentedLog, wait_s: float = 0.02) -> None:
        self.topic, self._log, self._wait_s, self._at = _LOG, source, wait_s, 0

    def id(self) -> str:
        """Made with the log."""
        return log_id(self._log.folder)

    def open(self, offsets: Mapping[int, int], since_ms: int) -> None:
        """From the beginning, where no offset is known: a log has no index of times, and is quickly read."""
        self._at = offsets.get(0, self._log.first())

    def read(self) -> list[Published]:
        """The next lines."""
        try:
            lines = self._log.read(self._at, _MOST)
        except StartRefused as error:  # what is gone is old news, and nobody waits for it
            log.warning("transitions that were not read are gone: %s", error)
            self._at = self._log.first()
            return []
        if not lines:
            time.sleep(self._wait_s)
            return []
        self._at = lines[-1].next_offset
        return [Published(0, line.next_offset, None, line.data) for line in lines]

    def is_at_end(self) -> bool:
        """Whether nothing stands behind what was read."""
        return self._at >= self._log.end()

    def commit(self, offsets: Mapping[int, int]) -> None:
        """There is no group to tell."""

    def close(self) -> None:
        """Nothing is open."""


class TopicTransitions:
    """The transitions topic, all its partitions. It takes no part in its group's sharing out: one process
    reads at a time. What has expired is passed over with a warning: it is old news.
    """

    def __init__(
        self, config: Mapping[str, Any], topic: str, admin: AdminClient, wait_s: float = 0.02
    ) -> None:
        """`config`: librdkafka options of a consumer, with a group to tell where this one stands."""
        self.topic, self._admin, self._wait_s = topic, admin, wait_s
        self._consumer = Consumer({**config, "auto.offset.reset": "earliest", "enable.partition.eof": False})
        self._at: dict[int, int] = {}
        self._since_ms, self._next_look = 0, 0.0

    def id(self) -> str:
        """The broker's id of the topic."""
        return topic_id(self._admin, self.topic)

    def open(self, offsets: Mapping[int, int], since_ms: int) -> None:
        """Read every partition there is."""
        self._since_ms = since_ms
        self._at = dict(offsets)
        try:
            for partition in self._partitions():
                self._at[partition] = self._begin(partition, offsets.get(partition))
            self._assign()
        except KafkaException as error:
            raise self._translated(error) from error

    def _partitions(self) -> list[int]:
        known = self._admin.list_topics(timeout=_ASK_S).topics.get(self.topic)
        if known is None or not known.partitions:
            raise BrokerUnavailable(f"topic {self.topic} is not there")
        return sorted(known.partitions)

    def _begin(self, partition: int, offset: int | None) -> int:
        place = TopicPartition(self.topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=_ASK_S)
        if offset is None:
            place.offset = self._since_ms
            found = self._consumer.offsets_for_times([place], timeout=_ASK_S)[0].offset
            return found if found >= 0 else int(high)  # asked for before: nothing can fall in between
        if not low <= offset <= high:
            log.warning("transitions that were not read are gone from %s/%d", self.topic, partition)
            return int(low)
        return offset

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(self.topic, *place) for place in self._at.items()])
        self._next_look = time.monotonic() + _LOOK_S

    def read(self) -> list[Published]:
        """The next messages, of any partition."""
        try:
            self._look()
            first = self._consumer.poll(self._wait_s)
            if first is None:
                return []
            found = [first, *self._consumer.consume(_MOST - 1, timeout=0)]  # which else waits for all of them
            return [self._published(one) for one in found if not self._is_passing(one.error())]
        except KafkaException as error:
            raise self._translated(error) from error

    def _look(self) -> None:
        """Read new partitions, too, from their beginning."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        new = {partition: 0 for partition in self._partitions() if partition not in self._at}
        if new:
            self._at |= new
            self._assign()

    def _is_passing(self, error: KafkaError | None) -> bool:
        if error is None:
            return False
        if error.fatal():
            raise KafkaException(error)
        if not error.retriable():
            log.warning("topic %s: %s", self.topic, error.str())
        return True

    def _published(self, one: KafkaMessage) -> Published:
        partition, offset, key, value = one.partition(), one.offset(), one.key(), one.value()
        assert partition is not None
        assert offset is not None
        self._at[partition] = offset + 1
        named = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
        return Published(partition, offset + 1, named, value)

    def is_at_end(self) -> bool:
        """Whether every partition was read to where it ends now."""
        try:
            ends = {
                partition: self._consumer.get_watermark_offsets(
                    TopicPartition(self.topic, partition), timeout=_ASK_S
                )[1]
                for partition in self._at
            }
        except KafkaException as error:
            raise self._translated(error) from error
        return all(self._at[partition] >= end for partition, end in ends.items())

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group, as advice for who watches the lag."""
        places = [TopicPartition(self.topic, *place) for place in offsets.items()]
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            log.info("the group was not told: %s", error_of(error).str())

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _translated(self, error: KafkaException) -> Exception:
        what = f"read topic {self.topic}"
        return translated(error_of(error), what, transient=BrokerUnavailable, terminal=TerminalError)
