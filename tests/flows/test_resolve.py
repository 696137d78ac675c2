"""What the steps of flows.resolve do when something goes wrong between them."""

from collections.abc import Mapping
from typing import Any

import pytest
import redis

from flows.reader import Taken
from flows.resolve import Linked, Work
from flows.stopping import Stop
from resolver.keys import Keys
from resolver.links import Linker
from resolver.redis_store import Durability, RedisStore
from resolver.store import Cursor, Move
from schemas.errors import SettingsError, SinkUnavailable
from schemas.events import Message
from schemas.identifiers import Keyring
from schemas.transitions import EntityCreated
from sinks.memory import MemoryDeadLetters

KEYRING = Keyring("test")
GOOD = b"""{"event_id":"e1","source":"app","event_name":"seen","occurred_at":"2026-01-05T10:00:00Z",
"participants":[{"entity_type":"person","identifiers":[{"type":"user_id","value":"u1"}]}]}"""


class Script:
    """A reader of what a test gives it, which remembers what it was told."""

    def __init__(self) -> None:
        self.repositioned: list[Mapping[tuple[str, int], int | None]] = []
        self.committed: list[Move] = []
        self.kept_alive = 0

    def take(self) -> Taken | None:
        """Nothing of its own accord."""

    def taken(self, *values: bytes | None, start: int | None = None) -> Taken:
        """Some values as one batch of one partition."""
        first = start or 0
        messages = [Message("topic", 0, first + n, first + n + 1, 1_000, one) for n, one in enumerate(values)]
        return Taken(self, tuple(messages), (Move("topic", 0, start, first + len(values)),), (1,))

    def reposition(self, taken: Taken, offsets: Mapping[tuple[str, int], int | None]) -> None:
        """Remember where to."""
        self.repositioned.append(offsets)

    def commit(self, moves: tuple[Move, ...]) -> None:
        """Remember what."""
        self.committed += moves

    def keep_alive(self) -> None:
        """Count it."""
        self.kept_alive += 1

    def close(self) -> None:
        """Nothing to leave."""


class Bench:
    """The steps with a real store and sinks in memory."""

    def __init__(self, url: str, outbox_limit: int = 1000) -> None:
        client: Any = redis.Redis.from_url(url)
        self.store = RedisStore(client, "test", KEYRING, Durability(ephemeral=True), outbox_limit)
        self.dead_letters, self.stop, self.reader = MemoryDeadLetters(), Stop(), Script()
        self.work = Work(self.store, Linker(KEYRING), self.dead_letters, {"topic": "event"}, self.stop)

    def run(self, taken: Taken) -> Linked | None:
        """One batch through all steps."""
        read = self.work.bury(self.work.decode(taken))
        if read is None:
            return None
        applied = self.work.apply(self.work.link(read))
        return None if applied is None else self.work.commit(applied)


@pytest.fixture
def bench(redis_url: str) -> Bench:
    """Steps to run batches through."""
    return Bench(redis_url)


def test_good_and_bad_part(bench: Bench) -> None:
    """A batch of good and bad moves on whole: the good into the store, the bad to the dead letters."""
    assert bench.run(bench.reader.taken(GOOD, b"not json", None)) is not None
    assert [one.reason for one in bench.dead_letters.dead_letters] == ["not-json", "tombstone"]
    assert bench.store.offsets("topic") == {0: 3}
    assert bench.reader.committed == [Move("topic", 0, None, 3)]
    assert bench.work.counts.transitions == 1


def test_dead_letters_come_before_the_offsets(bench: Bench) -> None:
    """While the dead letters cannot be written, no offset moves; the end of the run drops the batch."""
    bench.dead_letters.fail_next(1_000_000)
    bench.stop.request()
    assert bench.run(bench.reader.taken(b"not json")) is None
    assert bench.store.offsets("topic") == {}
    assert bench.reader.committed == []


def test_dead_letters_are_tried_again(bench: Bench) -> None:
    """A sink that fails for a moment is tried again, and the batch goes on."""
    bench.dead_letters.fail_next(2)
    assert bench.run(bench.reader.taken(b"not json")) is not None
    assert len(bench.dead_letters.dead_letters) == 1


def test_refused_batch_repositions_its_reader(bench: Bench) -> None:
    """A batch that another worker was faster with is dropped, and its reader told where the store stands."""
    bench.run(bench.reader.taken(GOOD, GOOD))
    assert bench.run(bench.reader.taken(GOOD, start=None)) is None
    assert bench.reader.repositioned == [{("topic", 0): 2}]
    assert bench.work.counts.refused == 1
    assert bench.reader.committed == [Move("topic", 0, None, 2)]


def test_full_outbox_holds_the_batch(redis_url: str) -> None:
    """With the outbox full the batch waits and the reader stays in its group; the end drops it."""
    bench = Bench(redis_url, outbox_limit=1)
    bench.run(bench.reader.taken(GOOD))
    bench.stop.request()
    assert bench.run(bench.reader.taken(GOOD, start=1)) is None
    assert bench.reader.kept_alive == 1
    assert bench.store.offsets("topic") == {0: 1}


def test_first_time_of_arrival_counts(bench: Bench) -> None:
    """A message that says that it came in before is as old as it says."""
    taken = bench.reader.taken(GOOD)
    replayed = Message("topic", 0, 0, 1, 9_000, GOOD, None, (("nexus-ingested-at", b"500"),))
    bench.run(Taken(bench.reader, (replayed,), taken.moves, taken.epochs))
    (entry,) = bench.store.outbox(Cursor(0, 0), 10, 1)
    (made,) = entry.transitions
    assert isinstance(made, EntityCreated)
    assert made.cause.ingested_at == "1970-01-01T00:00:00.500Z"


def test_other_rules_in_force_stop_the_run(bench: Bench, redis_url: str) -> None:
    """Rules that were taken into force elsewhere end a run that still has the old ones, with the remedy."""
    with redis.Redis.from_url(redis_url) as client:
        client.hset(Keys("test").meta, "rules", "0" * 16)
    with pytest.raises(SettingsError, match="nexus rules apply"):
        bench.run(bench.reader.taken(GOOD))
    assert bench.store.offsets("topic") == {}


def test_terminal_errors_are_not_tried_again(bench: Bench) -> None:
    """Only what may pass is tried again."""

    def fail() -> None:
        raise ValueError("for good")

    with pytest.raises(ValueError, match="for good"):
        bench.stop.persist("anything", fail)


def test_persist_gives_up_when_the_run_ends(bench: Bench) -> None:
    """What is still failing when the run is to end says so."""

    def fail() -> None:
        bench.stop.request()
        raise SinkUnavailable("not yet")

    assert bench.stop.persist("anything", fail) is False
