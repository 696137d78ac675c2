"""Explanations as people and programs want to see them: why two are one, and what is out of the graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from flows.client import Absence, Explanation, SuspendedLink, Taken
from resolver.explain import Outside, Suspended
from resolver.judge import Edge
from resolver.store import Standing
from schemas.events import parse_position
from schemas.identifiers import entity_id
from schemas.instants import format_instant
from schemas.transitions import NamedIdentifier, QuarantineReason

# why


def why_for_people(found: Explanation) -> Iterator[str]:
    """An explanation as lines."""
    yield from _one(found) if found.why.is_one else _two(found)


def _one(found: Explanation) -> Iterator[str]:
    a, b = found.why.a, found.why.b
    if a == b:
        yield f"{_called(found, a)} is itself, in {found.entity_type} {found.entity_id}."
        return
    yield f"{_called(found, a)} and {_called(found, b)} are one {found.entity_type}, {found.entity_id}:"
    yield ""
    if found.why.chain is None:
        yield f"They are far apart: within {found.limit:,} identifiers no chain was found (--limit)."
        return
    yield from _chain(found)
    yield ""
    yield from _separating(found)


def _chain(found: Explanation) -> Iterator[str]:
    """The chain, with a mark where it is broken."""
    broken = {guard.key if isinstance(guard, Outside) else guard.edge: guard for guard in found.why.guards}
    yield f"  {_called(found, found.why.a)}{_mark(found, broken.get(found.why.a))}"
    at = found.why.a
    for edge, to in found.why.chain or ():
        others = [key for key in edge.keys if key not in (at, to)]
        beside = f" (with {_listed(found, others)})" if others else ""
        line = click.style(f"└ {_said_by(edge)}{beside}", dim=True)
        yield f"  {line}{_mark(found, broken.get(edge))}"
        yield f"  {_called(found, to)}{_mark(found, broken.get(to))}"
        at = to


def _mark(found: Explanation, guard: Outside | Suspended | None) -> str:
    """Why a chain is broken here; nothing where it is not."""
    if guard is None:
        return ""
    if isinstance(guard, Outside):
        why = _standing(guard.standing)
    elif guard.conflict is None:
        why = "suspended"
    else:
        apart = [_called(found, key) for key in guard.conflict.apart or ()]
        why = f"suspended: {_conflict(guard.conflict.unique, apart)}"
    return click.style(f"   ✗ {why}", fg="red")


def _separating(found: Explanation) -> Iterator[str]:
    cut = found.why.separating
    if cut is None:
        yield f"What would part them was not computed: more than {found.limit:,} are around them (--limit)."
        return
    if len(cut) == 1:
        yield "Without this they would not be one:"
    else:
        yield f"They would not be one only without all {len(cut)} of these:"
    for edge in cut:
        yield f"  {_said_by(edge)}: {_listed(found, edge.keys)}"


def _two(found: Explanation) -> Iterator[str]:
    a, b = found.why.a, found.why.b
    yield f"{_called(found, a)} and {_called(found, b)} are not one."
    for key, rule in found.rules.items():
        yield f"{_called(found, key)} is blocked by a rule ({rule}): it names nobody, whoever sends it."
    if found.rules:
        return
    if found.why.chain:
        yield "What would tie them is broken:"
        yield ""
        yield from _chain(found)
    else:
        yield from _unconnected(found)
    if found.why.is_apart:
        yield "An operator said that they are apart."


def _unconnected(found: Explanation) -> Iterator[str]:
    for guard in found.why.guards:
        if isinstance(guard, Outside):
            yield f"{_called(found, guard.key)}: {_standing(guard.standing)}."
    if found.why.is_cut_short:
        yield f"What would tie them was not found: more than {found.limit:,} are around them (--limit)."
    elif found.why.chain is None:
        yield "No link connects them."


def _called(found: Explanation, key: bytes) -> str:
    name = found.names.get(key)
    return _written(name) if name is not None else entity_id(found.entity_type, key)


def _listed(found: Explanation, keys: Sequence[bytes]) -> str:
    names = [_called(found, key) for key in keys]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _written(name: NamedIdentifier) -> str:
    return f"{name.type}={name.value}"


def _said_by(edge: Edge) -> str:
    """What says that the identifiers of an edge are one."""
    if edge.kind == "synonym":
        return "one by definition: an alias calls them the same"
    ingested_at_ms, source, event_id = parse_position(edge.position)
    if edge.kind == "together":
        return f"put together by operation {event_id}, {format_instant(ingested_at_ms)}"
    return f"event {event_id} from {source}, {format_instant(ingested_at_ms)}"


def _conflict(unique: str | None, apart: Sequence[str]) -> str:
    if unique is not None:
        return f"it would give one entity two values of {unique}"
    return f"an operator said that {' and '.join(apart)} are apart"


def _standing(standing: Standing) -> str:
    """How an identifier stands that is not in the graph."""
    if standing.state == "unnamed":
        return "no event names it"
    if standing.state == "quarantined" and standing.reason is not None:
        return f"quarantined: {_reason(standing.reason)}"
    return {"blocked": "blocked by an operator", "erased": "erased"}.get(standing.state, "not in the graph")


def _reason(reason: QuarantineReason) -> str:
    """By what measure an identifier is shared, and which event brought one partner too many."""
    if reason.kind == "blocked":
        return "by an operator"
    partners = "identifiers" if reason.partner_type is None else f"values of {reason.partner_type}"
    measure = f"seen with more than {reason.limit} {partners}"
    if reason.brought_by is None:
        return measure
    event = reason.brought_by
    return f"{measure}, since event {event.event_id} from {event.source}, {event.ingested_at}"


def why_as_json(found: Explanation) -> dict[str, Any]:
    """An explanation as one object."""
    chain, cut = found.why.chain, found.why.separating
    return {
        "entity_type": found.entity_type,
        "a": _named(found, found.why.a),
        "b": _named(found, found.why.b),
        "is_one": found.why.is_one,
        "entity_id": found.entity_id,
        "chain": None if chain is None else [
            {**_edge(found, step.edge), "to": _named(found, step.to)} for step in chain
        ],
        "separating": None if cut is None else [_edge(found, edge) for edge in cut],
        "guards": [_guard(found, guard) for guard in found.why.guards],
        "blocked": [{"identifier": _named(found, key), "rule": rule} for key, rule in found.rules.items()],
        "apart": found.why.is_apart,
        "is_cut_short": found.why.is_cut_short,
    }  # fmt: skip


def _named(found: Explanation, key: bytes) -> dict[str, Any]:
    name = found.names.get(key)
    return {"type": None, "value": None} if name is None else name.model_dump()


def _edge(found: Explanation, edge: Edge) -> dict[str, Any]:
    return {
        "kind": edge.kind,
        "evidence": _evidence(edge),
        "identifiers": [_named(found, key) for key in edge.keys],
    }


def _evidence(edge: Edge) -> dict[str, str] | None:
    if edge.kind == "synonym":
        return None
    ingested_at_ms, source, event_id = parse_position(edge.position)
    return {"source": source, "event_id": event_id, "ingested_at": format_instant(ingested_at_ms)}


def _guard(found: Explanation, guard: Outside | Suspended) -> dict[str, Any]:
    if isinstance(guard, Outside):
        return {
            "state": guard.standing.state,
            "identifier": _named(found, guard.key),
            "reason": _reason_as_json(guard.standing.reason),
        }
    conflict = guard.conflict
    return {
        "state": "suspended",
        **_edge(found, guard.edge),
        "unique": conflict.unique if conflict is not None else None,
        "apart": [_named(found, key) for key in (conflict.apart or () if conflict is not None else ())],
    }


def _reason_as_json(reason: QuarantineReason | None) -> dict[str, Any] | None:
    return None if reason is None else reason.model_dump()


# nobody


def absence_for_people(named: str, absence: Absence) -> Iterator[str]:
    """Why an identifier, as it was asked, is nobody's, as lines."""
    yield f"{named} {_state(absence)}"
    if absence.entities:
        yield "  its partners are in, oldest partner first:"
        for name in absence.entities:
            yield f"  {name}"


