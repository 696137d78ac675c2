"""Transitions and dead letters to write."""

from __future__ import annotations

from schemas.dead_letters import DeadLetter
from schemas.events import Message
from schemas.transitions import (
    Cause,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    NamedIdentifier,
    SnapshotStarted,
    Transition,
)

CAUSE = Cause(source="test", event_id="e1", ingested_at="2026-01-05T10:00:00.000Z")


def entity(number: int) -> str:
    return f"per_{number:032x}"


def created(number: int, *, about: int | None = None, namespace: str = "test") -> EntityCreated:
    """The transition `number`, about the entity of the same number unless said otherwise."""
    return EntityCreated(
        transition_id=f"{number:032x}",
        namespace=namespace,
        generation=1,
        number=number,
        entity_type="person",
        entity_id=entity(number if about is None else about),
        cause=CAUSE,
        identifiers=(NamedIdentifier(type="user_id", value=f"ü-{number}"),),
    )


def merged(number: int, survivor: int, absorbed: int) -> EntitiesMerged:
    return EntitiesMerged(
        transition_id=f"{number:032x}",
        namespace="test",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=entity(survivor),
        cause=CAUSE,
        absorbed_id=entity(absorbed),
        moved=1,
    )


def erased(number: int, about: int, *others: int) -> EntityErased:
    """The entity ended with its own senior identifier and these others."""
    return EntityErased(
        transition_id=f"{number:032x}",
        namespace="test",
        generation=1,
        number=number,
        entity_type="person",
        entity_id=entity(about),
        cause=CAUSE,
        erased_ids=tuple(map(entity, (about, *others))),
    )


def snapshot_started(number: int) -> SnapshotStarted:
    return SnapshotStarted(
        transition_id=f"{number:032x}", namespace="test", generation=1, number=number, snapshot=1, index=0
    )


def history(count: int) -> list[Transition]:
    """Transitions of a few entities, numbered from 1."""
    return [created(number, about=number % 7) for number in range(1, count + 1)]


def dead_letter(
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> DeadLetter:
    message = Message("input", 3, offset, offset + 1, 1_767_607_200_000, value, key, headers)
    return DeadLetter(message, "schema", "participants: at least one", "segment")
