"""What is published when the answer changes, and when the whole answer is sent anew.

Every transition names its cause, and its `transition_id` is made from what it says, not from when it was
made: a replay makes the same id again, so a consumer that keys on it counts each change once. `(generation,
number)` is the sequence: within a generation the numbers have no gaps, and a higher generation starts at 1
again, because the store went back in time and everything since is said anew.

Where identifiers part, or leave the graph, the change names each one that went elsewhere, so that who applies
the changes by their numbers always has the exact answer. A restructuring of some entities into others is said
in this order: what leaves the graph; the pieces that come off each entity; which pieces are one from now on;
what is new or back. An erasure says that the entity ended, and then anew what remains of it.

What belongs to an entity besides its identifiers, its profile, is its traits, its memberships (of a person in
groups, of a group its persons) and the timelines of its states. It goes with the id:

- `entities_merged`: the profile of the absorbed id ends, on both sides of its memberships;
- `entity_relabelled`: the profile moves to the new id, its memberships too;
- `entity_split`: the id keeps its profile, and a part begins with none;
- `entity_created`: it begins with none;
- `entity_erased`: the profile ends, as does that of an id that a quarantine or a split leaves without
  identifiers.

Whatever the answer is besides that, the changes that follow say. So a merge is followed by what the survivor
has now and had not before, and a consumer that applies them by number has every profile exactly.

The snapshot messages describe the answer instead of a change, so they have no cause. Each describes the state
right after the transition `number` of its generation, and `index` counts them within one `snapshot` from 0.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, model_validator

from schemas.identifiers import EntityType, Keyring, encode_parts
from schemas.instants import format_instant

TIMER_SOURCE: Final = "nexus"
"""The source in the cause of what became true because time passed."""

MAX_SNAPSHOT_IDENTIFIERS: Final = 1_000
MAX_ENTRIES: Final = 1_000  # traits, memberships or intervals in one message
MAX_SPLIT_IDENTIFIERS: Final = 1_000
MAX_ERASED_IDS: Final = 1_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NamedIdentifier(_Frozen):
    """An identifier as it is written in a transition, normalised; the entity type is the transition's."""

    type: str
    value: str


class Cause(_Frozen):
    """The event that brought the change, by its log position; `ingested_at` is RFC 3339 in UTC, with ms.

    What no event brought but the passing of time has the source `nexus`, as event id `timer:` and the name of
    the timed state, and as `ingested_at` the instant at which it became true.
    """

    source: str
    event_id: str
    ingested_at: str

    @classmethod
    def at(cls, ingested_at_ms: int, source: str, event_id: str) -> "Cause":
        """The cause at a log position: `Cause.at(*parse_position(position))`."""
        return cls(source=source, event_id=event_id, ingested_at=format_instant(ingested_at_ms))

    @classmethod
    def of_timer(cls, state_name: str, instant_ms: int) -> "Cause":
        """The cause of what became true at that instant because nothing happened."""
        return cls.at(instant_ms, TIMER_SOURCE, f"timer:{state_name}")


class QuarantineReason(_Frozen):
    """Why an identifier left the graph.

    `limit`: it was seen with more than `limit` partners of the type `partner_type`; `degree`: with more than
    `limit` of any type; `brought_by` is the event that brought the one too many, in log order. `blocked`: an
    operator said so, and there is nothing more to tell.
    """

    kind: Literal["limit", "degree", "blocked"]
    partner_type: str | None = None
    limit: int | None = None
    brought_by: Cause | None = None


class _Sequenced(_Frozen):
    transition_id: str
    namespace: str
    generation: int = Field(ge=0)
    number: int = Field(ge=0)


class _Change(_Sequenced):
    entity_type: EntityType
    entity_id: str
    cause: Cause

    @property
    def sequence(self) -> tuple[int, int]:
        """(generation, number), the order in which changes apply."""
        return (self.generation, self.number)


class EntityCreated(_Change):
    """A new entity, with the identifiers that it begins with, its senior one among them."""

    transition: Literal["entity_created"] = "entity_created"
    identifiers: tuple[NamedIdentifier, ...] = Field(min_length=1)


