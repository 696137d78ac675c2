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
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    QuarantineReason,
    Redacted,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
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


def _of_profiles(person: str, group: str) -> list[Change]:
    """Every change that tells of a profile."""
    common: dict[str, Any] = {**_CHANGE, "entity_id": person}
    at = "2026-01-05T10:00:00.000Z"
    said = {"source": "app", "event_id": "e-1", "occurred_at": at}
    member = {"group_id": group, "role": None, "started_at": at}
    state = {"state_value": "a", "state_numeric_value": None, "state_entered_at": at}
    interval = Interval.model_validate({**state, "state_exited_at": at})
    return [
        TraitChanged(**common, name="name", value="Ada", **said),
        MembershipStarted(**common, **member),
        MembershipEnded(**common, **member, ended_at=at),
        StateEntered(**common, state_name="s", **state),
        StateExited(**common, state_name="s", **state, state_exited_at=at),
        StateCorrected(**common, state_name="s", replaced=None, intervals=(interval,)),
    ]


def test_what_is_told_of_the_profile_of_the_erased_is_replaced() -> None:
    """Under each id by which it was known, and memberships on either side; of others it stays."""
    for change in _of_profiles("per_1", "grp_1"):
        assert redacted(change, _is_ada, {"per_1"}) == Redacted(**_CHANGE)
        assert redacted(change, _is_ada, {"per_2"}) is change
    hidden = [one for one in _of_profiles("per_1", "grp_1") if redacted(one, _is_ada, {"grp_1"}) is not one]
    assert [type(one) for one in hidden] == [MembershipStarted, MembershipEnded]
