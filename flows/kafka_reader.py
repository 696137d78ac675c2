"""The input in Kafka: one consumer of the group for each worker, positioned by the offsets in the store."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient

from flows.reader import Taken
from resolver.store import Move
from schemas.errors import BrokerUnavailable, SettingsError, StartRefused, TerminalError, TransientError
from schemas.events import Message
from sinks.kafka_errors import error_of, translated

log = logging.getLogger("nexus.kafka")

Partition = tuple[str, int]

_PATIENCE_S = 60.0
_ASK_S = 4.0  # a coordinator may leave a question unanswered: ask again, and another way
_HOLD_S = 10.0  # how long the next operator event may take before everything else is read again
_CLOSE_S = 10.0  # how long it may take to leave the group
_LOOK_BACK_S = 5.0  # how often each worker looks whether the store went back in time
_BATCH_BYTES = 2 << 20  # of values in one batch: large messages hold many links, and a call holds up Redis

_EXPIRED = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}

# What the flow stands on; a user's own options may not change it.
FIXED = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # the default jumps over what expired, without a word
    "partition.assignment.strategy": "cooperative-sticky",
}
DEFAULTS = {
    "fetch.wait.max.ms": 20,
    "queued.max.messages.kbytes": 16384,  # librdkafka's default of 64 MiB is per consumer
    "topic.metadata.refresh.interval.ms": 30_000,  # a new partition joins within this
}


_COMMON = ("bootstrap.servers", "client.id", "security.", "sasl.", "ssl.", "socket.", "broker.", "logger")


def _is_common(option: str) -> bool:
    """Whether a librdkafka option is one that every client takes."""
    return option.startswith(_COMMON)


class Resume(Protocol):
    """The store's word on where to go on. See `RedisStore.resume`."""

    def __call__(
        self, topic: str, topic_id: str | None, committed: Mapping[int, int | None], from_beginning: bool
    ) -> Mapping[int, int | None]: ...


