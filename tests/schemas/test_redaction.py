"""What of a change is left when some of its identifiers were erased before it was published."""

from typing import Any

import pytest

from schemas.identifiers import EntityType
from schemas.redaction import hides_departure, redacted
from schemas.transitions import (
    Cause,
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
    QuarantineReason,
    Redacted,
    to_json,
)

_CAUSE = Cause(source="app", event_id="e-1", ingested_at="2026-01-05T10:00:00.000Z")
_CHANGE: dict[str, Any] = {
    "transition_id": "t",
    "namespace": "acme",
    "generation": 3,
    "number": 7,
    "entity_type": "person",
    "entity_id": "per_1",
    "cause": _CAUSE,
}
_ADA = NamedIdentifier(type="email", value="ada@acme.example")
_BOB = NamedIdentifier(type="email", value="bob@acme.example")
_SPLIT: dict[str, Any] = {"part_id": "per_2", "part": 1, "parts": 2}
_BLOCKED = QuarantineReason(kind="blocked")


def _is_ada(entity_type: EntityType, named: NamedIdentifier) -> bool:
    return (entity_type, named) == ("person", _ADA)


def _naming(*named: NamedIdentifier) -> list[Change]:
    """Every change that names identifiers, naming these, or the first of these."""
    return [
        EntityCreated(**_CHANGE, identifiers=named),
        EntitySplit(**_CHANGE, **_SPLIT, identifiers=named),
        IdentifierAdded(**_CHANGE, identifier=named[0]),
        IdentifierQuarantined(**_CHANGE, identifier=named[0], reason=_BLOCKED),
        IdentifierReleased(**_CHANGE, identifier=named[0], reason="released"),
    ]


@pytest.mark.parametrize("change", _naming(_ADA))
def test_what_named_nobody_else_is_replaced(change: Change) -> None:
    """The place, the id and the cause stay; the name does not."""
    after = redacted(change, _is_ada)
    assert after == Redacted(**_CHANGE)
    assert b"ada" not in to_json(after)


@pytest.mark.parametrize("change", _naming(_BOB, _ADA)[:2])
def test_the_others_are_still_named(change: Change) -> None:
    """Of several identifiers only the erased ones go."""
    after = redacted(change, _is_ada)
    assert isinstance(after, type(change))
    assert b"bob" in to_json(after)
    assert b"ada" not in to_json(after)
    assert after.transition_id == change.transition_id


@pytest.mark.parametrize(
    "change",
    [
        *_naming(_BOB),
        EntitiesMerged(**_CHANGE, absorbed_id="per_2", moved=1),
        EntityRelabelled(**_CHANGE, former_id="per_2"),
        EntityErased(**_CHANGE, erased_ids=("per_2",)),
        Redacted(**_CHANGE),
    ],
)
def test_what_names_nobody_erased_stays(change: Change) -> None:
    """Not a byte of it changes, and ids of entities are no names."""
    assert redacted(change, _is_ada) is change
    assert not hides_departure(change, _is_ada)


def test_an_identifier_of_a_group_is_another() -> None:
    """The entity type belongs to what was erased."""
    group = EntityCreated.model_validate(
        {**_CHANGE, "entity_type": "group", "entity_id": "grp_1", "identifiers": (_ADA,)}
    )
    assert redacted(group, _is_ada) is group


def test_a_departure_that_is_hidden_is_told() -> None:
    """Whoever redacts knows when consumers could keep an erased identifier where it was."""
    hidden = [change for change in _naming(_ADA) if hides_departure(change, _is_ada)]
    assert [type(change) for change in hidden] == [EntitySplit, IdentifierQuarantined]
    assert hides_departure(EntitySplit(**_CHANGE, **_SPLIT, identifiers=(_BOB, _ADA)), _is_ada)
