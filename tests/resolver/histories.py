"""Small made-up histories, and the question that every test here asks: does the store agree with the
reference?
"""

from collections.abc import Iterable, Sequence
from typing import Any

import redis
from hypothesis import strategies as st

from resolver.links import Linker
from resolver.packing import unpack_link
from resolver.redis_store import Durability, RedisStore
from resolver.reference import Answer, LinkFact, LinkSet, Reference
from resolver.store import Applied, Batch, Cursor, Fenced, Move
from schemas.events import Event, Participant
from schemas.identifiers import EntityType, Identifier, Keyring, identifier
from schemas.mapping import EntityMapping

KEYRING = Keyring("test", b"a secret of sixteen bytes or more")


def event(
    number: int, *participants: Iterable[str], ms: int | None = None, entity_type: EntityType = "person"
) -> Event:
    """An event `e<number>` at `ms` (default: number); each participant is identifiers as `type=value`."""
    return Event(
        event_id=f"e{number}",
        source="test",
        event_name="seen",
        event_type=None,
        occurred_at_ms=number,
        ingested_at_ms=number if ms is None else ms,
        participants=tuple(
            Participant(None, entity_type, None, tuple(_identifier(entity_type, one) for one in names), {})
            for names in participants
        ),
    )


def _identifier(entity_type: EntityType, text: str) -> Identifier:
    kind, _, value = text.partition("=")
    return identifier(entity_type, kind, value)


def chain(length: int) -> list[Event]:
    """length events, each of which ties a value to the next."""
    return [event(n, (f"user_id=u{n:06}", f"user_id=u{n + 1:06}")) for n in range(length)]


_TYPES: Sequence[EntityType] = ("person", "group")
_VALUES = st.sampled_from(
    [f"user_id={value}" for value in "abcdefgh"]
    + ["anonymous_id=a", "anonymous_id=b", "previous_id=a", "previous_id=b", "email=a@b.test", "user_id=null"]
)
_PARTICIPANT = st.lists(_VALUES, min_size=1, max_size=4, unique=True)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event with few values and few instants, so that histories meet, tie and repeat themselves."""
    return event(
        draw(st.integers(0, 9)),
        *draw(st.lists(_PARTICIPANT, min_size=1, max_size=2)),
        ms=draw(st.integers(0, 6)),
        entity_type=draw(st.sampled_from(_TYPES)),
    )


batches = st.lists(st.lists(events(), min_size=1, max_size=4), min_size=1, max_size=8)
"""Histories: batches of events in the order in which they arrive."""


class Pair:
    """A store and a reference that learn the same, and a consumer who only sees what the store publishes."""

    def __init__(self, client: "redis.Redis", namespace: str = "test") -> None:
        client.flushall()
        self.client = client
        self.store = RedisStore(client, namespace, KEYRING, Durability(ephemeral=True))
        self.reference = Reference(KEYRING)
        self.consumer = EntityMapping()
        self._linker = Linker(KEYRING)
        self._offset: int | None = None
        self._read = Cursor(0, 0)

    def learn(self, batch: Sequence[Event]) -> None:
        """Give one batch to all three."""
        following = (self._offset or 0) + len(batch)
        moves = (Move("topic", 0, self._offset, following),)
        outcome = self.store.apply(Batch(moves, self._linker.evidence(batch)))
        assert isinstance(outcome, Applied)
        self._offset = following
        self.reference.add(batch)
        self._publish()

    def _publish(self) -> None:
        for entry in self.store.outbox(self._read, 1000, 0):
            for transition in entry.transitions:
                self.consumer.apply(transition)
                self._read = Cursor(transition.generation, transition.number)

    def agree(self) -> None:
        """Assert that all three give the same answer, and that the store's invariants hold."""
        answer = self.reference.answer()
        assert self.answered() == answer.entity_of
        assert self.linked() == answer.links
        assert {
            (one.entity_type, one.identifier_type, one.identifier_value): name
            for one, name in answer.entity_of.items()
        } == dict(self.consumer.as_dict())
        self.store.check()

    def is_fenced(self) -> None:
        """Assert that a batch from elsewhere is refused."""
        moves = (Move("topic", 0, 1_000_000, 1_000_001),)
        assert isinstance(self.store.apply(Batch(moves, ())), Fenced)

    def answered(self) -> dict[Identifier, str]:
        """The store's entity id of every identifier."""
        return dict([*self.store.mapping("person"), *self.store.mapping("group")])

    def linked(self) -> dict[LinkSet, LinkFact]:
        """The store's links, read from its records."""
        keys = self.store._keys  # the records are what is compared
        known = {KEYRING.key(one): one for one in self.reference.answer().entity_of}
        records: Any = self.client.hvals(keys.links)
        found = {}
        for record in records:
            link = unpack_link(record)
            found[frozenset(known[key] for key in link.keys)] = LinkFact(link.first, link.last_ms)
        return found


def answer_of(events_in_any_order: Iterable[Event]) -> Answer:
    """The reference's answer to some events."""
    reference = Reference(KEYRING)
    reference.add(events_in_any_order)
    return reference.answer()
