"""Small made-up histories, and the question that every test here asks: does the store agree with the
reference?
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from typing import Any, NamedTuple

import redis
from hypothesis import strategies as st

from resolver import profiles
from resolver.check import check_graph
from resolver.check_profiles import whole
from resolver.judge import Conflict
from resolver.keys import Keys
from resolver.links import Linker
from resolver.packing import Mark, unpack_link, unpack_marks, unpack_slot
from resolver.redis_store import ONE_CALL, Durability, RedisStore
from resolver.reference import Answer, LinkFact, LinkKey, Reference
from resolver.restructure import Restructuring
from resolver.said import unpack_facts
from resolver.store import (
    Applied,
    Batch,
    Command,
    Cursor,
    Erased,
    Fenced,
    Move,
    OperationKind,
    Outcome,
    Retracted,
    Ticked,
)
from schemas.events import Event, Participant, log_position
from schemas.identifiers import EntityType, Identifier, Keyring, entity_id, identifier
from schemas.instants import format_instant, parse_instant
from schemas.mapping import EntityMapping
from schemas.rules import Limit, Rules
from schemas.transitions import Cause, Interval, Transition

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


def key_of(text: str, entity_type: EntityType = "person") -> bytes:
    """The key of an identifier written as `type=value`."""
    return KEYRING.key(_identifier(entity_type, text))


def command(
    kind: OperationKind,
    *names: str,
    ms: int,
    blocked: Iterable[str] = (),
) -> Command:
    """An operator event at `ms` about persons, each written as `type=value`."""
    position = log_position(ms, "operator", f"o{ms:04}")
    keys = tuple(sorted(key_of(one) for one in names))
    return Command(kind, "person", position, keys, tuple(sorted(key_of(one) for one in blocked)))


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
    "everything at once": Rules.from_data(
        {
            "identifiers": {
                "user_id": {"unique": True, "max_degree": 5, "limits": {"anonymous_id": 1}},
                "email": {"unique": True, "limits": {"user_id": 2}},
                "anonymous_id": {"limits": {"user_id": 2}},
                "previous_id": {"max_degree": 3},
            }
        }
    ),
}
"""Rules under which small histories get into trouble."""


_KINDS: Sequence[OperationKind] = ("together", "apart", "block", "unblock", "release", "erase")


class Said(NamedTuple):
    """An operator event to be made: what, of which `type=value`s, how long after the log (ms)."""

    kind: OperationKind
    names: tuple[str, ...]
    later_ms: int = 1
    entity_type: EntityType = "person"


@st.composite
def said(draw: st.DrawFn) -> Said:
    """Some operator event about a person."""
    kind = draw(st.sampled_from(_KINDS))
    count = 2 if kind in ("together", "apart") else 1
    names = draw(st.lists(_NAMED, min_size=count, max_size=count, unique=True))
    return Said(kind, tuple(names), draw(st.integers(0, 2)))


class At(NamedTuple):
    """An operator event somewhere in the log: what, of which identifiers as `type=value`, how long after the
    one before it (ms), and whom an erasure blocks.
    """

    kind: OperationKind
    names: tuple[str, ...]
    later_ms: int
    blocked: tuple[str, ...]


@st.composite
def at(draw: st.DrawFn) -> At:
    """Some operator event about a person, amid the instants of the events."""
    kind = draw(st.sampled_from(_KINDS))
    count = {"together": 2, "apart": 2, "erase": draw(st.integers(1, 2))}.get(kind, 1)
    names = draw(st.lists(_NAMED, min_size=count, max_size=count, unique=True))
    others = draw(st.lists(_NAMED, max_size=1)) if kind == "erase" else []
    return At(kind, tuple(names), draw(st.integers(0, 3)), tuple(set(others) - set(names)))


late_histories = st.lists(st.lists(events(), min_size=1, max_size=3) | at(), min_size=1, max_size=10)
"""Histories in which events arrive after operator events that lie above them."""


ruled_histories = st.lists(st.lists(events(), min_size=1, max_size=4) | said(), min_size=1, max_size=12)
"""Histories in which operators have a say."""


class Copy(dict[str, dict[bytes, bytes]]):
    """The hashes of a namespace and its outbox, fetched at once: `check_graph` reads it like a client."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        pipeline = client.pipeline(transaction=False)
        for key in keys.all:
            pipeline.hgetall(key)
        pipeline.xrange(keys.outbox)
        pipeline.zrange(keys.timers, 0, -1, withscores=True)
        *found, self._entries, self._timers = pipeline.execute(raise_on_error=False)
        hashes = ((key, one) for key, one in zip(keys.all, found, strict=True) if isinstance(one, dict))
        super().__init__(hashes)  # what is no hash refuses to be read as one

    def hscan_iter(self, key: str, count: int) -> Iterator[tuple[bytes, bytes]]:
        """The fields and values of a hash."""
        return iter(self[key].items())

    def zscan_iter(self, key: str, count: int) -> Iterator[tuple[bytes, float]]:
        """The timers."""
        return iter(self._timers)

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """A whole hash."""
        return self[key]

    def xrange(self, key: str) -> Any:
        """The entries of the outbox."""
        return self._entries


