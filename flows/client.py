"""What the commands ask, for Python programs:

    with Nexus(load()) as nexus:
        person = nexus.lookup("person", "email", "ada@acme.example")
        for change in nexus.history(person.entity_id).changes:
            print(change.what, change.other_id)
        answer = nexus.why("person", "email=ada@acme.example", "user_id=u-7")
        for step in answer.why.chain or ():
            print(step.edge.kind, answer.names[step.to])
        known = nexus.profile("person", "email=ada@acme.example")
        for trait in known.traits:
            print(trait.name, trait.value, trait.source)
        for name, timeline in known.timelines.items():
            print(name, timeline[-1].state_value, timeline[-1].state_exited_at)
        for event in nexus.timeline("person", "email=ada@acme.example").recent.events:
            print(event.occurred_at, event.event_name, event.roles)
        before = nexus.as_of("person", "email=ada@acme.example", "2026-01-05T10:00:00Z").then.profile

Reads only. Each call sees whole batches, never half of one; what takes several reads (`why`, `timeline`,
`quarantine`, `export`) may see different batches in each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Literal, NamedTuple, Self, cast

from flows.asking import asked_log, events_of
from flows.settings import Settings
from flows.sorting import sorted_rows
from flows.wiring import Wiring
from resolver.excerpt import Then, known_then
from resolver.explain import LIMIT, Glued, Outside, Why, glued, why
from resolver.judge import Edge
from resolver.keys import Keys
from resolver.neighbours import RedisNeighbours
from resolver.packing import quarantine_reason
from resolver.store import NO_EVENTS, Change, Entity, RecentEvents, StoredProfile
from schemas.errors import BadMessage, BadValue, SettingsError
from schemas.events import parse_position
from schemas.identifiers import EntityType, Identifier, parse_entity_id
from schemas.identifiers import entity_id as make_entity_id
from schemas.instants import format_instant, parse_instant
from schemas.rules import Rules
from schemas.transitions import NamedIdentifier, QuarantineReason

_BIRTHS_AND_NAMES = frozenset(
    ("created", "split from", "split into", "absorbed", "merged into", "renamed from", "renamed to")
)


@dataclass(frozen=True, slots=True)
class Absence:
    """Why an identifier belongs to nobody.

    `unnamed`: no event names it; `by rule`: the rules block it, `rule` says by which; `blocked`: by an
    operator, or by an erasure that touched it; `quarantined`: it is shared, `reason` says by what measure;
    `erased`. `entities`: of a blocked or quarantined one, those of its partners, oldest partner first.
    """

    state: Literal["unnamed", "by rule", "blocked", "quarantined", "erased"]
    rule: str | None = None
    reason: QuarantineReason | None = None
    entities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """What an entity id has been through: who holds it now, since when, and its last identity changes.

    `former` are the other ids that this entity, or a part of it, was called by. `absence`: why nobody answers
    to the id now.
    """

    entity_id: str
    now: Entity | None
    changes: Sequence[Change]
    former: Sequence[str] = ()
    absence: Absence | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the store still remembers everything: it keeps the last 20 changes of an id."""
        return len(self.changes) < 20

    @property
    def is_known(self) -> bool:
        """Whether anybody was ever called by this id."""
        return self.now is not None or bool(self.changes) or self.absence not in (None, Absence("unnamed"))


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two identifiers are one, or are not, with the names of all identifiers that it speaks of.

    `entity_id`: of two that are one. `rules`: of what the rules block, which rule; nothing else is known of
    that. An identifier that no event names, or that was erased, has a name only if it was asked by it.
    """

    entity_type: EntityType
    why: Why
    entity_id: str | None
    limit: int
    names: Mapping[bytes, NamedIdentifier]
    rules: Mapping[bytes, str] = field(default_factory=dict)

    @property
    def unknown(self) -> tuple[bytes, ...]:
        """The keys of those of the two that no event names and no rule blocks."""
        outside = (guard for guard in self.why.guards if isinstance(guard, Outside))
        unnamed = (one.key for one in outside if one.standing.state == "unnamed")
        return tuple(key for key in unnamed if key not in self.rules)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One person or group as people want to read it: what is known now, and what it has been through.

    `profile` is None for an identifier that is nobody's now: `history` says why. `names` are of the groups
    and persons that its memberships are of, by id. `recent` are the last events in which it took part itself,
    by the event log or, without one, as many as the store keeps (`recent_events` in the settings).
    """

    entity_type: EntityType
    profile: StoredProfile | None
    history: History
    names: Mapping[str, NamedIdentifier]
    recent: RecentEvents = NO_EVENTS


class Known(NamedTuple):
    """Somebody as the event log knew them by an instant (RFC 3339). `then.profile` is None for an identifier
    that was nobody's: `absence` says why.
    """

    as_of: str
    then: Timeline
    absence: Absence | None


