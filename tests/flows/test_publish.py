"""flows.publish: in order, nothing lost, and the whole answer anew in the middle of a moving stream."""

from collections.abc import Iterable
from random import Random

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.publish import OutboxReader, Parcel, Work
from flows.stopping import Stop
from schemas.events import Event
from schemas.mapping import EntityMapping
from schemas.transitions import (
    EntityRelabelled,
    Snapshot,
    SnapshotEnded,
    SnapshotStarted,
    SnapshotTraits,
    Transition,
    to_json,
)
from sinks.memory import MemoryTransitions
from tests.resolver.histories import Pair, Said, batches, event
from tests.resolver.rich import RULES, S, anything, person, saying


class Publisher:
    """The steps of the flow over a pair of store and reference, with a sink in memory."""

    def __init__(self, pair: Pair, page: int = 1000) -> None:
        self.sink, self.stop = MemoryTransitions(), Stop()
        self.reader = OutboxReader(pair.store, entries=1, wait_ms=0, page=page)
        self.work = Work(pair.store, self.sink, self.reader, self.stop)

    def step(self) -> bool:
        """One parcel through the flow; False when there is none."""
        for parcel in self.reader.take():
            self.pass_on(parcel)
            return True
        return False

    def pass_on(self, parcel: Parcel) -> None:
        """The steps behind the source."""
        sent = self.work.send(parcel)
        if sent is not None:
            self.work.advance(sent)

    def drain(self) -> None:
        """Until nothing is left."""
        while self.step():
            pass


def numbers(publisher: Publisher) -> list[int]:
    """The numbers that went out, copies included."""
    return [one.number for one in publisher.sink.written]


def learn(pair: Pair, count: int, start: int = 0) -> None:
    """Some events that each make one transition, a batch each."""
    for n in range(start, start + count):
        pair.learn([event(n, (f"user_id=n{n}",))])


def test_in_order_without_gaps(client: "redis.Redis") -> None:
    """Every transition goes out once, in the order of the numbers, and the outbox is empty behind them."""
    pair = Pair(client)
    publisher = Publisher(pair)
    learn(pair, 5)
    publisher.drain()
    assert numbers(publisher) == [1, 2, 3, 4, 5]
    assert pair.store.waiting() == 0


def test_sink_that_fails_is_tried_again(client: "redis.Redis") -> None:
    """The cursor rests until the sink has them."""
    pair = Pair(client)
    publisher = Publisher(pair)
    learn(pair, 2)
    publisher.sink.fail_next(1)
    publisher.drain()
    assert [one.number for one in publisher.sink.transitions] == [1, 2]
    assert pair.store.waiting() == 0


def test_crash_between_send_and_advance(client: "redis.Redis") -> None:
    """What was sent and not marked goes out again, with the same ids."""
    pair = Pair(client)
    first = Publisher(pair)
    learn(pair, 2)
    for parcel in first.reader.take():
        first.work.send(parcel)
    first.reader.close()
    second = Publisher(pair)
    second.drain()
    assert numbers(second) == [1, 2]
    assert first.sink.written[0] == second.sink.written[0]


def test_one_publisher_at_a_time(client: "redis.Redis") -> None:
    """A second one waits until the first lets go, and then goes on behind it."""
    pair = Pair(client)
    first, second = Publisher(pair), Publisher(pair)
    learn(pair, 1)
    first.drain()
    learn(pair, 1, start=1)
    assert not second.step()
    first.reader.close()
    second.drain()
    assert (numbers(first), numbers(second)) == ([1], [2])


def test_publisher_that_slept(client: "redis.Redis") -> None:
    """One that lost its lock while it was stopped sends again what is known, and moves nothing."""
    pair = Pair(client)
    slow, other = Publisher(pair), Publisher(pair)
    learn(pair, 2)
    (late,) = slow.reader.take()
    client.delete("nexus:{test}:lock")  # its time has run out
    other.drain()
    after = pair.store.cursor()
    slow.pass_on(late)
    assert pair.store.cursor() == after
    learn(pair, 1, start=2)
    other.drain()
    assert numbers(other) == [1, 2, 3]


@settings(max_examples=60, print_blob=True)
@given(batches, batches, st.integers(0, 5), st.integers(1, 3))
def test_snapshot_in_a_moving_stream(
    client: "redis.Redis", before: list[list[Event]], during: list[list[Event]], unpublished: int, page: int
) -> None:
    """A consumer that begins at a snapshot, and one that was wrong before, are both right at its end."""
    pair = Pair(client)
    publisher = Publisher(pair)
    for number, batch in enumerate(before):
        pair.learn(batch)
        if number < len(before) - unpublished:
            publisher.drain()
    pair.store.request_snapshot()
    publisher.reader._next_look = 0.0  # or half a second goes by
    moving = iter(during)
    while publisher.step():
        for batch in [one for one in [next(moving, None)] if one is not None][:page]:
            pair.learn(batch)
    for batch in moving:
        pair.learn(batch)
    publisher.drain()
    assert pair.store.snapshot_due() == 0
    sent = publisher.sink.written
    start = next(place for place, one in enumerate(sent) if isinstance(one, SnapshotStarted))
    assert any(isinstance(one, SnapshotEnded) for one in sent)
    expected = dict(pair.consumer.as_dict())
    for transitions in (sent, sent[start:]):
        consumer = EntityMapping()
        for one in transitions:
            consumer.apply(one)
        assert dict(consumer.as_dict()) == expected