class Saved(NamedTuple):
    """Where a pair stands: Redis byte for byte, what the others know, and where reading goes on."""

    dumped: Mapping[str, bytes]
    reference: Reference
    consumer: EntityMapping
    reading: tuple[int | None, int | None, int, int, int, Cursor]


class Pair:
    """A store and a reference that learn the same, and a consumer who only sees what the store publishes.

    `told` is what it published, in order.
    """

    def __init__(
        self,
        client: "redis.Redis",
        namespace: str = "test",
        rules: Rules = _DEFAULTS,
        one_call: int = ONE_CALL,
        recent_events: int = 0,
    ) -> None:
        client.flushall()
        self.client, self.rules, self.keys = client, rules, Keys(namespace)
        ephemeral = Durability(ephemeral=True)
        self.store = RedisStore(
            client, namespace, KEYRING, ephemeral, rules=rules, one_call=one_call, recent_events=recent_events
        )
        self.restructuring = Restructuring(client, namespace, self.store)
        self.reference = Reference(KEYRING, rules)
        self.consumer = EntityMapping()
        self.told: list[Transition] = []
        self._linker, self._recent = Linker(KEYRING, rules, recent_events), recent_events
        self._offset: int | None = None
        self._control: int | None = None
        self._now = self._latest = self._said = self.now_ms = 0
        self._read = Cursor(0, 0)

    def learn(self, batch: Sequence[Event]) -> None:
        """Give one batch to all three."""
        following = (self._offset or 0) + len(batch)
        moves = (Move("topic", 0, self._offset, following),)
        self._apply(lambda: self._batch(moves, batch))
        self._latest = max(self._latest, *(one.ingested_at_ms for one in batch))
        self._offset = following
        self.reference.add(batch)
        self._publish()

    def _batch(self, moves: tuple[Move, ...], events: Sequence[Event]) -> Batch:
        learned = self._linker.batch(events)
        return Batch(
            moves, learned.evidence, facts=learned.facts, recent=learned.recent, retracted=learned.retracted
        )

    def operate(self, command: Command) -> None:
        """Give an operator event to all three."""
        following = (self._control or 0) + 1
        moves = (Move("control", 0, self._control, following),)
        self._apply(lambda: Batch(moves, (), self._linker.command(command)))
        self._control = following
        self.reference.operate([command])
        self._publish()

    def retract(self, event: Event, *copies: Event) -> None:
        """Retract an event, with the keys by which it and its copies named their participants."""
        self._now = max(self._now, self._latest) + 1
        self._said += 1
        position = log_position(self._now, "operator", f"o{self._said:04}")
        keys = {
            self._linker.living(KEYRING.key(identifier), one.position)
            for one in (event, *copies)
            for participant in one.participants
            for identifier in participant.identifiers
        }
        touched = tuple(sorted(key for key in keys if key is not None))
        self.operate(Command("retract", "person", position, touched, event=event.key))

    def take(self, one: Event | Command) -> None:
        """Give an event or an operator event to all three."""
        if isinstance(one, Event):
            self.learn([one])
        else:
            self.operate(one)

    def say(self, said: Said) -> None:
        """Make an operator event as the command line would: an erasure is decided from the store."""
        kind, names = said.kind, tuple(_identifier(said.entity_type, name) for name in said.names)
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
        self.operate(Command(kind, said.entity_type, position, keys, blocked))

    def _key_now(self, one: Identifier) -> bytes:
        """The key that goes by a name now, as the command line finds it."""
        key = KEYRING.key(one)
        while erasures := [mark.position for mark in self._marks(key) if mark.what == "e"]:
            key = KEYRING.reborn(key, erasures[0])
        return key

    def _marks(self, key: bytes) -> list[Mark]:
        record: Any = self.client.hget(self.keys.marks, key)
        return unpack_marks(record or b"")

    def _apply(self, batch: Callable[[], Batch]) -> None:
        outcome: Outcome = self.store.apply(batch())
        while isinstance(outcome, Erased | Retracted):
            if isinstance(outcome, Erased):
                self._linker.learn(outcome.positions)
            else:
                self._linker.leave_out(self.store.retracted())
            outcome = self.store.apply(batch())
        assert isinstance(outcome, Applied), outcome

    def _publish(self) -> None:
        for entry in self.store.outbox(self._read, 1000, 0):
            for transition in entry.transitions:
                self.consumer.apply(transition)
                self.told.append(transition)
                self._read = Cursor(transition.generation, transition.number)

    def tick(self, until_ms: int) -> None:
        """Let time go by up to an instant."""
        while True:
            outcome = self.store.tick(until_ms)
            assert isinstance(outcome, Ticked)
            if not outcome.is_more:
                break
        now: Any = self.client.hget(self.keys.meta, "now")
        self.now_ms = int(now or 0)
        self._publish()

    def settle(self) -> None:
        """Do what was left to bounded calls."""
        self.restructuring.run()
        self._publish()

    def save(self) -> Saved:
        """Where all three stand, to go on from there again."""
        pipeline = self.client.pipeline(transaction=False)
        for key in self.keys.all:
            pipeline.dump(key)
        dumped = {key: dump for key, dump in zip(self.keys.all, pipeline.execute(), strict=True) if dump}
        learned = self.reference
        reference = Reference(KEYRING, self.rules, learned.facts.copy(), set(learned.commands))
        reading = (self._offset, self._control, self._now, self._latest, self._said, self._read)
        return Saved(dumped, reference, deepcopy(self.consumer), reading)

    def load(self, saved: Saved) -> None:
        """Go back to where all three stood. What the stream remembers of erasures is lost, as by
        a restart.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.flushall()
        for key, dump in saved.dumped.items():
            pipeline.restore(key, 0, dump)
        pipeline.execute()
        learned, self._linker = saved.reference, Linker(KEYRING, self.rules, self._recent)
        self.reference = Reference(KEYRING, self.rules, learned.facts.copy(), set(learned.commands))
        self.consumer = deepcopy(saved.consumer)
        self._offset, self._control, self._now, self._latest, self._said, self._read = saved.reading

    def agree(self) -> None:
        """Assert that all three give the same answer, and that the store's invariants hold.

        Where the store knows that only the log knows everything, it is held to the reference as far as that
        cannot reach.
        """
        copy = Copy(self.client, self.keys)
        check_graph(copy, self.keys, KEYRING, self.store.rules)
        answer = self.reference.answer(self.now_ms)
        expected, found = _compared(answer), self._found(copy)
        assert {
            (one.entity_type, one.identifier_type, one.identifier_value): name
            for one, name in found.entity_of.items()
        } == self.consumer.as_dict()
        if copy[self.keys.pending]:
            unsettled = self._unsettled(copy, expected, found)
            expected, found = _settled(expected, unsettled), _settled(found, unsettled)
            assert found == expected
        else:
            assert found == expected
            self._agree_on_profiles(answer, copy)

    def _agree_on_profiles(self, answer: Answer, copy: Copy) -> None:
        """Assert that the store keeps, and has told, what the reference says of every entity."""
        rules = self.store.rules
        stored, memberships, lines = {}, {}, copy[self.keys.timelines]
        for slot, record in copy[self.keys.profiles].items():
            entity = unpack_slot(copy[self.keys.slots][slot])
            name, facts = entity_id(entity.entity_type, entity.senior), whole(unpack_facts(record), lines)
            stored[name] = facts.profile(rules, entity.entity_type, self.now_ms)
            memberships.update({(name, group, role): one for (group, role), one in facts.known.items()})
        assert {name: one for name, one in stored.items() if one.traits or one.timelines} == answer.profiles
        assert memberships == answer.memberships
        assert kept_by(self.consumer) == told_of(answer)

    def _found(self, copy: Copy) -> "Compared":
        """The store's answer. What is out of the graph or suspended is asked for where there is any."""
        is_any_out = copy[self.keys.quarantine] or copy[self.keys.marks]
        return Compared(
            self.answered(),
            _links_of(copy[self.keys.links]),
            self.out_of_the_graph() if is_any_out else {},
            self.suspended() if copy[self.keys.suspended] else {},
        )

    def _unsettled(self, copy: Copy, *answers: "Compared") -> set[bytes]:
        """The identifiers that what is pending can have a say in: it reaches them over links and ties, and
        through identifiers that one of the answers has in the graph.
        """
        marks = {key: unpack_marks(record) for key, record in copy[self.keys.marks].items()}
        erasures = {key: mark.position for key, said in marks.items() for mark in said if mark.what == "e"}
        reborn = {key: KEYRING.reborn(key, position) for key, position in erasures.items()}
        pending = set(copy[self.keys.pending])
        pending |= {reborn[key] for key in pending if key in reborn}
        near = _near(answers, copy[self.keys.synonyms], marks)
        reached, waiting = set(pending), set(pending)
        while waiting:
            key = waiting.pop()
            if key in pending or not all(key in answer.out for answer in answers):
                waiting |= near[key] - reached
                reached |= near[key]
        return reached | {key for key, living in reborn.items() if living in reached}

    def is_fenced(self) -> None:
        """Assert that a batch from elsewhere is refused."""
        moves = (Move("topic", 0, 1_000_000, 1_000_001),)
        assert isinstance(self.store.apply(Batch(moves, ())), Fenced)

    def answered(self) -> dict[Identifier, str]:
        """The store's entity id of every identifier."""
        cursor, found = 0, dict[Identifier, str]()
        while True:
            cursor, _, page = self.store.page(cursor)
            found |= dict(page)
            if cursor == 0:
                return found

    def linked(self) -> dict[LinkKey, LinkFact]:
        """The store's links, read from its records."""
        records: Any = self.client.hgetall(self.keys.links)  # the records are what is compared
        return _links_of(records)

    def pending(self) -> set[bytes]:
        """Keys of identifiers of whose entities only the log knows everything."""
        keys: Any = self.client.hkeys(self.keys.pending)
        return set(keys)

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