class IdentifierAdded(_Change):
    """An identifier that was not known before belongs to this entity."""

    transition: Literal["identifier_added"] = "identifier_added"
    identifier: NamedIdentifier


class EntitiesMerged(_Change):
    """Two entities turned out to be one: `entity_id` goes on, with the `moved` identifiers of the other."""

    transition: Literal["entities_merged"] = "entities_merged"
    absorbed_id: str
    moved: int = Field(ge=1)


class EntityRelabelled(_Change):
    """The same entity under another id, since an older identifier than its senior one came to light."""

    transition: Literal["entity_relabelled"] = "entity_relabelled"
    former_id: str


class EntitySplit(_Change):
    """`identifiers`, which belonged to `entity_id`, belong to `part_id` from now on.

    A split is a run of these: `parts` counts the entities that there are now, and `part`, from 1, those that
    have a message. The one that keeps `entity_id`, if one does, has none: it is counted in `parts`, and keeps
    whatever no message names. A part with more than 1,000 identifiers is several messages with the same
    `part`.
    """

    transition: Literal["entity_split"] = "entity_split"
    part_id: str
    part: int = Field(ge=1)
    parts: int = Field(ge=1)
    identifiers: tuple[NamedIdentifier, ...] = Field(min_length=1, max_length=MAX_SPLIT_IDENTIFIERS)


class IdentifierQuarantined(_Change):
    """An identifier left the graph and belongs to nobody.

    `entity_id` is the entity that it left, or, if it never was in one, the id made from it.
    """

    transition: Literal["identifier_quarantined"] = "identifier_quarantined"
    identifier: NamedIdentifier
    reason: QuarantineReason


class IdentifierReleased(_Change):
    """An identifier that had been taken out is back in the graph, and belongs to this entity.

    `released` or `unblocked` by an operator; `rules`: they allow it now; `erased`: so many of its partners
    were erased that the rest is allowed.
    """

    transition: Literal["identifier_released"] = "identifier_released"
    identifier: NamedIdentifier
    reason: Literal["released", "unblocked", "rules", "erased"]


class EntityErased(_Change):
    """The entity ended, and everything that is known of it must go, whatever still belongs to it.

    `erased_ids` are the ids made from its erased identifiers, and from those that nothing but the erased
    participants named; above 1,000 it is several messages. What was not erased follows as `EntityCreated`,
    maybe under the same id.
    """

    transition: Literal["entity_erased"] = "entity_erased"
    erased_ids: tuple[str, ...] = Field(max_length=MAX_ERASED_IDS)


class Redacted(_Change):
    """What stood here named an identifier that was erased before it was published. It changes nothing.

    It keeps the place, the id and the cause of what it hides, so that the numbers have no gaps.
    """

    transition: Literal["redacted"] = "redacted"


class TraitChanged(_Change):
    """A trait has this value from now on; `null`: it is unset, or nobody says it any more.

    `source`, `event_id` and `occurred_at` are of the fact that says so, and `null` when there is none left.
    """

    transition: Literal["trait_changed"] = "trait_changed"
    name: str
    value: JsonValue
    source: str | None
    event_id: str | None
    occurred_at: str | None

    @model_validator(mode="after")
    def _somebody_says_it(self) -> "TraitChanged":
        if self.value is not None and None in (self.source, self.event_id, self.occurred_at):
            raise ValueError("a value needs source, event_id and occurred_at")
        return self


class MembershipStarted(_Change):
    """The person `entity_id` is in `group_id`, in this role, since `started_at`.

    It is sent again when earlier evidence comes, with the earlier `started_at`, and when a membership that
    had ended goes on. It takes the place of what was said of these two and this role before.
    """

    transition: Literal["membership_started"] = "membership_started"
    group_id: str
    role: str | None
    started_at: str