class Taken(NamedTuple):
    """An identifier that is out of the graph: why, since when (RFC 3339), and what it would make one."""

    identifier: Identifier
    state: Literal["quarantined", "blocked"]
    reason: QuarantineReason
    since: str | None
    would_glue: Glued


class SuspendedLink(NamedTuple):
    """An edge that unites nothing: its identifiers, and why."""

    entity_type: EntityType
    edge: Edge
    identifiers: tuple[NamedIdentifier, ...]
    unique: str | None
    apart: tuple[NamedIdentifier, ...]


class Row(NamedTuple):
    """One line of an export."""

    identifier_type: str
    identifier_value: str
    entity_id: str


class Nexus:
    """A client of one namespace. Raises StoreUnavailable when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._parts = Wiring(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.__exit__(kind, error, trace)

    # who somebody is

    def lookup(self, entity_type: EntityType, identifier_type: str, value: str) -> Entity | None:
        """The entity that holds this identifier now, None for nobody: `absence` says why.

        The value may be written in any way that normalises to the same. Raises SettingsError for one that
        cannot be normalised.
        """
        asked = self._identifier(entity_type, identifier_type, value)
        if self.rules.blocked(asked) is not None:
            return None
        return self._parts.store.entity(self._graph.living(self._parts.keyring.key(asked)))

    def blocked(self, entity_type: EntityType, identifier_type: str, value: str) -> str | None:
        """The name of the rule by which this value identifies nobody, None when it may identify somebody."""
        return self.rules.blocked(self._identifier(entity_type, identifier_type, value))

    def entity(self, entity_id: str) -> Entity | None:
        """The entity that answers to an id, be it a former one."""
        return self._parts.store.entity(parse_entity_id(entity_id)[1])

    def absence(self, entity_type: EntityType, named: str) -> Absence | None:
        """Why an identifier, `TYPE=VALUE` or the id made from it, belongs to nobody; None if it does not."""
        asked = self._asked(entity_type, named)
        return Absence("by rule", asked.rule) if asked.rule is not None else self._absence(asked.key)

    def _absence(self, key: bytes) -> Absence | None:
        standing = self._parts.store.standing(key)
        if standing.state == "in":
            return None
        return Absence(standing.state, None, standing.reason, tuple(self._entities(standing.partners)))

    def _entities(self, keys: Sequence[bytes]) -> Iterator[str]:
        """The ids of the entities of some identifiers, each once, in their order."""
        homes = self._graph.homes(keys)
        first = {home: key for key in reversed(keys) if (home := homes.get(key)) is not None}
        for key in keys:
            if key in first.values():
                entity = self._parts.store.entity(key, 0)
                if entity is not None:
                    yield entity.entity_id

    # what is known of them

    def profile(self, entity_type: EntityType, named: str, limit: int = 1_000) -> StoredProfile | None:
        """A person or group with its traits, memberships and timelines, by `TYPE=VALUE` or by an id, be it
        a former one; None for nobody: `absence` says why.

        At most `limit` identifiers are read, and of a group as many links of persons; `is_complete` says
        whether that is all.
        """
        asked = self._asked(entity_type, named)
        return None if asked.rule is not None else self._parts.store.profile(asked.key, limit)

    def profiles(self, entity_type: EntityType | None = None) -> Iterator[StoredProfile]:
        """All persons or groups, or both, of whom something is known, in no order and without identifiers;
        may give one twice, the second time as it is by then.
        """
        cursor = 0
        while True:
            cursor, _, found = self._parts.store.profiles_page(cursor)
            yield from (one for one in found if entity_type in (None, one.entity.entity_type))
            if cursor == 0:
                return

    def timeline(
        self, entity_type: EntityType, named: str, limit: int = 1_000, events: int | None = 1_000
    ) -> Timeline:
        """A person or group with all that is known and all that is remembered, named as for `profile`.

        `events`: so many of the event log are read at most, the newest; None: only those that the store
        remembers.
        """
        asked = self._asked(entity_type, named)
        entity_id = make_entity_id(entity_type, asked.key)
        if asked.rule is not None:
            nobody = History(entity_id, None, (), (), Absence("by rule", asked.rule))
            return Timeline(entity_type, None, nobody, {})
        found = self._parts.store.profile(asked.key, limit)
        if found is None:
            return Timeline(entity_type, None, self.history(entity_id), {})
        ids = {one.group_id if entity_type == "person" else one.person_id for one in found.memberships}
        keys = {parse_entity_id(one)[1]: one for one in ids}
        names = {keys[key]: name for key, name in self._graph.names(list(keys)).items()}
        recent = self._parts.store.recent_events(asked.key, limit)
        if events is not None:
            recent = events_of(self._parts, self._graph, found, recent, events)
        return Timeline(entity_type, found, self.history(found.entity.entity_id), names, recent)

    def as_of(self, entity_type: EntityType, named: str, at: str) -> Known:
        """A person or group as the event log knew them by an instant (RFC 3339), named as for `profile`, with
        all that had come in by then, under the rules of today; timed states are as of then.

        Raises SettingsError where there is no event log, TooMuch for who hangs together with too many.
        """
        until_ms, asked = _instant(at), self._asked(entity_type, named, is_now=False)
        entity_id = make_entity_id(entity_type, asked.key)
        if asked.rule is not None:
            absence = Absence("by rule", asked.rule)
            return Known(at, Timeline(entity_type, None, History(entity_id, None, ()), {}), absence)
        with asked_log(self._parts) as log:
            if log is None:
                raise SettingsError("there is no event log that knows what was: set warehouse.engine")
            one = asked.identifier(entity_type) or asked.key
            found = known_then(log, self._parts.keyring, self._parts.store.rules, one, until_ms)
        names = {
            one: NamedIdentifier(type=each.identifier_type, value=each.identifier_value)
            for one, each in found.names.items()
        }
        then = Timeline(entity_type, found.profile, History(entity_id, None, ()), names)
        return Known(at, then, None if found.state == "in" else Absence(found.state, None, _reason(found)))

    # what happened to an id

    def history(self, entity_id: str) -> History:
        """The last identity changes of an id, oldest first, who answers to it now, and its former ids."""
        entity_type, key = parse_entity_id(entity_id)
        store = self._parts.store
        now = store.entity(key)
        changes = store.history(entity_type, key)
        if now is None:
            return History(entity_id, now, changes, (), self._absence(key))
        return History(entity_id, now, changes, tuple(self._former(now)))

    def _former(self, now: Entity) -> Iterator[str]:
        """The ids that an entity was called by: those made from its identifiers that have a life behind
        them.
        """
        for key in self._graph.with_history([one.key for one in now.members]):
            name = make_entity_id(now.entity_type, key)
            changes = self._parts.store.history(now.entity_type, key)
            if name != now.entity_id and any(one.what in _BIRTHS_AND_NAMES for one in changes):
                yield name

    # why

    def why(self, entity_type: EntityType, a: str, b: str, limit: int = LIMIT) -> Explanation:
        """Why two identifiers are one, or are not; each is `TYPE=VALUE`, or the id made from it.

        Reads at most `limit` identifiers around them; an answer that was cut short by that says so.
        """
        one, other = self._asked(entity_type, a), self._asked(entity_type, b)
        rules = {each.key: each.rule for each in (one, other) if each.rule is not None}
        found = (
            Why(one.key, other.key, is_one=False) if rules else why(self._graph, one.key, other.key, limit)
        )
        names = {each.key: each.name for each in (one, other) if each.name is not None}
        names |= self._graph.names(found.keys)
        entity_id = next(self._entities([one.key]), None) if found.is_one else None
        return Explanation(entity_type, found, entity_id, limit, names, rules)

    # what is out of the graph

    def quarantine(
        self, entity_type: EntityType | None = None, show: Callable[[int], None] = lambda _: None
    ) -> Iterator[Taken]:
        """Every identifier that was taken out, by a limit or by an operator, sorted by type and value.

        `show` is told how many were found, before the first comes.
        """
        rows = sorted_rows(self._taken_out(entity_type, show), key_length=3)
        return (self._taken(*row) for row in rows)

    def _taken_out(
        self, entity_type: EntityType | None, show: Callable[[int], None]
    ) -> Iterator[tuple[str, ...]]:
        """What is out of the graph, as rows that sort."""
        for seen, one in enumerate(self._parts.store.quarantined(), 1):
            show(seen)
            asked = one.identifier
            if entity_type in (None, asked.entity_type):
                name = (asked.entity_type, asked.identifier_type, asked.identifier_value)
                yield (*name, one.key.hex(), one.state, one.reason.model_dump_json())

    def _taken(
        self, entity_type: str, identifier_type: str, value: str, key: str, state: str, reason: str
    ) -> Taken:
        why_so = QuarantineReason.model_validate_json(reason)
        named = Identifier(cast(EntityType, entity_type), identifier_type, value)
        since = self._since(named.entity_type, bytes.fromhex(key), why_so)
        would_glue = glued(self._graph, bytes.fromhex(key))
        return Taken(named, cast(Literal["quarantined", "blocked"], state), why_so, since, would_glue)

    def _since(self, entity_type: EntityType, key: bytes, reason: QuarantineReason) -> str | None:
        """Since when: the event that was one too many; of what an operator blocked, as its history tells."""
        if reason.brought_by is not None:
            return reason.brought_by.ingested_at
        changes = self._parts.store.history(entity_type, key)
        taken = [one.ingested_at_ms for one in changes if one.what == "quarantined"]
        return format_instant(taken[-1]) if taken else None

    def suspended(self, entity_type: EntityType | None = None) -> Iterator[SuspendedLink]:
        """Every edge that unites nothing since it would break a rule or an operator's word, in no order."""
        for one in self._parts.store.suspended():
            standing = self._parts.store.standing(one.keys[0])
            if standing.identifier is None:
                continue
            kind = standing.identifier.entity_type
            if entity_type in (None, kind):
                names = self._graph.names([*one.keys, *(one.apart or ())])
                yield SuspendedLink(
                    kind,
                    Edge(one.kind, one.first, one.keys),
                    tuple(names[key] for key in one.keys if key in names),
                    one.unique,
                    tuple(names[key] for key in one.apart or () if key in names),
                )

    # the whole

    def count(self) -> int:
        """How many identifiers there are, of persons and groups together."""
        parts = self._parts
        parts.store.sequence()  # which says in our words when the store does not answer
        return int(parts.client.hlen(Keys(parts.settings.namespace).nodes))

    def export(self, entity_type: EntityType, show: Callable[[int], None] = lambda _: None) -> Iterator[Row]:
        """Every identifier with its entity id, sorted by type and value. Streams: memory does not grow with
        them.

        `show` is told how many identifiers were read, of both entity types, before the first row comes.
        """
        rows = (
            (one.identifier_type, one.identifier_value, entity_id)
            for one, entity_id in self.identifiers(entity_type, show)
        )
        return (Row(*row) for row in sorted_rows(rows, key_length=2))

    def identifiers(
        self, entity_type: EntityType, show: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[Identifier, str]]:
        """Every identifier with its entity id, in no order; may give one twice."""
        cursor, seen = 0, 0
        while True:
            cursor, _, found = self._parts.store.page(cursor)
            seen += len(found)
            show(seen)
            yield from (pair for pair in found if pair[0].entity_type == entity_type)
            if cursor == 0:
                return

    # how it is asked

    @cached_property
    def _graph(self) -> RedisNeighbours:
        parts = self._parts
        return RedisNeighbours(parts.client, parts.settings.namespace, parts.store)

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._parts.settings.rules

    def _identifier(self, entity_type: EntityType, identifier_type: str, value: str) -> Identifier:
        try:
            return self.rules.identifier(entity_type, identifier_type, value)
        except BadValue as error:
            raise SettingsError(f"{identifier_type}: the value {error.reason}") from None

    def _asked(self, entity_type: EntityType, named: str, *, is_now: bool = True) -> "_Asked":
        """What `TYPE=VALUE` names, or an id: the identifier that the id is made from. `is_now`: by the key
        that it goes by today.
        """
        identifier_type, equals, value = named.partition("=")
        if not equals:
            return _Asked(key_of_id(entity_type, named), None, None)
        asked = self._identifier(entity_type, identifier_type, value)
        name = NamedIdentifier(type=asked.identifier_type, value=asked.identifier_value)
        rule = self.rules.blocked(asked)
        key = self._parts.keyring.key(asked)
        return _Asked(key if rule is not None or not is_now else self._graph.living(key), name, rule)


