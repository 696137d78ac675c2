"""The reader on librdkafka's mock cluster: the real client and the real protocol, groups included.

The first member of a group on it waits three seconds for others, so tests share what one reader did.
"""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.kafka_reader import DEFAULTS, FIXED, KafkaEnds, KafkaReader, Partition
from flows.reader import Taken
from resolver.store import Move
from schemas.errors import BrokerUnavailable, StartRefused, StoreUnavailable
from schemas.events import Message
from tests.end_to_end.programs import eventually

PARTITIONS = 4  # what the mock cluster gives a topic of its own making
EACH = 50
BATCH = 20
QUICK = {"session.timeout.ms": 4000, "heartbeat.interval.ms": 200, "log_level": 0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Give the address of a mock cluster."""
    owner = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(0)  # the cluster lives as long as this client


@dataclass
class FakeStore:
    """Offsets as the store keeps them: what `resume` answers, and the fence that `apply` is."""

    offsets: dict[Partition, int | None] = field(default_factory=dict)
    asked: list[tuple[str, str | None, Mapping[int, int | None], bool]] = field(default_factory=list)
    fault: Exception | None = None
    faults: int = 0

    def resume(
        self, topic: str, topic_id: str | None, committed: Mapping[int, int | None], from_beginning: bool
    ) -> Mapping[int, int | None]:
        """Where to go on."""
        self.asked.append((topic, topic_id, dict(committed), from_beginning))
        if self.fault is not None and self.faults > 0:
            self.faults -= 1
            raise self.fault
        return {partition: self.offsets.get((topic, partition)) for partition in committed}

    def passed(self, topic: str) -> Mapping[int, int]:
        """The offsets of a topic."""
        return {
            n: offset for (name, n), offset in self.offsets.items() if name == topic and offset is not None
        }

    def has_passed(self, topic: str, partition: int, offset: int) -> bool:
        """Whether everything before this offset was applied, and in the other partitions as well."""
        passed = self.passed(topic)
        return passed[partition] == offset and all(
            passed.get(other) == EACH for other in range(PARTITIONS) if other != partition
        )

    def apply(self, taken: Taken) -> bool:
        """Move the offsets if they are where the batch expects them; say whether they were."""
        if any(self.offsets.get((move.topic, move.partition)) != move.expected for move in taken.moves):
            return False
        self.offsets |= {(move.topic, move.partition): move.next for move in taken.moves}
        return True


@dataclass
class Place:
    """A topic on the mock cluster, its group, and readers of it that are closed at the end."""

    bootstrap: str
    topic: str
    store: FakeStore
    stack: ExitStack

    def fill(self, each: int = EACH) -> None:
        """Produce numbered messages into each partition."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for partition in range(PARTITIONS):
            for number in range(each):
                producer.produce(self.topic, f"{partition}/{number}".encode(), partition=partition)
        assert producer.flush(10) == 0

    def reader(self, **more: object) -> KafkaReader:
        """A member of the group."""
        config = {
            **DEFAULTS, **FIXED, **QUICK, "bootstrap.servers": self.bootstrap, "group.id": self.topic, **more
        }  # fmt: skip
        reader = KafkaReader(
            config, [self.topic], self.store.resume, lambda topic: f"id of {topic}", batch=20
        )
        self.stack.callback(reader.close)
        return reader

    def settle(self, *readers: KafkaReader, seconds: float = 5) -> None:
        """Let the group come to rest: everybody polls for longer than a rebalance takes."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for reader in readers:
                assert reader.take() is None, "there is nothing to read"

    def committed(self) -> dict[int, int]:
        """The group's own offsets."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.topic, "log_level": 0})
        try:
            found = consumer.committed(
                [TopicPartition(self.topic, number) for number in range(PARTITIONS)], timeout=10
            )
            return {one.partition: one.offset for one in found if one.offset >= 0}
        finally:
            consumer.close()


@pytest.fixture
def place(cluster: str) -> Iterator[Place]:
    """Give a filled topic of the test's own, and a store that knows nothing of it."""
    with ExitStack() as stack:
        place = Place(cluster, f"test-{uuid.uuid4().hex[:12]}", FakeStore(), stack)
        place.fill()
        yield place


def take(reader: KafkaReader) -> Taken:
    """The next batch, waited for."""
    found: list[Taken] = []

    def one_came() -> bool:
        taken = reader.take()
        if taken is not None:
            found.append(taken)
        return bool(found)

    eventually(one_came, "the reader takes something")
    return found[0]


def work_off(place: Place, *readers: KafkaReader, until: Callable[[], bool] | None = None) -> list[Taken]:
    """Take and apply in turns until all was applied; refused batches reposition. Returns what was applied."""
    applied: list[Taken] = []

    def turn() -> bool:
        for reader in readers:
            taken = reader.take()
            if taken is None:
                continue
            if place.store.apply(taken):
                applied.append(taken)
                reader.commit(taken.moves)
            else:
                reader.reposition(taken, place.store.offsets)
        return until() if until is not None else is_worked_off(place)

    eventually(turn, "the readers work everything off")
    return applied


def is_worked_off(place: Place, each: int = EACH) -> bool:
    """Whether the store has passed every message."""
    return all(place.store.offsets.get((place.topic, one)) == each for one in range(PARTITIONS))


def values(applied: list[Taken]) -> list[bytes]:
    """What was applied."""
    return [message.value or b"" for taken in applied for message in taken.messages]


def everything(first: int = 0, each: int = EACH) -> list[bytes]:
    """What `fill` produced from a number on, sorted."""
    return sorted(
        f"{partition}/{number}".encode() for partition in range(PARTITIONS) for number in range(first, each)
    )


# one reader, from the beginning to the end


@dataclass
class Whole:
    """A reader that worked a topic off, and what was seen of it."""

    place: Place
    reader: KafkaReader
    applied: list[Taken]
    ended: tuple[bool, bool]


@pytest.fixture(scope="module")
def whole(cluster: str) -> Iterator[Whole]:
    """Give a reader that began with a store that knows nothing."""
    with ExitStack() as stack:
        place = Place(cluster, f"test-{uuid.uuid4().hex[:12]}", FakeStore(), stack)
        place.fill()
        config = {**QUICK, "bootstrap.servers": cluster, "group.id": place.topic}
        end = KafkaEnds(config, place.store.passed).now([place.topic])
        began, reader = end(), place.reader()
        applied = work_off(place, reader)
        place.fill(each=1)  # comes too late to keep a run from ending
        yield Whole(place, reader, applied, (began, end()))


def test_a_store_that_knows_nothing_starts_at_the_beginning(whole: Whole) -> None:
    """Every message comes once, and what a reader takes of a partition is without a gap."""
    assert sorted(values(whole.applied)) == everything()
    for partition in range(PARTITIONS):
        moves = [move for taken in whole.applied for move in taken.moves if move.partition == partition]
        assert moves[0].expected is None
        assert all(before.next == after.expected for before, after in pairwise(moves))


def test_a_batch_is_no_larger_than_it_may_be(whole: Whole) -> None:
    """`batch` bounds what one atomic call has to do."""
    assert max(len(taken.messages) for taken in whole.applied) <= BATCH


def test_the_end_is_reached_when_the_store_has_passed_it(whole: Whole) -> None:
    """The ends are those of the moment: what comes later does not keep the run from ending."""
    assert whole.ended == (False, True)


def test_the_ends_are_asked_for_anew_each_time(place: Place) -> None:
    """With one client, as often as somebody wants to know."""
    ends = KafkaEnds({**QUICK, "bootstrap.servers": place.bootstrap, "group.id": "any"}, place.store.passed)
    for each in (EACH, EACH + 1, EACH + 2):
        assert set(ends.now([place.topic]).ends.values()) == {each}
        place.fill(each=1)


def test_who_asks_for_the_ends_may_ask_again_when_the_broker_is_back() -> None:
    """A broker that is away, or knows no such topic, is an error that passes."""
    away = {**QUICK, "bootstrap.servers": "127.0.0.1:1", "group.id": "any"}
    with pytest.raises(BrokerUnavailable):
        KafkaEnds(away, FakeStore().passed, patience_s=0.2).now(["any"])


def test_commit_tells_the_group_and_only_of_what_is_owned(whole: Whole) -> None:
    """The group's offsets follow the store's; a partition that is not the reader's is left out."""
    place = whole.place
    whole.reader.commit((Move("somebody-else-s", 0, None, 7), Move(place.topic, 0, EACH, EACH)))
    eventually(lambda: place.committed() == dict.fromkeys(range(PARTITIONS), EACH), "the group is told")


def test_the_store_is_told_the_topic_s_id_and_the_group_s_offsets(whole: Whole) -> None:
    """`resume` gets what it needs to tell a store that is behind its group, or a topic made anew."""
    place = whole.place
    nothing: dict[int, int | None] = dict.fromkeys(range(PARTITIONS))
    assert place.store.asked[0] == (place.topic, f"id of {place.topic}", nothing, False)


# where reading begins


def test_reading_begins_at_the_store_s_offsets(place: Place) -> None:
    """The store says where to go on, also one that was away for a moment; a message arrives whole."""
    place.store.offsets = {(place.topic, partition): 30 for partition in range(PARTITIONS)}
    place.store.fault, place.store.faults = StoreUnavailable("away"), 2
    producer = Producer({"bootstrap.servers": place.bootstrap, "log_level": 0})
    headers: list[tuple[str, str | bytes | None]] = [("a", b"\xff"), ("a", None)]
    producer.produce(place.topic, None, b"\xffkey", 0, timestamp=1_767_600_000_123, headers=headers)
    assert producer.flush(10) == 0
    applied = work_off(place, place.reader(), until=lambda: place.store.has_passed(place.topic, 0, EACH + 1))
    messages = {(one.partition, one.offset): one for taken in applied for one in taken.messages}
    assert min(offset for _, offset in messages) == 30
    assert messages[0, EACH] == Message(
        place.topic, 0, EACH, EACH + 1, 1_767_600_000_123, None, b"\xffkey", (("a", b"\xff"), ("a", b""))
    )


def test_a_refusal_to_resume_comes_out_of_take(place: Place) -> None:
    """What the store refuses on assignment stops the reader loudly, with the store's words."""
    place.store.fault, place.store.faults = StartRefused("the topic was recreated"), 1
    reader = place.reader()
    with pytest.raises(StartRefused, match="recreated"):
        take(reader)


def test_an_offset_that_is_not_there_stops_the_reader(place: Place) -> None:
    """An offset beyond the log's end is an expired or recreated one: nothing is skipped silently."""
    place.store.offsets = {(place.topic, 0): EACH + 1_000}
    reader = place.reader()

    def refused() -> bool:
        try:
            reader.take()
        except StartRefused as error:
            return "no longer there" in str(error)
        return False

    eventually(refused, "the reader refuses")


# the fence


def test_a_refused_batch_goes_on_where_the_store_stands(place: Place) -> None:
    """After a refusal the reader reads from the store's offsets, forward or back, and nothing is left out."""
    reader = place.reader()
    refused = take(reader)
    ahead = {(move.topic, move.partition): 10 for move in refused.moves}
    place.store.offsets |= ahead  # another worker was there
    assert not place.store.apply(refused)
    reader.reposition(refused, place.store.offsets)
    applied = work_off(place, reader)
    expected = set(everything()) - {f"{partition}/{n}".encode() for _, partition in ahead for n in range(10)}
    assert sorted(values(applied)) == sorted(expected)


def test_batches_taken_before_a_refusal_are_refused_too_and_move_nothing(place: Place) -> None:
    """Two batches were downstream when the first was refused: nothing of the second gets lost or in twice."""
    reader = place.reader()
    first, second = take(reader), take(reader)
    moved = {(move.topic, move.partition): 5 for taken in (first, second) for move in taken.moves}
    place.store.offsets = dict.fromkeys(((place.topic, n) for n in range(PARTITIONS)), None) | moved
    assert not place.store.apply(first)
    reader.reposition(first, place.store.offsets)
    third = take(reader)
    assert not place.store.apply(second)
    reader.reposition(second, place.store.offsets)  # as far as the first refusal has not done it
    applied = [third] if place.store.apply(third) else []
    reader.reposition(third, place.store.offsets)
    applied += work_off(place, reader)
    skipped = {f"{partition}/{n}".encode() for _, partition in moved for n in range(5)}
    assert sorted(values(applied)) == sorted(set(everything()) - skipped)


# the group

LEAVES_UNREAD = """
import sys, time
from flows.kafka_reader import DEFAULTS, FIXED, KafkaReader

bootstrap, topic, ready = sys.argv[1:]
config = {**DEFAULTS, **FIXED, "bootstrap.servers": bootstrap, "group.id": topic, "log_level": 0}
reader = KafkaReader(config, [topic], lambda *asked: dict.fromkeys(asked[2]), lambda topic: None)
time.sleep(float(ready))
reader.close()
print("left")
"""


def test_a_member_that_was_assigned_and_never_read_leaves_in_peace(place: Place) -> None:
    """Its partitions are given to it and taken away within one call of the client: the process lives on."""
    until_assigned = "4.5"  # a first member waits three seconds for others
    program = [sys.executable, "-c", LEAVES_UNREAD, place.bootstrap, place.topic, until_assigned]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=40, check=False)
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr


STUCK = """
import sys, threading
from flows import kafka_reader

class Stuck(kafka_reader.KafkaReader):
    def _revoked(self, consumer, partitions):
        threading.Event().wait()

kafka_reader._CLOSE_S = 1.0
bootstrap, topic = sys.argv[1:]
known = {"bootstrap.servers": bootstrap, "group.id": topic, "log_level": 0}
config = {**kafka_reader.DEFAULTS, **kafka_reader.FIXED, **known}
reader = Stuck(config, [topic], lambda *asked: dict.fromkeys(asked[2]), lambda topic: None)
while reader.take() is None:
    pass
reader.close()
print("left")
"""


def test_a_client_that_does_not_come_back_from_leaving_is_left_behind(place: Place) -> None:
    """What it is told while it closes may never end: the process ends all the same, and in order."""
    program = [sys.executable, "-c", STUCK, place.bootstrap, place.topic]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=40, check=False)
    assert (ended.returncode, ended.stdout) == (0, "left\n"), ended.stderr
    assert "not waited for" in ended.stderr


def test_two_readers_share_the_partitions(place: Place) -> None:
    """Each reads a half, and together they read everything once."""
    readers = place.reader(), place.reader()
    taken_by = [set[int](), set[int]()]

    def both_read() -> bool:
        for reader, mine in zip(readers, taken_by, strict=True):
            taken = reader.take()
            if taken is not None and place.store.apply(taken):
                mine |= {move.partition for move in taken.moves}
            elif taken is not None:
                reader.reposition(taken, place.store.offsets)
        return is_worked_off(place)

    def all_again() -> bool:
        both_read()
        return is_worked_off(place, 2 * EACH)

    eventually(both_read, "everything is read")
    place.settle(*readers)
    place.fill()
    eventually(all_again, "both have read again")
    assert taken_by[0] | taken_by[1] == set(range(PARTITIONS))
    assert all(taken_by), "both had something to read"


