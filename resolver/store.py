"""What a store promises, and the words of that promise.

A store holds the identity graph of one namespace, the offsets of its input, and the transitions that are
not yet published. The stream talks to it in batches: `apply` moves all three together, or changes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from resolver.profiles import Profile
from schemas.events import EventKey, Measurement
from schemas.identifiers import EntityType, Identifier
from schemas.instants import format_instant
from schemas.rules import Rules
from schemas.transitions import Interval, NamedTrait, QuarantineReason, Transition


class Move(NamedTuple):
    """One partition's part of a batch: from where it was read, to where reading goes on. None: never read
    before.
    """

    topic: str
    partition: int
    expected: int | None
    next: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A distinct set of identifiers that events name as one participant, as the store wants it.

    `keys` are the identifier keys, ascending (16 bytes each); `handle` is the store's 16-byte name of the
    set; `packed` is what the script parses when it sees the set for the first time.
    """

    identifiers: tuple[Identifier, ...]
    keys: tuple[bytes, ...]
    handle: bytes
    packed: bytes
    named: bytes = field(init=False, repr=False, compare=False)
    """What a message of facts begins with: handle, entity type and keys."""

    def __post_init__(self) -> None:
        kind = b"p" if self.identifiers[0].entity_type == "person" else b"g"
        named = b"".join((self.handle, kind, bytes([len(self.keys)]), *self.keys))
        object.__setattr__(self, "named", named)


class Evidence(NamedTuple):
    """A link and what a batch says of it: its lowest log position (bytes), and its last instant (ms)."""

    shape: Shape
    first: bytes
    last_ms: int


OperationKind = Literal["together", "apart", "block", "unblock", "release", "erase", "retract"]


