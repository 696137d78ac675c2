"""Answers as people and programs want to see them."""

from collections.abc import Iterator
from typing import Any

from flows.client import History, born
from resolver.store import Change, Entity
from schemas.instants import format_instant

_SENTENCES = {
    "absorbed": "absorbed {other}, {moved} identifier{s} moved here",
    "merged into": "was merged into {other}",
    "renamed from": "took over from {other}: an older identifier came to light",
    "renamed to": "goes on as {other}: an older identifier came to light",
}


def entity_as_json(entity: Entity) -> dict[str, Any]:
    """An entity as one object."""
    return {
        "entity_type": entity.entity_type,
        "entity_id": entity.entity_id,
        "size": entity.size,
        "first_seen": born(entity),
        "identifiers": [
            {"type": one.identifier_type, "value": one.identifier_value} for one in _sorted(entity)
        ],
    }


def entity_for_people(entity: Entity) -> Iterator[str]:
    """An entity as lines."""
    yield f"{entity.entity_type} {entity.entity_id}"
    yield f"  known since {born(entity)}"
    for one in _sorted(entity):
        yield f"  {one.identifier_type:<20} {one.identifier_value}"
    if entity.size > len(entity.members):
        yield f"  and {entity.size - len(entity.members)} more"


def _sorted(entity: Entity) -> list[Any]:
    return sorted(entity.members, key=lambda one: (one.identifier_type, one.identifier_value))


def history_as_json(history: History) -> dict[str, Any]:
    """A history as one object."""
    assert history.now is not None
    return {
        "entity_id": history.entity_id,
        "now": history.now.entity_id,
        "first_seen": born(history.now),
        "is_complete": history.is_complete,
        "changes": [
            {
                "what": one.what,
                "other_id": one.other_id,
                "moved": one.moved,
                "generation": one.generation,
                "number": one.number,
                "cause": {
                    "source": one.source,
                    "event_id": one.event_id,
                    "ingested_at": format_instant(one.ingested_at_ms),
                },
            }
            for one in history.changes
        ],
    }


def history_for_people(history: History) -> Iterator[str]:
    """A history as lines."""
    assert history.now is not None
    now = history.now
    yield f"{history.entity_id}"
    if not history.is_complete:
        yield "  memory begins here: the store keeps the last 20 changes"
    elif now.entity_id == history.entity_id:
        yield f"  {born(now)}: first seen"
    for change in history.changes:
        yield f"  {format_instant(change.ingested_at_ms)} by {change.source} {change.event_id}: {_sentence(change)}"
    if now.entity_id != history.entity_id:
        yield f"  answers today as {now.entity_id}, with {now.size} identifiers"
    else:
        yield f"  has {now.size} identifiers today"


def _sentence(change: Change) -> str:
    return _SENTENCES[change.what].format(
        other=change.other_id, moved=change.moved, s="" if change.moved == 1 else "s"
    )