class KafkaReader:
    """A member of the consumer group. See `Reader` for the promise.

    What a rebalance has to ask about topics it asks with a client of its own: within a callback of a
    consumer, a second call that may run callbacks (`list_topics` is one) aborts the process at the next.

    On assignment, and now and then after it, it reads the group's offsets first and the store's after them,
    so that the store can only look ahead of the group unless it went back in time.

    `control` is the topic of operator events. They come one at a time, for each is an atomic call of its own.
    Whoever is given its partition works off what is there before it reads on in its other partitions: so a
    replay knows early what was erased and blocked. That is a courtesy to those who would see it undone, not a
    promise: other members read on meanwhile, and an operator event acts on the whole log whenever it comes.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topics: Sequence[str],
        resume: Resume,
        topic_id: Callable[[str], str | None],
        *,
        control: str | None = None,
        from_beginning: bool = False,
        batch: int = 500,
        wait_s: float = 0.05,
    ) -> None:
        self._resume, self._topic_id, self._from_beginning = resume, topic_id, from_beginning
        self._batch, self._wait_s = batch, wait_s
        self._at: dict[Partition, int | None] = {}
        self._epochs: dict[Partition, int] = {}
        self._passed: dict[Partition, int] = {}  # what the store was seen to have passed
        self._every: frozenset[Partition] = frozenset()  # all partitions of the topics, whoever owns them
        self._next_look = 0.0
        self._control = control
        self._ahead: dict[Partition, int] = {}  # where the operator events end that come before all else
        self._held_until = 0.0
        self._topics = (*topics, *([control] if control is not None else []))
        self._failure: Exception | None = None
        self._received: deque[KafkaMessage] = deque()  # what one batch had no room for
        self._config, self._consumer = config, _consumer(config)
        self._admin = AdminClient({name: config[name] for name in config if _is_common(name)})
        self._consumer.subscribe(
            list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    # membership

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            consumer.incremental_assign(self._patiently(lambda: self._positions(consumer, partitions)))
            self._hold_back(consumer, partitions)
        except Exception as error:  # noqa: BLE001 -- from a callback it gets lost; `take` raises it
            self._failure = error
            consumer.incremental_assign([])

    @staticmethod
    def _patiently(ask: Callable[[], list[TopicPartition]]) -> list[TopicPartition]:
        """A store or a coordinator that is just coming back gets some time, well below
        max.poll.interval.ms.
        """
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return ask()
            except (TransientError, KafkaException) as error:
                if time.monotonic() > until:
                    raise StartRefused(
                        f"partitions were assigned and not positioned in {_PATIENCE_S:.0f} s: {error}"
                    ) from error
                log.warning("positioning the partitions that were assigned: %s", error)
                time.sleep(0.5)

    def _positions(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        assigned = [(one.topic, one.partition) for one in partitions]
        known = self._admin.list_topics(timeout=_ASK_S).topics  # asked by name, a topic may be made
        there = {(topic, n) for topic in self._topics if topic in known for n in known[topic].partitions}
        self._every = frozenset(there.union(assigned))
        stands = self._stands(consumer, _ASK_S)
        for partition in assigned:
            self._place(partition, stands[partition])
        return [_position(partition, stands[partition]) for partition in assigned]

    def _hold_back(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Leave everything else alone until the operator events are worked off, if they are ours."""
        for one in partitions:
            if one.topic == self._control:
                self._ahead[one.topic, one.partition] = _end_of(consumer, one)
        if self._is_behind():
            self._held_until = time.monotonic() + _HOLD_S
            consumer.pause([one for one in consumer.assignment() if one.topic != self._control])

    def _is_behind(self) -> bool:
        """Whether there are operator events of ours that were there when we got their partition."""
        return any((self._at.get(partition) or 0) < end for partition, end in self._ahead.items())

    def _go_ahead(self) -> None:
        """Read everything again, once the operator events are worked off, or do not come."""
        if self._held_until and (not self._is_behind() or time.monotonic() > self._held_until):
            self._held_until, self._ahead = 0.0, {}
            self._consumer.resume(self._consumer.assignment())

    def _may_be_read(self, topic: str) -> bool:
        return not self._held_until or topic == self._control

    def _stands(self, consumer: Consumer, timeout_s: float) -> dict[Partition, int | None]:
        """Where the store stands in all partitions. Those of other workers too: that the store went back in
        time may show in them alone, and the generation has to rise before anybody writes.
        """
        reached: dict[str, dict[int, int | None]] = {}
        asked = [TopicPartition(*partition) for partition in sorted(self._every)]
        for one in self._committed(consumer, asked, timeout_s):  # before the store's: see the class
            # a commit of our own may still be on its way
            offset = max(one.offset, self._passed.get((one.topic, one.partition), -1))
            reached.setdefault(one.topic, {})[one.partition] = offset if offset >= 0 else None
        return {
            (topic, partition): offset
            for topic, offsets in reached.items()
            for partition, offset in self._resume(
                topic, self._topic_id(topic), offsets, self._from_beginning
            ).items()
        }

    def _committed(
        self, consumer: Consumer, asked: list[TopicPartition], timeout_s: float
    ) -> Sequence[TopicPartition]:
        """The group's offsets. A member that is between two rebalances may get no answer, for as long as it
        waits for one: then they are asked for from outside the group.
        """
        try:
            return consumer.committed(asked, timeout=timeout_s)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._TIMED_OUT:
                raise
            log.info("the group's offsets are asked for from outside the group")
            outsider = _consumer(self._config)  # an admin client's question aborts when the broker goes away
            try:
                return outsider.committed(asked, timeout=timeout_s)
            finally:
                outsider.close()

    def _look_back(self) -> None:
        """Now and then: a store that fell back under a running worker is read again from where it
        stands. Without this, what it forgot of a partition that is quiet now would stay forgotten.
        """
        if not self._at or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_BACK_S
        try:
            stands = self._stands(self._consumer, 3)
        except (TransientError, KafkaException) as error:
            log.info("whether the store went back in time is not known yet: %s", error)
            return
        for partition, offset in stands.items():
            if partition in self._at and (offset or 0) < self._passed[partition]:
                log.warning("the store went back in time: reading %s/%d again from %s", *partition, offset)
                self._go_on_at(partition, offset)

    def _place(self, partition: Partition, offset: int | None) -> None:
        """Read a partition from here on, and forget what was received of it from elsewhere."""
        self._at[partition], self._passed[partition] = offset, offset or 0
        self._received = deque(one for one in self._received if (one.topic(), one.partition()) != partition)
        self._epochs[partition] = self._epochs.get(partition, 0) + 1

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            self._at.pop((one.topic, one.partition), None)
            self._passed.pop((one.topic, one.partition), None)
            self._ahead.pop((one.topic, one.partition), None)
        consumer.incremental_unassign(partitions)

    # reading

    def take(self) -> Taken | None:
        """The next messages. Raises StartRefused when an offset expired or a topic is gone."""
        self._look_back()
        self._go_ahead()
        self._fill()
        if self._failure is not None:
            raise self._failure
        messages: list[Message] = []
        begun: dict[Partition, int | None] = {}
        room = _BATCH_BYTES
        while self._received and room > 0:
            is_alone = self._received[0].topic() == self._control
            if is_alone and begun:
                break
            one = self._received.popleft()
            room -= len(one)
            self._receive(one, messages, begun)
            if is_alone:
                self._held_until = self._held_until and time.monotonic() + _HOLD_S
                break
        if not begun:
            return None
        moves = tuple(Move(topic, n, start, self._end(topic, n)) for (topic, n), start in begun.items())
        return Taken(self, tuple(messages), moves, tuple(self._epochs[one] for one in begun))

    def _fill(self) -> None:
        """Wait for a first message, and take what came with it. Callbacks of the group run in here."""
        if self._received:
            return
        received = self._consumer.consume(self._batch, timeout=0)
        if not received:
            first = self._consumer.poll(self._wait_s)
            received = [] if first is None else [first, *self._consumer.consume(self._batch - 1, timeout=0)]
        self._received.extend(received)

    def _end(self, topic: str, partition: int) -> int:
        at = self._at[topic, partition]
        assert at is not None  # it was moved by what was received
        return at

    def _receive(
        self, one: KafkaMessage, messages: list[Message], begun: dict[Partition, int | None]
    ) -> None:
        """Sort one thing received into messages and moves; what belongs to an earlier position is passed
        over.
        """
        error = one.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._refuse(error, one.topic())
            return
        partition: Partition = (one.topic() or "", one.partition() or 0)
        offset = one.offset() or 0
        at = self._at.get(partition)
        if partition not in self._at or (at is not None and offset < at):
            return
        if error is None:
            messages.append(message_of(one, offset))
            following = offset + 1
        elif offset > (at or 0):
            following = offset  # the end lies behind offsets that hold no message for us
        else:
            return
        begun.setdefault(partition, at)
        self._at[partition] = following

    def _refuse(self, error: KafkaError, topic: str | None) -> None:
        if error.code() in _EXPIRED:
            raise StartRefused(
                f"topic {topic}: the next offset is no longer there, so messages are lost to the stream. "
                "Rebuild from what is kept (empty the namespace and start with --from-beginning), and "
                "lengthen the topic's retention"
            )
        told = translated(error, f"read topic {topic}", transient=BrokerUnavailable, terminal=StartRefused)
        if isinstance(told, TerminalError):
            raise told
        log.warning("Kafka: %s", told)

    def reposition(self, taken: Taken, offsets: Mapping[Partition, int | None]) -> None:
        """Go on at these offsets with the partitions of a refused batch that are still owned and were not
        moved since.
        """
        if any((offset or 0) < self._passed.get(partition, 0) for partition, offset in offsets.items()):
            self._next_look = 0.0
            self._look_back()
        for move, epoch in zip(taken.moves, taken.epochs, strict=True):
            partition = (move.topic, move.partition)
            if partition in self._at and self._epochs[partition] == epoch:
                self._go_on_at(partition, offsets[partition])

    def _go_on_at(self, partition: Partition, offset: int | None) -> None:
        self._place(partition, offset)
        self._seek(_position(partition, offset))

    def _seek(self, position: TopicPartition, patience_s: float = 10.0) -> None:
        """librdkafka refuses to seek while a partition's fetcher is starting or stopping, which passes."""
        until = time.monotonic() + patience_s
        while True:
            try:
                return self._consumer.seek(position)
            except KafkaException as error:
                if time.monotonic() > until:
                    raise BrokerUnavailable(f"Kafka: cannot seek in {position.topic}") from error
                time.sleep(0.05)

    def commit(self, moves: tuple[Move, ...]) -> None:
        """Tell the group how far the store is. Advice: a failure is told by the client's log and harms
        nothing.
        """
        owned = [
            TopicPartition(m.topic, m.partition, m.next) for m in moves if (m.topic, m.partition) in self._at
        ]
        self._passed |= {(one.topic, one.partition): one.offset for one in owned}
        if owned:
            try:
                self._consumer.commit(offsets=owned, asynchronous=True)
            except KafkaException as error:
                log.warning("Kafka: the group's offsets were not committed: %s", error.args[0].str())

    def keep_alive(self) -> None:
        """Poll with everything paused, so that the broker does not take the member for dead."""
        assigned = self._consumer.assignment()
        self._consumer.pause(assigned)
        early = self._consumer.poll(0)
        if early is not None and early.error() is None:
            self._return(early)
        self._consumer.resume(
            [
                one
                for one in assigned
                if (one.topic, one.partition) in self._at and self._may_be_read(one.topic)
            ]
        )

    def _return(self, early: KafkaMessage) -> None:
        """Put back a message that came before the pause took hold: read on from it."""
        partition: Partition = (early.topic() or "", early.partition() or 0)
        if partition in self._at:
            self._seek(_position(partition, self._at[partition]))

    def close(self) -> None:
        """Leave the group. librdkafka may never come back from this when it is told of a rebalance in the
        midst of it (its issue 4884): then it is left behind, and the group notices when it hears no more.
        """
        closing = threading.Thread(target=self._consumer.close, name="leave the group", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)
        if closing.is_alive():
            log.warning("Kafka: leaving the group takes longer than %.0f s: it is not waited for", _CLOSE_S)