@dataclass(frozen=True, slots=True)
class Command:
    """An operator event as the store wants it, at its log position (bytes).

    `keys`: both of a pair that is `together` or `apart`; the one to `block`, `unblock` or `release`; all that
    `erase` erases. `blocked`, of an erasure: quarantined identifiers that it touched, blocked from then on.
    `event`: what is retracted; its `keys` are of what it touched.
    """

    kind: OperationKind
    entity_type: EntityType
    position: bytes
    keys: tuple[bytes, ...]
    blocked: tuple[bytes, ...] = ()
    event: EventKey | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one atomic call moves: partitions, and the links in log order (then by link key).

    An operator event is a batch of its own: the move of the control partition, and one command. `rules` is
    the version of the rules that it was made under; empty for those of the store. `facts` are what the events
    say of the links' entities, packed, in log order; `recent` is what the links remember of the events
    themselves, one for each link of the evidence, or nothing. `retracted`: how many retracted events it was
    made without; None where no event of it can be. `Linker.batch` makes all four.
    """

    moves: tuple[Move, ...]
    evidence: tuple[Evidence, ...]
    command: Command | None = None
    rules: str = ""
    facts: tuple[bytes, ...] = ()
    recent: tuple[bytes, ...] = ()
    retracted: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch is in, with this many transitions. `again`: it had been in before (a retried call)."""

    transitions: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has gone by: so many transitions, of so many timers that went off. `is_more`: others are due."""

    transitions: int
    timers: int
    is_more: bool


@dataclass(frozen=True, slots=True)
class Fenced:
    """The batch does not begin where the store stands; nothing was changed. The store's offsets, None for
    none.
    """

    offsets: Mapping[tuple[str, int], int | None]


@dataclass(frozen=True, slots=True)
class Full:
    """The outbox holds as many transitions as it may; nothing was changed. Publish, then try again."""

    waiting: int


@dataclass(frozen=True, slots=True)
class Erased:
    """The batch names identifiers that were erased, each with the log position of its erasure; nothing was
    changed.

    `Linker.learn` takes them; then the evidence is made again from the same events.
    """

    positions: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Retracted:
    """Events were retracted that whoever made the batch did not know of; nothing was changed.

    `Linker.leave_out` takes those that `Store.retracted` gives; then the batch is made again from the same
    events.
    """


@dataclass(frozen=True, slots=True)
class OtherRules:
    """The rules in force are others than the batch was made under; nothing was changed."""

    version: str


Outcome = Applied | Fenced | Full | Erased | Retracted | OtherRules


class OutboxEntry(NamedTuple):
    """The transitions of one batch, with the instant it was applied (ms, the store's clock)."""

    entry_id: str
    applied_ms: int
    transitions: tuple[Transition, ...]


class Cursor(NamedTuple):
    """How far the outbox is published: the sequence of the last transition out. (0, 0): nothing yet."""

    generation: int
    number: int


class Cut(NamedTuple):
    """What is true of a store at one instant: the offsets behind which all that was read lies, the last
    transition, as of when timed states are (`now`, ms since 1970), and the version of the rules in force.
    """

    offsets: Mapping[tuple[str, int], int]
    sequence: Cursor
    now_ms: int
    rules: str


class Change(NamedTuple):
    """One identity change of an entity id, as `history` tells it. `moved`: how many identifiers, or 0."""

    what: str
    other_id: str
    moved: int
    generation: int
    number: int
    source: str
    event_id: str
    ingested_at_ms: int


class Member(NamedTuple):
    """One identifier of an entity, with its key."""

    identifier_type: str
    identifier_value: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity as it is now. `members` is cut at the reader's limit, `size` is not."""

    entity_type: EntityType
    entity_id: str
    size: int
    first_seen: bytes
    members: tuple[Member, ...]


class Belonging(NamedTuple):
    """A person in a group, in a role: since when (ms), and until when; None: still."""

    person_id: str
    group_id: str
    role: str | None
    started_ms: int
    ended_ms: int | None

    @property
    def started_at(self) -> str:
        """Since when, as transitions say it."""
        return format_instant(self.started_ms)

    @property
    def ended_at(self) -> str | None:
        """Until when, as transitions say it."""
        return None if self.ended_ms is None else format_instant(self.ended_ms)


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What is known of an entity besides its identifiers, as of one sequence and of one `now` (ms).

    `memberships`, by group, person and role: of a person in groups, of a group its persons. `is_complete`:
    neither they nor the members of the entity were cut at the reader's limit.
    """

    entity: Entity
    profile: Profile
    memberships: tuple[Belonging, ...]
    is_complete: bool
    as_of: Cursor
    now_ms: int

    @property
    def traits(self) -> tuple[NamedTrait, ...]:
        """The traits as transitions say them, by name."""
        return tuple(
            NamedTrait(
                name=name,
                value=json.loads(one.value),
                source=one.origin.source,
                event_id=one.origin.event_id,
                occurred_at=format_instant(one.origin.occurred_at_ms),
            )
            for name, one in sorted(self.profile.traits.items())
        )

    @property
    def timelines(self) -> Mapping[str, tuple[Interval, ...]]:
        """The timelines as transitions say them, by the name of the state."""
        return {
            name: tuple(
                Interval(
                    state_value=one.value.text,
                    state_numeric_value=one.value.number,
                    state_entered_at=format_instant(one.entered_ms),
                    state_exited_at=None if one.exited_ms is None else format_instant(one.exited_ms),
                )
                for one in timeline
            )
            for name, timeline in sorted(self.profile.timelines.items())
        }


class RecentEvent(NamedTuple):
    """An event as it is remembered: when it happened (ms), what it was, in which roles its entity took part,
    and its first measurements.
    """

    occurred_ms: int
    source: str
    event_id: str
    event_name: str
    event_type: str | None
    roles: tuple[str, ...]
    measurements: tuple[Measurement, ...]

    @property
    def occurred_at(self) -> str:
        """When it happened, as transitions say it."""
        return format_instant(self.occurred_ms)


class RecentEvents(NamedTuple):
    """The last events of an entity, oldest first, `kept` at most; `is_whole` if all its links were read.
    `is_by_log`: those of the whole event log, and not only those that the store remembers.
    """

    events: tuple[RecentEvent, ...] = ()
    kept: int = 0
    is_whole: bool = True
    is_by_log: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether the entity has no others, as far as any were asked to be kept."""
        return self.is_whole and (self.kept == 0 or len(self.events) < self.kept)


NO_EVENTS = RecentEvents()


class Standing(NamedTuple):
    """How an identifier stands. `partners`, of one that is out of the graph: oldest first, at most a hundred.

    `identifier` is None for one that no event names, be it that it was erased.
    """

    identifier: Identifier | None
    state: Literal["in", "quarantined", "blocked", "erased", "unnamed"]
    reason: QuarantineReason | None
    partners: tuple[bytes, ...]


class Quarantined(NamedTuple):
    """An identifier that is out of the graph, and why."""

    key: bytes
    identifier: Identifier
    state: Literal["quarantined", "blocked"]
    reason: QuarantineReason


class Suspension(NamedTuple):
    """A link that is suspended: its identifier keys, its first evidence, and the unique type or the apart
    pair that it would break.
    """

    keys: tuple[bytes, ...]
    kind: Literal["event", "together", "synonym"]
    first: bytes
    unique: str | None
    apart: tuple[bytes, bytes] | None


class Ties(NamedTuple):
    """What ties an identifier to others, or keeps it apart, besides links: pairs (other key, position)."""

    together: tuple[tuple[bytes, bytes], ...] = ()
    apart: tuple[tuple[bytes, bytes], ...] = ()
    synonyms: tuple[bytes, ...] = ()


class Store(Protocol):
    """The identity store of one namespace.

    Promises: `apply` is atomic and durable when it returns, changes nothing unless every partition stands
    where the batch expects it, and may be sent twice. Transitions come out of the outbox in the order of
    their numbers, without gaps, until `advance` says that they are out. Reads see whole batches only.
    Raises StoreUnavailable (transient) when the store cannot be reached, StartRefused when it may not be
    resumed.
    """

    def apply(self, batch: Batch) -> Outcome:
        """Move state, outbox and offsets together."""

    def clock(self) -> tuple[int, int | None]:
        """The instant by the store's clock, and of the first timer, None if none is set (ms since 1970)."""

    def tick(self, until_ms: int | None = None) -> Ticked | Full:
        """Move `now`, as of which timed states are, to the store's clock, never back; tell what became true.

        It moves as far as the timers that one call sees to; call again while `is_more`. Anybody may call it
        at any time. `until_ms` (ms since 1970): no further than that. Under other rules than those in force
        nothing happens.
        """

    def retracted(self) -> frozenset[bytes]:
        """The handles of all retracted events (`Keyring.event_handle`)."""

    def preview(self, command: Command) -> Sequence[Transition]:
        """What an operator event would bring about now; changes nothing. Raises TooLarge."""

    @property
    def rules(self) -> Rules:
        """The rules that the store works under."""

    def enact(self, move: Move, rules: Rules, position: bytes) -> Outcome:
        """Bring other rules into force, and move the offset of the operator event that says so."""

    def take_rules(self) -> bool:
        """Take over the rules in force, if an operator event brought them; whether they are taken."""

    def offsets(self, topic: str) -> Mapping[int, int]:
        """The next offset of each partition of a topic that was ever read."""

    def cursor(self) -> Cursor:
        """How far the outbox is published."""

    def outbox(self, after: Cursor, limit: int, wait_ms: int) -> Sequence[OutboxEntry]:
        """The next batches of transitions, waiting up to wait_ms (0: not at all) for the first."""

    def advance(self, expected: Cursor, to: Cursor, published: int) -> bool:
        """Move the cursor by `published` transitions and drop what lies behind it.

        False, and nothing done, if the cursor is not where expected. `to` is the end of an outbox entry.
        """

    def entity(self, key: bytes, limit: int = 10_000) -> Entity | None:
        """The entity that holds an identifier now, by the identifier's key."""

    def profile(self, key: bytes, limit: int = 1_000) -> StoredProfile | None:
        """The entity that holds an identifier now with what is known of it, by the identifier's key.

        `limit`: how many identifiers are read at most, and of a group how many links of persons.
        """

    def recent_events(self, key: bytes, limit: int = 1_000) -> RecentEvents:
        """The last events of the entity that holds an identifier now, by the identifier's key: those in which
        it took part itself. No part of the answer, and only as many as the store was told to keep.

        `limit`: how many identifiers, and how many of their links, are looked at; those that were seen last
        first.
        """

    def profiles_page(self, cursor: int, count: int = 500) -> tuple[int, Cursor, list[StoredProfile]]:
        """What is known of some entities, without members and without the persons of groups, as of one
        sequence; the next cursor is 0 after the last page.

        An id that is there throughout a walk is seen at least once, and maybe several times. One that another
        became meanwhile may be missed: a relabelling says so.
        """

    def standing(self, key: bytes) -> Standing:
        """How an identifier stands, in the graph or out of it."""

    def quarantined(self) -> Iterator[Quarantined]:
        """What is out of the graph, in no order."""

    def suspended(self) -> Iterator[Suspension]:
        """The links that are suspended, in no order."""

    def history(self, entity_type: EntityType, key: bytes) -> Sequence[Change]:
        """The last identity changes of the id made from an identifier key, oldest first."""

    def mapping(self, entity_type: EntityType) -> Iterator[tuple[Identifier, str]]:
        """Every identifier of a type of entity with its entity id, in no order."""

    def check(self) -> None:
        """Assert every invariant; raises StoreCorrupt that shows the state where one does not hold."""