class Compared(NamedTuple):
    """An answer as it is compared: entity ids, links, and what is out of the graph or suspended, and why."""

    entity_of: Mapping[Identifier, str]
    links: Mapping[LinkKey, LinkFact]
    out: Mapping[bytes, tuple[Limit, bytes] | None]
    suspended: Mapping[tuple[str, LinkKey], Conflict]


class Told(NamedTuple):
    """What consumers know of profiles: values of traits, timelines, memberships with since when and until."""

    traits: Mapping[str, Mapping[str, Any]]
    timelines: Mapping[str, Mapping[str, Sequence[Interval]]]
    memberships: Mapping[tuple[str, str, str | None], tuple[str, str | None]]


def told_of(answer: Answer) -> Told:
    """What consumers are to know of an answer."""
    of_traits = {
        name: {trait: json.loads(one.value) for trait, one in each.traits.items()}
        for name, each in answer.profiles.items()
        if each.traits
    }
    timelines = {
        name: {state: [*map(_interval, timeline)] for state, timeline in each.timelines.items()}
        for name, each in answer.profiles.items()
        if each.timelines
    }
    memberships = {
        key: (format_instant(one.started_ms), None if one.ended_ms is None else format_instant(one.ended_ms))
        for key, one in answer.memberships.items()
    }
    return Told(of_traits, timelines, memberships)


