"""Takes erased identifiers out of what was not yet published when they were erased.

A redacted change keeps its sequence, its id and its cause. So a consumer that had the first copy before the
erasure, and one that has the redacted copy, are at the same number; `entity_erased`, which follows, lets both
forget.

One thing it cannot say without the name: that an identifier left an entity. A consumer who was told earlier
that the identifier belongs there would keep it for ever, since `entity_erased` names the entity in which it
is now. `hides_departure` tells of such changes; a snapshot published behind them puts that right, because
what a snapshot does not name is gone.

What is said of a profile is of the erased if it is said of an id by which the erased was known, or of a
membership in one: such a change is replaced as a whole.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from schemas.identifiers import EntityType
from schemas.transitions import (
    Change,
    EntityCreated,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    Redacted,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
    entity_keys,
)

_OF_PROFILES: Final = (
    TraitChanged,
    MembershipStarted,
    MembershipEnded,
    StateEntered,
    StateExited,
    StateCorrected,
)

NAMING: Final = frozenset(
    {"entity_created", "entity_split", "identifier_added", "identifier_quarantined", "identifier_released"}
)
"""The kinds of changes that name identifiers: see `named_by`."""

IsErased: TypeAlias = Callable[[EntityType, NamedIdentifier], bool]


def redacted(change: Change, is_erased: IsErased, subjects: AbstractSet[str] = frozenset()) -> Change:
    """The same change without its erased identifiers, or `Redacted` in its place if it names no other.

    `subjects` are the ids by which the erased was known: what is said of their profiles is replaced. The ids
    themselves stay: they are keyed hashes, and the key of the tombstones that follow. Redacting twice changes
    nothing more.
    """
    if isinstance(change, _OF_PROFILES):
        return change if subjects.isdisjoint(entity_keys(change)) else _hidden(change)
    named = named_by(change)
    kept = tuple(one for one in named if not is_erased(change.entity_type, one))
    if len(kept) == len(named):
        return change
    if kept and isinstance(change, EntityCreated | EntitySplit):
        return change.model_copy(update={"identifiers": kept})
    return _hidden(change)


def _hidden(change: Change) -> Redacted:
    return Redacted(
        transition_id=change.transition_id,
        namespace=change.namespace,
        generation=change.generation,
        number=change.number,
        entity_type=change.entity_type,
        entity_id=change.entity_id,
        cause=change.cause,
    )


def hides_departure(change: Change, is_erased: IsErased) -> bool:
    """Whether `redacted` would hide that an erased identifier left an entity."""
    if not isinstance(change, EntitySplit | IdentifierQuarantined):
        return False
    return any(is_erased(change.entity_type, one) for one in named_by(change))


def named_by(change: Change) -> tuple[NamedIdentifier, ...]:
    """The identifiers that a change names."""
    match change:
        case EntityCreated() | EntitySplit():
            return change.identifiers
        case IdentifierAdded() | IdentifierQuarantined() | IdentifierReleased():
            return (change.identifier,)
    return ()
