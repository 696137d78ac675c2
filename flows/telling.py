"""What an operator event would change, what was decided, what an erasure left: for people and programs."""

from collections.abc import Iterator, Sequence
from typing import Any

from flows.erasure import Certificate
from flows.operator import Recorded
from flows.words import of_profile
from schemas.identifiers import Keyring, entity_id
from schemas.instants import format_instant
from schemas.operations import Operation
from schemas.transitions import (
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    NamedIdentifier,
    Snapshot,
)

_MOST_NAMED = 5
_MOST_CHANGES = 40


# what it would change


def changes_for_people(changes: Sequence[Change | Snapshot]) -> Iterator[str]:
    """The transitions that an operator event would make, as lines."""
    if not changes:
        yield "Nothing would change now."
        return
    told = [line for one in changes for line in change_for_people(one)]
    yield from told[:_MOST_CHANGES]
    if len(told) > _MOST_CHANGES:
        yield f"and {len(told) - _MOST_CHANGES:,} more (--json shows all)"
    counts = (("merge", _count(changes, EntitiesMerged)), ("split", _splits(changes)))
    told_counts = ", ".join(counted(count, what) for what, count in counts)
    yield f"In all {told_counts}, {counted(len(changes), 'transition')}."
    yield "Nothing was changed: leave out --dry-run to do it."


def _count(changes: Sequence[Change | Snapshot], kind: type[Change]) -> int:
    return sum(isinstance(one, kind) for one in changes)


def _splits(changes: Sequence[Change | Snapshot]) -> int:
    return len({one.entity_id for one in changes if isinstance(one, EntitySplit)})


def change_for_people(change: Change | Snapshot) -> Iterator[str]:
    """What one transition would do, as a line; nothing for what is none of an entity."""
    match change:
        case EntitiesMerged():
            yield (f"{change.entity_id} would absorb {change.absorbed_id}, with {_identifiers(change.moved)}")
        case EntitySplit():
            yield (
                f"{change.entity_id} would fall into {change.parts}: one is {change.part_id} with "
                f"{_named(change.identifiers)}"
            )
        case EntityRelabelled():
            yield f"{change.former_id} would be called {change.entity_id}"
        case EntityCreated():
            yield f"{change.entity_id} would be new, with {_named(change.identifiers)}"
        case IdentifierAdded():
            yield f"{change.entity_id} would get {_named([change.identifier])}"
        case IdentifierQuarantined():
            yield f"{_named([change.identifier])} would leave {change.entity_id}, and belong to nobody"
        case IdentifierReleased():
            yield f"{_named([change.identifier])} would come back, into {change.entity_id}"
        case EntityErased():
            yield f"{change.entity_id} would end, and {_identifiers(len(change.erased_ids))} be erased"
        case _ if isinstance(change, Change) and (told := of_profile(change)) is not None:
            yield f"{change.entity_id} would have {told}"


def _identifiers(count: int) -> str:
    return counted(count, "identifier")


def counted(count: int, what: str) -> str:
    """A number of things."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _named(identifiers: Sequence[NamedIdentifier]) -> str:
    named = ", ".join(f"{one.type}={one.value}" for one in identifiers[:_MOST_NAMED])
    more = len(identifiers) - _MOST_NAMED
    return f"{named} and {more:,} more" if more > 0 else named


# what was decided


def operation_for_people(found: Recorded, keyring: Keyring) -> Iterator[str]:
    """An operator event as lines: when and who, what, why."""
    operation = found.operation
    yield f"{format_instant(found.ingested_at_ms)}  {operation.who}: {decision(operation, keyring)}"
    if operation.why:
        yield f"    because: {operation.why}"
    yield f"    operation {operation.operation_id}"


def decision(operation: Operation, keyring: Keyring) -> str:
    """What was decided, on one line, by ids where the values are gone."""
    if operation.kind == "erase":
        blocked = f", {_identifiers(len(operation.blocked))} blocked" if operation.blocked else ""
        return f"erase {_identifiers(len(operation.erased))}{blocked}"
    if operation.event is not None:
        return f"retract event {operation.event.event_id} of {operation.event.source}"
    if operation.rules is not None:
        return f"rules, version {operation.rules.version}"
    named = (
        f"{one.identifier_type}={one.identifier_value} ({entity_id(one.entity_type, keyring.key(one))})"
        for one in operation.identifiers
    )
    return f"{operation.kind} {operation.identifiers[0].entity_type} {' '.join(named)}"


def operation_as_json(found: Recorded) -> dict[str, Any]:
    """An operator event as one object."""
    operation = found.operation
    return {
        "ingested_at": format_instant(found.ingested_at_ms),
        "operation": operation.kind,
        "operation_id": operation.operation_id,
        "who": operation.who,
        "why": operation.why,
        "identifiers": [
            {"entity_type": one.entity_type, "type": one.identifier_type, "value": one.identifier_value}
            for one in operation.identifiers
        ],
        "erased": len(operation.erased),
        "blocked": len(operation.blocked),
        **({} if operation.event is None else operation.event._asdict()),
        **({} if operation.rules is None else {"rules": operation.rules.version}),
        "offset": found.offset,
    }


# what an erasure left


def certificate_for_people(certificate: Certificate) -> Iterator[str]:
    """The certificate as lines."""
    one = certificate
    yield f"Erased {one.entity_type} {', '.join(one.ids)}"
    yield f"  at {one.erased_at} by {one.who}, operation {one.operation_id}"
    yield f"  removed from the store: {_identifiers(one.identifiers)}, {counted(one.links, 'link')}"
    if one.blocked:
        yield f"  blocked from now on: {_identifiers(one.blocked)} that it shared with others"
    yield "  What remains of it, where, and until when:"
    for remains in one.remains:
        count = "" if remains.count is None else f" ({remains.count:,})"
        yield f"    {remains.what}{count}"
        yield f"      {remains.where}: {remains.until}"
    yield "  Not known to Nexus: backups of Redis, and what consumers keep until they see the tombstones."


def certificate_as_json(certificate: Certificate) -> dict[str, Any]:
    """The certificate as one object."""
    one = certificate
    return {
        "operation_id": one.operation_id,
        "entity_type": one.entity_type,
        "ids": list(one.ids),
        "who": one.who,
        "erased_at": one.erased_at,
        "is_complete": one.is_complete,
        "removed": {"identifiers": one.identifiers, "links": one.links},
        "blocked": one.blocked,
        "remains": [
            {"what": each.what, "where": each.where, "until": each.until, "count": each.count}
            for each in one.remains
        ],
    }