def kept_by(consumer: EntityMapping) -> Told:
    """What a consumer knows."""
    kept = consumer.profiles
    traits = {name: {trait: one.value for trait, one in each.items()} for name, each in kept.traits().items()}
    return Told(traits, kept.timelines(), kept.memberships())


def _interval(one: profiles.Interval) -> Interval:
    return Interval(
        state_value=one.value.text,
        state_numeric_value=one.value.number,
        state_entered_at=format_instant(one.entered_ms),
        state_exited_at=None if one.exited_ms is None else format_instant(one.exited_ms),
    )


def _compared(answer: Answer) -> Compared:
    out: dict[bytes, tuple[Limit, bytes] | None] = dict.fromkeys(answer.blocked)
    out.update({key: (one.limit, one.position) for key, one in answer.quarantined.items()})
    suspended: dict[tuple[str, LinkKey], Conflict] = {
        (edge.kind, edge.keys): why for edge, why in answer.suspended.items()
    }
    return Compared(answer.entity_of, answer.links, out, suspended)


def _settled(answer: Compared, unsettled: Set[bytes]) -> Compared:
    """What an answer says of everything but these."""
    return Compared(
        {one: name for one, name in answer.entity_of.items() if KEYRING.key(one) not in unsettled},
        {keys: fact for keys, fact in answer.links.items() if unsettled.isdisjoint(keys)},
        {key: why for key, why in answer.out.items() if key not in unsettled},
        {about: why for about, why in answer.suspended.items() if unsettled.isdisjoint(about[1])},
    )