def _end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """Where a partition ends; 0 for one that holds nothing, or that nobody tells of."""
    try:
        first, end = consumer.get_watermark_offsets(partition, timeout=_ASK_S)
    except KafkaException as error:
        log.info("how many operator events there are is not known: %s", error)
        return 0
    return end if first < end else 0


def _position(partition: Partition, offset: int | None) -> TopicPartition:
    return TopicPartition(*partition, OFFSET_BEGINNING if offset is None else offset)


def message_of(one: KafkaMessage, offset: int) -> Message:
    """A message as it came; `offset` is its own."""
    _, timestamp_ms = one.timestamp()
    key, value = one.key(), one.value()
    headers = tuple((name, _bytes(content)) for name, content in _headers(one))
    return Message(
        one.topic() or "", one.partition() or 0, offset, offset + 1, timestamp_ms, value, key, headers
    )


def _headers(one: KafkaMessage) -> Sequence[tuple[str, Any]]:
    headers: Any = one.headers()  # a list of pairs, though the annotation allows a mapping too
    return headers or ()


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _consumer(config: Mapping[str, Any]) -> Consumer:
    try:
        return Consumer(dict(config))
    except KafkaException as error:
        raise SettingsError(f"kafka: {error_of(error).str()}; correct it in the settings") from error