class _Asked(NamedTuple):
    """An identifier as it was asked: its key; its name, if it was named; the rule that blocks it."""

    key: bytes
    name: NamedIdentifier | None
    rule: str | None

    def identifier(self, entity_type: EntityType) -> Identifier | None:
        """The identifier, if it was named."""
        return None if self.name is None else Identifier(entity_type, self.name.type, self.name.value)


def _instant(at: str) -> int:
    try:
        return parse_instant(at, "as_of")
    except BadMessage as error:
        raise SettingsError(str(error)) from None


def _reason(then: Then) -> QuarantineReason | None:
    if then.excess is None:
        return None
    limit = then.excess.limit
    return quarantine_reason(limit.partner_type, limit.most, then.excess.position)


def key_of_id(entity_type: EntityType, entity_id: str) -> bytes:
    """The identifier key of an id of this type of entity. Raises SettingsError for what is none."""
    if entity_id.startswith({"person": "per_", "group": "grp_"}[entity_type]):
        return parse_entity_id(entity_id)[1]
    raise SettingsError(f"name the {entity_type} by TYPE=VALUE, as in email=ada@acme.example, or by its id")


def born(entity: Entity) -> str:
    """Since when an entity is known, and by which event: `2026-01-05T10:00:00.000Z by stripe in_1:paid`."""
    ingested_at_ms, source, event_id = parse_position(entity.first_seen)
    return f"{format_instant(ingested_at_ms)} by {source} {event_id}"