class MembershipEnded(_Change):
    """The person `entity_id`, in `group_id` in this role since `started_at`, left it at `ended_at`.

    Both `null`: it never was there, and what had been said is true of others, after a merge or a split, or of
    nobody. There is no such membership any more.
    """

    transition: Literal["membership_ended"] = "membership_ended"
    group_id: str
    role: str | None
    started_at: str | None
    ended_at: str | None

    @model_validator(mode="after")
    def _both_or_none(self) -> "MembershipEnded":
        if (self.started_at is None) != (self.ended_at is None):
            raise ValueError("started_at and ended_at are null together")
        return self


class Interval(_Frozen):
    """A state had one value from `state_entered_at` until `state_exited_at`, which is `null` while it has."""

    state_value: str | None
    state_numeric_value: float | None
    state_entered_at: str
    state_exited_at: str | None


class StateEntered(_Change):
    """An interval began: the state has this value since `state_entered_at`."""

    transition: Literal["state_entered"] = "state_entered"
    state_name: str
    state_value: str | None
    state_numeric_value: float | None
    state_entered_at: str


class StateExited(_Change):
    """The interval that began at `state_entered_at` ended at `state_exited_at`."""

    transition: Literal["state_exited"] = "state_exited"
    state_name: str
    state_value: str | None
    state_numeric_value: float | None
    state_entered_at: str
    state_exited_at: str


class StateCorrected(_Change):
    """The interval `replaced`, as it was published, is no longer true: `intervals` stand in its place.

    They are in the order of time, or none: then it just goes. `replaced` is `null` where nothing goes, and
    `intervals` come in. More than 1,000 are several messages, of which the first says what is replaced.
    """

    transition: Literal["state_corrected"] = "state_corrected"
    state_name: str
    replaced: Interval | None
    intervals: tuple[Interval, ...] = Field(max_length=MAX_ENTRIES)

    @model_validator(mode="after")
    def _says_something(self) -> "StateCorrected":
        if self.replaced is None and not self.intervals:
            raise ValueError("neither replaced nor intervals is said")
        return self


class _Snapshot(_Sequenced):
    snapshot: int = Field(ge=1, description="Which snapshot of the generation this message belongs to.")
    index: int = Field(ge=0, description="The place of the message in its snapshot: 0 is its start.")


class SnapshotStarted(_Snapshot):
    """The whole answer follows: every identifier that was known right after the transition `number`.

    It clears nothing. What the snapshot has not named by its end, and no change since its start, is gone.
    """

    transition: Literal["snapshot_started"] = "snapshot_started"


class SnapshotIdentifiers(_Snapshot):
    """These identifiers belong to this entity right after the transition `number`."""

    transition: Literal["snapshot_identifiers"] = "snapshot_identifiers"
    entity_type: EntityType
    entity_id: str
    identifiers: tuple[NamedIdentifier, ...] = Field(min_length=1, max_length=MAX_SNAPSHOT_IDENTIFIERS)


class NamedTrait(_Frozen):
    """A trait as `TraitChanged` says it, of one that is set."""

    name: str
    value: JsonValue
    source: str
    event_id: str
    occurred_at: str


class SnapshotTraits(_Snapshot):
    """The entity has these traits right after the transition `number`, and those of its other messages."""

    transition: Literal["snapshot_traits"] = "snapshot_traits"
    entity_type: EntityType
    entity_id: str
    traits: tuple[NamedTrait, ...] = Field(min_length=1, max_length=MAX_ENTRIES)


class NamedMembership(_Frozen):
    """A membership of a person, which may have ended."""

    group_id: str
    role: str | None
    started_at: str
    ended_at: str | None


class SnapshotMemberships(_Snapshot):
    """The person has these memberships right after the transition `number`."""

    transition: Literal["snapshot_memberships"] = "snapshot_memberships"
    entity_type: EntityType
    entity_id: str
    memberships: tuple[NamedMembership, ...] = Field(min_length=1, max_length=MAX_ENTRIES)


class SnapshotStates(_Snapshot):
    """These intervals are in the timeline of this state of the entity right after the transition `number`."""

    transition: Literal["snapshot_states"] = "snapshot_states"
    entity_type: EntityType
    entity_id: str
    state_name: str
    intervals: tuple[Interval, ...] = Field(min_length=1, max_length=MAX_ENTRIES)