def consumed(transitions: Iterable[Transition]) -> EntityMapping:
    """What a consumer makes of these, and of nothing else."""
    consumer = EntityMapping()
    for one in transitions:
        consumer.apply(one)
    return consumer


def known(consumer: EntityMapping) -> tuple[object, ...]:
    """Everything that a consumer knows.

    Of traits the values: who says the same as before, later, is told by a snapshot only.
    """
    profiles = consumer.profiles
    traits = {
        (entity, name): one.value for entity, some in profiles.traits().items() for name, one in some.items()
    }
    return consumer.as_dict(), traits, profiles.memberships(), profiles.timelines()


LONG = saying(50, person(f"user_id={'x' * 100}"))
"""Redis gives a hash page by page once one of its values is long."""


@pytest.mark.parametrize("seed", range(40))
def test_a_snapshot_has_every_profile_while_they_change(client: "redis.Redis", seed: int) -> None:
    """Who begins with it, page by page while events go on, ends with what who heard everything knows."""
    rng = Random(seed)
    pair = Pair(client, rules=RULES)
    pair.learn([LONG])
    publisher = Publisher(pair, page=1)
    for _ in range(rng.choice([2, 8])):
        pair.learn([anything(rng) for _ in range(3)])
    pair.store.request_snapshot()
    publisher.reader._next_look = 0.0  # or half a second goes by
    while publisher.step():
        if rng.random() < 0.5:
            pair.learn([anything(rng)])
        if rng.random() < 0.1:
            pair.tick(pair.now_ms + S)
        if rng.random() < 0.1:
            pair.say(Said("block", (f"user_id={rng.choice('abcdef')}",)))  # unblocked: see schemas.profiles
        if rng.random() < 0.1:
            pair.say(Said("apart", tuple(f"user_id={one}" for one in rng.sample("abcdef", 2))))
        if len(publisher.sink.written) > 400:
            break
    publisher.drain()
    pair.agree()
    sent = publisher.sink.written
    start = next(place for place, one in enumerate(sent) if isinstance(one, SnapshotStarted))
    assert any(isinstance(one, SnapshotEnded) for one in sent)
    assert known(consumed(sent[start:])) == known(consumed(sent)) == known(pair.consumer)


def test_who_gets_another_id_while_the_snapshot_is_made_is_in_it(client: "redis.Redis") -> None:
    """Whichever of its two ids the pages met before the relabelling, and which after it."""
    for late in range(1, 9):
        pair = Pair(client, rules=RULES)
        pair.learn([LONG])
        publisher = Publisher(pair, page=1)
        for n in range(1, 9):
            pair.learn([saying(10 + n, person(f"user_id=u{n}", traits={"name": f"N{n}"}))])
            pair.learn([saying(20 + n, person(f"user_id=u{n}", f"anonymous_id=a{n}"))])
        publisher.drain()
        pair.store.request_snapshot()
        publisher.reader._next_look = 0.0
        for _ in range(2 * late):
            assert publisher.step()
        for n in range(1, 9):
            pair.learn([saying(30 + n, person(f"anonymous_id=a{n}"), ms=n)])
        publisher.drain()
        sent = publisher.sink.written
        start = next(place for place, one in enumerate(sent) if isinstance(one, SnapshotStarted))
        assert sum(isinstance(one, EntityRelabelled) for one in sent[start:]) == 8
        assert known(consumed(sent[start:])) == known(pair.consumer)


def test_much_of_one_entity_is_several_messages(client: "redis.Redis") -> None:
    """No message of a snapshot is larger than brokers take."""
    pair = Pair(client, rules=RULES)
    publisher = Publisher(pair)
    for n in range(4):
        traits = {f"t{n}-{place}": "x" * 100_000 for place in range(3)}
        pair.learn([saying(n, person("user_id=a", traits=traits))])
    for n in range(4, 10):
        names = [f"s{place}" for place in range(300)]
        states = [{"of": "person", "state_name": "free", "state_value": f"{n} {name}"} for name in names]
        pair.learn([saying(n, person("user_id=a"), states=states)])
    pair.store.request_snapshot()
    publisher.reader._next_look = 0.0
    publisher.drain()
    sent = publisher.sink.written
    traits_sent = [one for one in sent if isinstance(one, SnapshotTraits)]
    assert len(traits_sent) == 6
    assert max(len(to_json(one)) for one in sent if isinstance(one, Snapshot)) < 300_000
    start = next(place for place, one in enumerate(sent) if isinstance(one, SnapshotStarted))
    assert known(consumed(sent[start:])) == known(pair.consumer)


@pytest.mark.parametrize("seed", range(20))
def test_a_consumer_is_right_when_somebody_was_erased_before_it_heard(
    client: "redis.Redis", seed: int
) -> None:
    """What was redacted hides something of others, too: the snapshot that follows puts that right."""
    rng = Random(seed)
    pair = Pair(client, rules=RULES)
    publisher = Publisher(pair)
    for number in range(6):
        pair.learn([anything(rng) for _ in range(2)])
        if number < seed % 4:
            publisher.drain()
    erased = f"user_id={rng.choice('abcdef')}"
    pair.say(Said("erase", (erased,)))
    pair.settle()
    publisher.reader._next_look = 0.0  # or half a second goes by
    publisher.drain()
    assert pair.store.snapshot_due() == 0
    assert known(consumed(publisher.sink.written)) == known(pair.consumer)
