"""Small made-up histories, and the question that every test here asks: does the store agree with the
reference?
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import redis
from hypothesis import strategies as st

from resolver.judge import Conflict
from resolver.links import Linker
from resolver.packing import Mark, unpack_link, unpack_marks
from resolver.redis_store import ONE_CALL, Durability, RedisStore
from resolver.reference import Answer, LinkFact, LinkKey, Reference
from resolver.restructure import Restructuring
from resolver.store import Applied, Batch, Command, Cursor, Erased, Fenced, Move, OperationKind, Outcome
from schemas.events import Event, Participant, log_position
from schemas.identifiers import EntityType, Identifier, Keyring, identifier
from schemas.instants import parse_instant
from schemas.mapping import EntityMapping
from schemas.rules import Limit, Rules
from schemas.transitions import Cause

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
        ms=draw(st.integers(0, 9)),
        entity_type=draw(st.sampled_from(_TYPES)),
    )


_NAMED = st.sampled_from(
    [f"user_id={value}" for value in "abcdefgh"]
    + ["anonymous_id=a", "anonymous_id=b", "previous_id=a", "previous_id=b", "email=a@b.test"]
)

batches = st.lists(st.lists(events(), min_size=1, max_size=4), min_size=1, max_size=8)
"""Histories: batches of events in the order in which they arrive."""


_DEFAULTS = Rules()
RULES = {
    "the defaults": _DEFAULTS,
    "a device has one user, a user three partners": Rules.from_data(
        {"identifiers": {"anonymous_id": {"limits": {"user_id": 1}}, "user_id": {"max_degree": 3}}}
    ),
    "a user has two devices and one other name": Rules.from_data(
        {
            "identifiers": {
                "user_id": {"limits": {"anonymous_id": 1, "user_id": 1}},
                "anonymous_id": {"limits": {}},
            }
        }
    ),
    "one user id a person": Rules.from_data({"identifiers": {"user_id": {"unique": True}}}),
    "one user id and one device a person": Rules.from_data(
        {
            "identifiers": {
                "user_id": {"unique": True},
                "anonymous_id": {"unique": True, "limits": {"user_id": 2}},
            }
        }
    ),
}
"""Rules under which small histories get into trouble."""


class Said(NamedTuple):
    """An operator event to be made: what, of which `type=value`s, how long after the log (ms)."""

    kind: OperationKind
    names: tuple[str, ...]
    later_ms: int = 1


_KINDS: Sequence[OperationKind] = ("together", "apart", "block", "unblock", "release", "erase")


@st.composite
def said(draw: st.DrawFn) -> Said:
    """Some operator event about a person."""
    kind = draw(st.sampled_from(_KINDS))
    count = 2 if kind in ("together", "apart") else 1
    names = draw(st.lists(_NAMED, min_size=count, max_size=count, unique=True))
    return Said(kind, tuple(names), draw(st.integers(0, 2)))


ruled_histories = st.lists(st.lists(events(), min_size=1, max_size=4) | said(), min_size=1, max_size=12)
"""Histories in which operators have a say."""


class Pair:
    """A store and a reference that learn the same, and a consumer who only sees what the store publishes."""

    def __init__(
        self,
        client: "redis.Redis",
        namespace: str = "test",
        rules: Rules = _DEFAULTS,
        one_call: int = ONE_CALL,
    ) -> None:
        client.flushall()
        self.client = client
        self.store = RedisStore(
            client, namespace, KEYRING, Durability(ephemeral=True), rules=rules, one_call=one_call
        )
        self.restructuring = Restructuring(client, namespace, self.store)
        self.reference = Reference(KEYRING, rules)
        self.consumer = EntityMapping()
        self._linker = Linker(KEYRING, rules)
        self._offset: int | None = None
        self._control: int | None = None
        self._now = self._latest = self._said = 0
        self._read = Cursor(0, 0)

    def learn(self, batch: Sequence[Event]) -> None:
        """Give one batch to all three."""
        following = (self._offset or 0) + len(batch)
        moves = (Move("topic", 0, self._offset, following),)
        self._apply(lambda: Batch(moves, self._linker.evidence(batch)))
        self._latest = max(self._latest, *(one.ingested_at_ms for one in batch))
        self._offset = following
        self.reference.add(batch)
        self._publish()

    def operate(self, command: Command) -> None:
        """Give an operator event to all three."""
        following = (self._control or 0) + 1
        moves = (Move("control", 0, self._control, following),)
        self._apply(lambda: Batch(moves, (), self._linker.command(command)))
        self._control = following
        self.reference.operate([command])
        self._publish()

    def say(self, said: Said) -> None:
        """Make an operator event as the command line would: an erasure is decided from the store."""
        kind, names = said.kind, tuple(_identifier("person", name) for name in said.names)
        later_ms = max(said.later_ms, kind == "erase")  # what an erasure finds is older than it
        self._now = max(self._now, self._latest + later_ms)
        self._said += 1
        position = log_position(self._now, "operator", f"o{self._said:04}")
        keys = tuple(sorted(self._key_now(one) for one in names))
        blocked: tuple[bytes, ...] = ()
        if kind == "erase":
            entity = self.store.entity(keys[0])
            keys = tuple(member.key for member in entity.members) if entity else keys
            blocked = tuple(key for key in self.store.touched(keys) if key not in keys)
        self.operate(Command(kind, "person", position, keys, blocked))

    def _key_now(self, one: Identifier) -> bytes:
        """The key that goes by a name now, as the command line finds it."""
        key = KEYRING.key(one)
        while erasures := [mark.position for mark in self._marks(key) if mark.what == "e"]:
            key = KEYRING.reborn(key, erasures[0])
        return key

    def _marks(self, key: bytes) -> list[Mark]:
        record: Any = self.client.hget(self.store._keys.marks, key)
        return unpack_marks(record or b"")

    def _apply(self, batch: Callable[[], Batch]) -> None:
        outcome: Outcome = self.store.apply(batch())
        while isinstance(outcome, Erased):
            self._linker.learn(outcome.positions)
            outcome = self.store.apply(batch())
        assert isinstance(outcome, Applied), outcome

    def _publish(self) -> None:
        for entry in self.store.outbox(self._read, 1000, 0):
            for transition in entry.transitions:
                self.consumer.apply(transition)
                self._read = Cursor(transition.generation, transition.number)

    def settle(self) -> None:
        """Do what was left to bounded calls."""
        self.restructuring.run()
        self._publish()

    def agree(self) -> None:
        """Assert that all three give the same answer, and that the store's invariants hold."""
        answer = self.reference.answer()
        assert self.answered() == answer.entity_of
        assert self.linked() == answer.links
        assert self.out_of_the_graph() == (
            {key: (one.limit, one.position) for key, one in answer.quarantined.items()}
            | dict.fromkeys(answer.blocked)
        )
        assert self.suspended() == {(edge.kind, edge.keys): why for edge, why in answer.suspended.items()}
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

    def linked(self) -> dict[LinkKey, LinkFact]:
        """The store's links, read from its records."""
        records: Any = self.client.hvals(self.store._keys.links)  # the records are what is compared
        links = map(unpack_link, records)
        return {link.keys: LinkFact(link.first, link.last_ms) for link in links}

    def out_of_the_graph(self) -> dict[bytes, tuple[Limit, bytes] | None]:
        """What the store has taken out of the graph: the limit and what brought one too many, or None for
        what an operator blocked.
        """
        found: dict[bytes, tuple[Limit, bytes] | None] = {}
        for one in self.store.quarantined():
            reason = one.reason
            if reason.brought_by is None or reason.limit is None:
                found[one.key] = None
                continue
            limit = Limit(one.identifier.identifier_type, reason.partner_type, reason.limit)
            found[one.key] = (limit, _position(reason.brought_by))
        return found

    def suspended(self) -> dict[tuple[str, LinkKey], Conflict]:
        """The links that the store says are suspended, and why."""
        return {(one.kind, one.keys): Conflict(one.unique, one.apart) for one in self.store.suspended()}


def _position(cause: Cause) -> bytes:
    instant = parse_instant(cause.ingested_at, "ingested_at")
    return log_position(instant, cause.source, cause.event_id)


def answer_of(events_in_any_order: Iterable[Event]) -> Answer:
    """The reference's answer to some events."""
    reference = Reference(KEYRING)
    reference.add(events_in_any_order)
    return reference.answer()