def _state(absence: Absence) -> str:
    if absence.state == "by rule":
        return f"is blocked by a rule ({absence.rule}): it names nobody, whoever sends it"
    if absence.state == "quarantined" and absence.reason is not None:
        return f"is quarantined: {_reason(absence.reason)}"
    return {
        "blocked": "is blocked by an operator: it names nobody",
        "erased": "was erased",
    }.get(absence.state, "is named by no event")


def absence_as_json(absence: Absence | None) -> dict[str, Any]:
    """Why an identifier is nobody's, as fields beside an `entity_id` that is null."""
    if absence is None:  # it has come back since it was asked for
        return {"state": "in", "blocked": None, "reason": None, "entities": []}
    return {
        "state": absence.state,
        "blocked": absence.rule,
        "reason": _reason_as_json(absence.reason),
        "entities": list(absence.entities),
    }


# what is out of the graph


def taken_for_people(one: Taken) -> Iterator[str]:
    """An identifier that was taken out, as lines."""
    asked = one.identifier
    yield f"{asked.entity_type} {asked.identifier_type}={asked.identifier_value}"
    if one.state == "blocked":
        yield f"  blocked by an operator{'' if one.since is None else f' since {one.since}'}"
    else:
        yield f"  {_reason(one.reason)}"
    least = "at least " if one.would_glue.is_at_least else ""
    count = one.would_glue.entities
    yield f"  would have glued together {least}{count:,} {asked.entity_type}{'' if count == 1 else 's'}"


def taken_as_json(one: Taken) -> dict[str, Any]:
    """An identifier that was taken out, as one object."""
    return {
        "entity_type": one.identifier.entity_type,
        "type": one.identifier.identifier_type,
        "value": one.identifier.identifier_value,
        "state": one.state,
        "reason": _reason_as_json(one.reason),
        "since": one.since,
        "would_glue": one.would_glue.entities,
        "is_at_least": one.would_glue.is_at_least,
    }


def suspended_for_people(one: SuspendedLink) -> Iterator[str]:
    """A suspended link as lines."""
    yield f"{one.entity_type} {', '.join(_written(name) for name in one.identifiers)}"
    yield f"  {_said_by(one.edge)}"
    yield f"  suspended: {_conflict(one.unique, [_written(name) for name in one.apart])}"


def suspended_as_json(one: SuspendedLink) -> dict[str, Any]:
    """A suspended link as one object."""
    return {
        "entity_type": one.entity_type,
        "kind": one.edge.kind,
        "evidence": _evidence(one.edge),
        "identifiers": [name.model_dump() for name in one.identifiers],
        "state": "suspended",
        "unique": one.unique,
        "apart": [name.model_dump() for name in one.apart],
    }