class KafkaEnds:
    """Where topics end now, asked for with one client however often that is. It is a member of no group:
    who lets go of it need not close it. Any thread may ask.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        offsets: Callable[[str], Mapping[int, int]],
        patience_s: float = 30.0,
    ) -> None:
        self._consumer = _consumer({**config, "group.id": f"{config['group.id']}-ends"})
        self._offsets, self._patience_s = offsets, patience_s

    def now(
        self, topics: Sequence[str], offsets: Callable[[str], Mapping[int, int]] | None = None
    ) -> "KafkaEnd":
        """The ends of these topics, for whoever is as far as `offsets` say (none: the stream). Raises
        BrokerUnavailable where nobody tells them.
        """
        try:
            self._consumer.poll(0)  # what the client has to log waits for this
            known = self._consumer.list_topics(timeout=self._patience_s).topics  # by name, one may be made
            missing = ", ".join(topic for topic in topics if topic not in known)
            if missing:
                raise BrokerUnavailable(f"topic {missing} is not there")
            places = [(topic, partition) for topic in topics for partition in known[topic].partitions]
            return KafkaEnd({place: self._end(place) for place in places}, offsets or self._offsets)
        except KafkaException as error:
            what, told = "ask where the topics end", error_of(error)
            raise translated(told, what, transient=BrokerUnavailable, terminal=StartRefused) from error

    def _end(self, partition: Partition) -> int:
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=self._patience_s)
        return high


@dataclass(frozen=True, slots=True)
class KafkaEnd:
    """Whether the store has passed the ends that topics had."""

    ends: Mapping[Partition, int]
    offsets: Callable[[str], Mapping[int, int]]

    def __call__(self) -> bool:
        topics = {topic for topic, _ in self.ends}
        at = {(topic, n): offset for topic in topics for n, offset in self.offsets(topic).items()}
        return all(at.get(partition, 0) >= end for partition, end in self.ends.items())
