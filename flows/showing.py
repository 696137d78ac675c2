"""Answers as people and programs want to see them."""

from collections.abc import Iterator
from typing import Any

from flows.client import History, born
from flows.explaining import absence_as_json, absence_for_people
from flows.replay import Report
from resolver.store import Change, Entity
from schemas.events import parse_position
from schemas.instants import format_instant

_SENTENCES = {
    "absorbed": "absorbed {other}, {moved} identifier{s} moved here",
    "merged into": "was merged into {other}",
    "renamed from": "took over from {other}: an older identifier came to light",
    "renamed to": "goes on as {other}: an older identifier came to light",
    "created": "first seen",
    "split into": "split: {moved} identifier{s} left as {other}",
    "split from": "split off from {other} with {moved} identifier{s}",
    "quarantined": "its identifier was taken out of the graph",
    "released": "its identifier is back in the graph",
    "erased": "was erased",
}


def entity_as_json(entity: Entity) -> dict[str, Any]:
    """An entity as one object."""
    return {
        "entity_type": entity.entity_type,
        "entity_id": entity.entity_id,
        "size": entity.size,
        "first_seen": _evidence(*parse_position(entity.first_seen)),
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
    """A history as one object; `now` is null for an id whose identifier is nobody's today."""
    now = history.now
    return {
        "entity_id": history.entity_id,
        "now": now.entity_id if now is not None else None,
        "first_seen": _evidence(*parse_position(now.first_seen)) if now is not None else None,
        "is_complete": history.is_complete,
        "changes": [change_as_json(one) for one in history.changes],
        "former_ids": list(history.former),
        **(absence_as_json(history.absence) if now is None else {}),
    }


def change_as_json(change: Change) -> dict[str, Any]:
    """One identity change as one object."""
    return {
        "what": change.what,
        "other_id": change.other_id,
        "moved": change.moved,
        "generation": change.generation,
        "number": change.number,
        "cause": _evidence(change.ingested_at_ms, change.source, change.event_id),
    }


def _evidence(ingested_at_ms: int, source: str, event_id: str) -> dict[str, str]:
    return {"source": source, "event_id": event_id, "ingested_at": format_instant(ingested_at_ms)}


def history_for_people(history: History) -> Iterator[str]:
    """A history as lines."""
    now = history.now
    yield f"{history.entity_id}"
    if not history.is_complete:
        yield "  memory begins here: the store keeps the last 20 changes"
    elif now is not None and now.entity_id == history.entity_id and not _is_born(history):
        yield f"  {born(now)}: first seen"
    for change in history.changes:
        when = format_instant(change.ingested_at_ms)
        yield f"  {when} by {change.source} {change.event_id}: {sentence(change)}"
    yield from _today(history)


def _is_born(history: History) -> bool:
    """Whether the changes tell of the birth themselves."""
    return any(change.what in ("created", "split from") for change in history.changes)


def _today(history: History) -> Iterator[str]:
    now = history.now
    if now is None:
        if history.absence is not None:
            yield from (f"  {line}" for line in absence_for_people("it", history.absence))
    elif now.entity_id != history.entity_id:
        yield f"  answers today as {now.entity_id}, with {now.size} identifiers"
    else:
        yield f"  has {now.size} identifiers today"
    for former in history.former:
        if former != history.entity_id:
            yield f"  {former} leads here, too"


def sentence(change: Change) -> str:
    """What an identity change says of the id."""
    return _SENTENCES[change.what].format(
        other=change.other_id, moved=change.moved, s="" if change.moved == 1 else "s"
    )


def replay_as_json(report: Report, is_dry: bool) -> Iterator[dict[str, Any]]:
    """A replay as one object for each reason."""
    for reason, waiting in sorted(report.waiting.items()):
        moved = report.replayed[reason]
        yield {
            "reason": reason,
            "waiting": waiting,
            "would_replay" if is_dry else "replayed": moved,
            "refused": report.refused[reason],
            "left": waiting if is_dry else waiting - moved,
        }


def replay_for_people(report: Report, is_dry: bool) -> Iterator[str]:
    """A replay as lines."""
    waiting, moved = sum(report.waiting.values()), sum(report.replayed.values())
    if not waiting:
        yield "No dead letters wait to be replayed."
    else:
        yield f"{'waiting':>9} {'to replay' if is_dry else 'replayed':>9}  reason"
        for reason, count in report.waiting.most_common():
            yield f"{count:>9,} {report.replayed[reason]:>9,}  {reason}"
        yield f"{waiting:>9,} {moved:>9,}  in all"
    for topic, count in sorted(report.others.items()):
        yield f"{count:,} more are from {topic}, no input of this namespace: they stay where they are."
    if report.unreadable:
        yield f"{report.unreadable:,} more are not dead letters of Nexus: passed over."
    if is_dry and moved:
        yield "Nothing was moved: leave out --dry-run to replay them."
    elif moved:
        yield "They are in the input again, as of when they first came: `nexus run` resolves them."
