"""Transitions as they are published."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from schemas.events import log_position, parse_position
from schemas.identifiers import Keyring
from schemas.transitions import (
    MAX_ERASED_IDS,
    MAX_SPLIT_IDENTIFIERS,
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
    NamedMembership,
    NamedTrait,
    QuarantineReason,
    Redacted,
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
    SnapshotMemberships,
    SnapshotStarted,
    SnapshotStates,
    SnapshotTraits,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
    entity_keys,
    from_json,
    make_snapshot_id,
    make_transition_id,
    membership_subject,
    state_subject,
    to_json,
    tombstones,
)

_CAUSE = Cause(source="app", event_id="e-1", ingested_at="2026-01-05T10:00:00.000Z")
_PLACE: dict[str, Any] = {"transition_id": "t", "namespace": "acme", "generation": 1, "number": 7}
_CHANGE: dict[str, Any] = {**_PLACE, "entity_type": "person", "entity_id": "per_1", "cause": _CAUSE}
_USER = NamedIdentifier(type="user_id", value="é")
_SHARED = QuarantineReason(kind="limit", partner_type="user_id", limit=2, brought_by=_CAUSE)
_SPLIT: dict[str, Any] = {"part_id": "per_2", "part": 1, "parts": 2}
_PAGE: dict[str, Any] = {
    **_PLACE, "snapshot": 1, "index": 1, "entity_type": "person", "entity_id": "per_1"
}  # fmt: skip
_NOON, _EVENING = "2026-01-05T12:00:00.000Z", "2026-01-05T18:00:00.000Z"
_PLAN: dict[str, Any] = {
    "name": "plan", "value": {"a": [1.5, None]}, "source": "app", "event_id": "e", "occurred_at": _NOON
}  # fmt: skip
_OWNED: dict[str, Any] = {
    "group_id": "grp_1", "role": "owner", "started_at": _NOON, "ended_at": _EVENING
}  # fmt: skip
_SEATS: dict[str, Any] = {
    "state_name": "seats", "state_value": "few", "state_numeric_value": 2.0, "state_entered_at": _NOON
}  # fmt: skip
_FEW = Interval(state_value="few", state_numeric_value=2, state_entered_at=_NOON, state_exited_at=_EVENING)
_MANY = Interval(
    state_value="many", state_numeric_value=None, state_entered_at=_EVENING, state_exited_at=None
)

_EVERY_KIND: list[tuple[Change | Snapshot, tuple[str, ...]]] = [
    (EntityCreated(**_CHANGE, identifiers=(_USER,)), ("per_1",)),
    (IdentifierAdded(**_CHANGE, identifier=_USER), ("per_1",)),
    (EntitiesMerged(**_CHANGE, absorbed_id="per_2", moved=3), ("per_1", "per_2")),
    (EntityRelabelled(**_CHANGE, former_id="per_2"), ("per_1", "per_2")),
    (EntitySplit(**_CHANGE, **_SPLIT, identifiers=(_USER,)), ("per_1", "per_2")),
    (IdentifierQuarantined(**_CHANGE, identifier=_USER, reason=_SHARED), ("per_1",)),
    (
        IdentifierQuarantined(**_CHANGE, identifier=_USER, reason=QuarantineReason(kind="blocked")),
        ("per_1",),
    ),
    (IdentifierReleased(**_CHANGE, identifier=_USER, reason="unblocked"), ("per_1",)),
    (EntityErased(**_CHANGE, erased_ids=("per_1", "per_2")), ("per_1",)),
    (Redacted(**_CHANGE), ("per_1",)),
    (TraitChanged(**_CHANGE, **_PLAN), ("per_1",)),
    (MembershipStarted(**_CHANGE, group_id="grp_1", role=None, started_at=_NOON), ("per_1", "grp_1")),
    (MembershipEnded(**_CHANGE, **_OWNED), ("per_1", "grp_1")),
    (StateEntered(**_CHANGE, **_SEATS), ("per_1",)),
    (StateExited(**_CHANGE, **_SEATS, state_exited_at=_EVENING), ("per_1",)),
    (StateCorrected(**_CHANGE, state_name="seats", replaced=_FEW, intervals=(_MANY,)), ("per_1",)),
    (SnapshotStarted(**_PLACE, snapshot=1, index=0), ("acme",)),
    (
        SnapshotIdentifiers(
            **_PLACE, snapshot=1, index=1, entity_type="person", entity_id="per_1", identifiers=(_USER,)
        ),
        ("per_1",),
    ),
    (SnapshotTraits(**_PAGE, traits=(NamedTrait(**_PLAN),)), ("per_1",)),
    (SnapshotMemberships(**_PAGE, memberships=(NamedMembership(**_OWNED),)), ("per_1",)),
    (SnapshotStates(**_PAGE, state_name="seats", intervals=(_FEW, _MANY)), ("per_1",)),
    (SnapshotEnded(**_PLACE, snapshot=1, index=2, entities=1, identifiers=1), ("acme",)),
]


@pytest.mark.parametrize("transition", [transition for transition, _ in _EVERY_KIND])
def test_what_is_written_is_read_back(transition: Change | Snapshot) -> None:
    """Every kind survives its JSON, on one line."""
    line = to_json(transition)
    assert from_json(line) == transition
    assert b"\n" not in line


@pytest.mark.parametrize(("transition", "keys"), _EVERY_KIND)
def test_a_transition_goes_to_everybody_whom_it_is_about(
    transition: Change | Snapshot, keys: tuple[str, ...]
) -> None:
    """Who follows one entity hears of a merge, a relabelling or a split under both of its ids."""
    assert entity_keys(transition) == keys


def test_every_kind_is_tried() -> None:
    """No kind of transition is left out above."""
    kinds = {type(transition) for transition, _ in _EVERY_KIND}
    assert kinds == {*get_args(Change), *get_args(Snapshot)}


@pytest.mark.parametrize("transition", [transition for transition, _ in _EVERY_KIND])
def test_only_an_erasure_leaves_tombstones(transition: Change | Snapshot) -> None:
    """For its entity and for each erased id, each once."""
    expected = ("per_1", "per_2") if isinstance(transition, EntityErased) else ()
    assert tombstones(transition) == expected


def test_the_json_is_as_documented() -> None:
    """Consumers in other languages read these names."""
    assert to_json(EntitiesMerged(**_CHANGE, absorbed_id="per_2", moved=3)).decode() == (
        '{"transition_id":"t","namespace":"acme","generation":1,"number":7,"entity_type":"person","entity_id":"per_1",'
        '"cause":{"source":"app","event_id":"e-1","ingested_at":"2026-01-05T10:00:00.000Z"},'
        '"transition":"entities_merged","absorbed_id":"per_2","moved":3}'
    )


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"transition":"entity_melted"}', to_json(_EVERY_KIND[0][0])[:-1] + b',"more":1}']
)
def test_what_is_no_transition(line: bytes) -> None:
    """Unknown kinds and fields are errors: a consumer must not guess."""
    with pytest.raises(ValidationError):
        from_json(line)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EntityCreated, {"identifiers": ()}),
        (EntitiesMerged, {"absorbed_id": "x", "moved": 0}),
        (EntitySplit, {**_SPLIT, "identifiers": ()}),
        (TraitChanged, {**_PLAN, "source": None}),
        (MembershipEnded, {**_OWNED, "started_at": None}),
        (MembershipEnded, {**_OWNED, "ended_at": None}),
        (StateCorrected, {"state_name": "seats", "replaced": None, "intervals": ()}),
    ],
)
def test_half_a_change_cannot_be_said(kind: Any, fields: dict[str, Any]) -> None:
    """An entity begins with an identifier, a merge or a split moves one, a value was said by someone."""
    with pytest.raises(ValidationError):
        kind(**_CHANGE, **fields)


def test_long_lists_are_several_messages() -> None:
    """A message stays small, however large the entity that it is about."""
    EntitySplit(**_CHANGE, **_SPLIT, identifiers=(_USER,) * MAX_SPLIT_IDENTIFIERS)
    EntityErased(**_CHANGE, erased_ids=("per_1",) * MAX_ERASED_IDS)
    with pytest.raises(ValidationError):
        EntitySplit(**_CHANGE, **_SPLIT, identifiers=(_USER,) * (MAX_SPLIT_IDENTIFIERS + 1))
    with pytest.raises(ValidationError):
        EntityErased(**_CHANGE, erased_ids=("per_1",) * (MAX_ERASED_IDS + 1))


def test_a_transition_is_frozen() -> None:
    """What was said cannot be changed."""
    with pytest.raises(ValidationError):
        _CAUSE.source = "other"  # type: ignore[misc] # the point


def test_a_cause_is_made_from_a_log_position() -> None:
    """The position of the causing event, in words."""
    position = log_position(1_767_607_200_000, "app", "e-1")
    assert Cause.at(*parse_position(position)) == _CAUSE


def test_a_timer_is_a_cause_of_its_own() -> None:
    """What came by the passing of time names the state, and when it became true."""
    cause = Cause.of_timer("engagement", 1_767_607_200_000)
    assert cause == Cause(source="nexus", event_id="timer:engagement", ingested_at="2026-01-05T10:00:00.000Z")


def test_what_nobody_says_any_more_has_no_source() -> None:
    """A trait may be unset by a fact, or because its facts went elsewhere."""
    nobody = TraitChanged(**_CHANGE, name="plan", value=None, source=None, event_id=None, occurred_at=None)
    assert from_json(to_json(nobody)) == nobody
    unset = TraitChanged(**_CHANGE, **{**_PLAN, "value": None})
    assert from_json(to_json(unset)) == unset


def test_a_piece_makes_the_id_of_its_change() -> None:
    """Of two roles, two states and two intervals each has its own, and no part runs into another."""
    subjects = [
        membership_subject("grp_1", None),
        membership_subject("grp_1", "a"),
        membership_subject("grp_1a", None),
        state_subject("seats", _NOON),
        state_subject("seats", _EVENING),
    ]
    assert len(set(subjects)) == len(subjects)


def test_the_sequence_orders_changes() -> None:
    """Generation first, then number."""
    assert EntityRelabelled(**_CHANGE, former_id="x").sequence == (1, 7)


def test_each_part_of_a_change_makes_another_id() -> None:
    """Namespace, kind, cause, entity and the other id all count; the sequence does not exist for it."""
    ids = [
        make_transition_id(Keyring("a"), "kind", b"position", "entity", b"other"),
        make_transition_id(Keyring("b"), "kind", b"position", "entity", b"other"),
        make_transition_id(Keyring("a"), "kind2", b"position", "entity", b"other"),
        make_transition_id(Keyring("a"), "kind", b"position2", "entity", b"other"),
        make_transition_id(Keyring("a"), "kind", b"position", "entity2", b"other"),
        make_transition_id(Keyring("a"), "kind", b"position", "entity", b"other2"),
        make_transition_id(Keyring("a"), "kind", b"positionentity", "", b"other"),
        make_transition_id(Keyring("a"), "kind", b"position", "entity"),
    ]
    assert len(set(ids)) == len(ids)
    shared = [Keyring(namespace, bytes(16)) for namespace in ("a", "b")]
    assert len({make_transition_id(each, "kind", b"position", "entity") for each in shared}) == 2
    assert make_transition_id(Keyring("a"), "kind", b"position", "entity", b"other") == ids[0]
    assert all(len(each) == 32 for each in ids)


def test_each_place_in_a_snapshot_makes_another_id() -> None:
    """A snapshot that is published twice has the same ids, another snapshot has others."""
    places = [(1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0), (1, 11, 0), (11, 1, 0)]
    ids = {make_snapshot_id(Keyring("a"), "snapshot_started", *place) for place in places}
    assert len(ids) == len(places)
    assert make_snapshot_id(Keyring("a"), "snapshot_started", 1, 1, 0) in ids