def test_a_reader_that_leaves_hands_its_partitions_over(place: Place) -> None:
    """After `close` the other one reads on, from the store's offsets, with nothing lost or twice."""
    first = place.reader()
    applied = [take(first)]
    assert place.store.apply(applied[0])
    old = take(first)
    first.close()
    applied += work_off(place, place.reader())
    assert sorted(values(applied)) == everything()
    assert not place.store.apply(old), "the fence holds"


def test_waiting_keeps_the_membership_and_loses_nothing(place: Place) -> None:
    """`keep_alive` polls beyond max.poll.interval.ms while a batch has to wait; reading goes on after it."""
    reader = place.reader(**{"max.poll.interval.ms": 4000})
    applied = [take(reader)]
    epochs = applied[0].epochs
    until = time.monotonic() + 5
    while time.monotonic() < until:
        reader.keep_alive()
        time.sleep(0.1)
    assert place.store.apply(applied[0])
    applied += work_off(place, reader)
    assert sorted(values(applied)) == everything()
    assert applied[-1].epochs == epochs, "no partition was assigned anew"


# operator events


def test_operator_events_come_first_and_alone(place: Place) -> None:
    """Each is a batch of its own, and those that were there come before everything else that is read."""
    control = f"{place.topic}-control"
    producer = Producer({"bootstrap.servers": place.bootstrap, "log_level": 0})
    for number in range(30):
        producer.produce(control, f"decided {number}".encode(), partition=0)
    assert producer.flush(10) == 0
    config = {
        **DEFAULTS, **FIXED, **QUICK, "bootstrap.servers": place.bootstrap, "group.id": place.topic
    }  # fmt: skip
    reader = KafkaReader(
        config, [place.topic], place.store.resume, lambda _: None, control=control, batch=BATCH
    )
    place.stack.callback(reader.close)
    applied = work_off(
        place,
        reader,
        until=lambda: is_worked_off(place) and place.store.offsets.get((control, 0)) == 30,
    )
    decided = [taken for taken in applied if taken.moves[0].topic == control]
    assert [values([taken]) for taken in decided] == [[f"decided {n}".encode()] for n in range(30)]
    assert applied[:30] == decided
    assert sorted(values(applied[30:])) == everything()
    producer.produce(control, b"decided later", partition=0)
    place.fill(each=5)
    assert producer.flush(10) == 0
    later = work_off(
        place,
        reader,
        until=lambda: is_worked_off(place, EACH + 5) and place.store.offsets.get((control, 0)) == 31,
    )
    assert [len(taken.messages) for taken in later if taken.moves[0].topic == control] == [1]


def test_operator_events_that_do_not_come_hold_up_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the topic ends later than what is in it, everything else is read after a while."""
    monkeypatch.setattr("flows.kafka_reader._HOLD_S", 0.5)
    monkeypatch.setattr("flows.kafka_reader._end_of", lambda *_: 7)
    control = f"{place.topic}-control"
    producer = Producer({"bootstrap.servers": place.bootstrap, "log_level": 0})
    producer.produce(control, b"decided", partition=0)
    assert producer.flush(10) == 0
    config = {
        **DEFAULTS, **FIXED, **QUICK, "bootstrap.servers": place.bootstrap, "group.id": place.topic
    }  # fmt: skip
    reader = KafkaReader(config, [place.topic], place.store.resume, lambda _: None, control=control)
    place.stack.callback(reader.close)
    applied = work_off(place, reader)
    assert sorted(values(applied)) == sorted([*everything(), b"decided"])