class SnapshotEnded(_Snapshot):
    """The last message of a snapshot; `entities` and `identifiers` count what it said."""

    transition: Literal["snapshot_ended"] = "snapshot_ended"
    entities: int = Field(ge=0)
    identifiers: int = Field(ge=0)


Change: TypeAlias = (
    EntityCreated
    | IdentifierAdded
    | EntitiesMerged
    | EntityRelabelled
    | EntitySplit
    | IdentifierQuarantined
    | IdentifierReleased
    | EntityErased
    | Redacted
    | TraitChanged
    | MembershipStarted
    | MembershipEnded
    | StateEntered
    | StateExited
    | StateCorrected
)
Snapshot: TypeAlias = (
    SnapshotStarted
    | SnapshotIdentifiers
    | SnapshotTraits
    | SnapshotMemberships
    | SnapshotStates
    | SnapshotEnded
)
Transition: TypeAlias = Annotated[Change | Snapshot, Field(discriminator="transition")]

TRANSITION: Final[TypeAdapter[Change | Snapshot]] = TypeAdapter(Transition)


def to_json(transition: Change | Snapshot) -> bytes:
    """One line of compact JSON; the same transition is always the same bytes."""
    return transition.__pydantic_serializer__.to_json(transition)


def from_json(line: bytes) -> Change | Snapshot:
    """The transition that `to_json` wrote. Raises pydantic's `ValidationError` for anything else."""
    return TRANSITION.validate_json(line)


def entity_keys(transition: Change | Snapshot) -> tuple[str, ...]:
    """The entity ids under whose key it is published: both of a merge, a relabelling, a split, a membership.

    Start and end of a snapshot concern no entity and go out under the namespace.
    """
    match transition:
        case EntitiesMerged():
            return (transition.entity_id, transition.absorbed_id)
        case EntityRelabelled():
            return (transition.entity_id, transition.former_id)
        case EntitySplit():
            return (transition.entity_id, transition.part_id)
        case MembershipStarted() | MembershipEnded():
            return (transition.entity_id, transition.group_id)
        case SnapshotStarted() | SnapshotEnded():
            return (transition.namespace,)
    return (transition.entity_id,)


def tombstones(transition: Change | Snapshot) -> tuple[str, ...]:
    """The entity ids that a topic with keys is to forget behind it: of an erasure the entity's and those made
    from its erased identifiers, each once; of anything else none.
    """
    if not isinstance(transition, EntityErased):
        return ()
    return tuple(dict.fromkeys((transition.entity_id, *transition.erased_ids)))


def make_transition_id(
    keyring: Keyring, kind: str, position: bytes, entity_id: str, other: bytes | str = b""
) -> str:
    """The id of a change: from the namespace, its kind, the log position of its cause, and whom it is about.

    `other` is the absorbed or former id, or the key of the identifier that was added, quarantined or
    released; of a split the part's id and the key of the first identifier named; of an erasure the first of
    the erased ids; nothing for `entity_created`. Of a trait it is the name, of a membership and a state what
    `membership_subject` and `state_subject` give.
    """
    return keyring.transition_id(encode_parts(keyring.namespace, kind, position, entity_id, other))


def membership_subject(group_id: str, role: str | None) -> bytes:
    """What makes the id of a membership's change, besides the person. No role is empty."""
    return encode_parts(group_id, role or "")


def state_subject(state_name: str, state_entered_at: str) -> bytes:
    """What makes the id of a state's change, besides the entity: the state and when the interval began.

    Of a correction it is the interval that is replaced, else the first of those that come in.
    """
    return encode_parts(state_name, state_entered_at)


def make_snapshot_id(keyring: Keyring, kind: str, generation: int, snapshot: int, index: int) -> str:
    """The id of a message of a snapshot: from its place, since it has no cause."""
    place: Sequence[int] = (generation, snapshot, index)
    return keyring.transition_id(encode_parts(keyring.namespace, kind, *(str(part) for part in place)))