def _near(
    answers: Iterable[Compared], synonyms: Mapping[bytes, bytes], marks: Mapping[bytes, Iterable[Mark]]
) -> Mapping[bytes, Set[bytes]]:
    """For each identifier, those that a link or a tie names together with it."""
    near: dict[bytes, set[bytes]] = defaultdict(set)
    for keys in (keys for answer in answers for keys in answer.links):
        for key in keys:
            near[key].update(keys)
    for key, others in synonyms.items():
        near[key].update(others[at : at + 16] for at in range(0, len(others), 16))
    for key, said in marks.items():
        near[key].update(mark.other for mark in said if mark.what == "t")
    return near


def _links_of(records: Mapping[bytes, bytes]) -> dict[LinkKey, LinkFact]:
    links = (unpack_link(handle, record) for handle, record in records.items())
    return {link.keys: LinkFact(link.first, link.last_ms) for link in links}


def _position(cause: Cause) -> bytes:
    instant = parse_instant(cause.ingested_at, "ingested_at")
    return log_position(instant, cause.source, cause.event_id)


def agree_in_every_order(pair: Pair, events: Sequence[Event], commands: Sequence[Command] = ()) -> None:
    """Assert that all agree after every event and operator event, in each order in which they can arrive:
    events in any, operator events in their own (the control topic has one partition), the two interleaved.
    """
    following: list[tuple[Event | Command, Sequence[Event], Sequence[Command]]] = [
        (one, [*events[:place], *events[place + 1 :]], commands) for place, one in enumerate(events)
    ]
    if commands:
        following.append((commands[0], events, commands[1:]))
    saved = pair.save() if len(following) > 1 else None
    for place, (one, other_events, other_commands) in enumerate(following):
        if place and saved:
            pair.load(saved)
        pair.take(one)
        pair.agree()
        agree_in_every_order(pair, other_events, other_commands)


def answer_of(events_in_any_order: Iterable[Event]) -> Answer:
    """The reference's answer to some events."""
    reference = Reference(KEYRING)
    reference.add(events_in_any_order)
    return reference.answer()
