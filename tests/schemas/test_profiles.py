"""What a consumer makes of the changes of profiles, told by hand. At random they are in test_mapping."""

from typing import Any

import pytest

from schemas.mapping import EntityMapping
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierQuarantined,
    IdentifierReleased,
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    NamedMembership,
    NamedTrait,
    QuarantineReason,
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
)

ADA, BOB, ACME, EVIL = "per_ada", "per_bob", "grp_acme", "grp_evil"
ONE, TWO, THREE = (f"2026-01-05T{hour:02d}:00:00.000Z" for hour in range(1, 4))
SAID = {"source": "app", "event_id": "e-1", "occurred_at": ONE}


class Told:
    """Tells changes to a consumer, one after the other, to two persons and two groups that there are."""

    def __init__(self) -> None:
        self.mapping = EntityMapping()
        self.changes: list[Change] = []
        for entity in (ADA, BOB, ACME, EVIL):
            self.say(EntityCreated, entity, identifiers=named(entity, f"{entity}-2"))

    def say(self, kind: type[Change], entity: str, **fields: Any) -> None:
        """Tell the next change."""
        change = kind(
            **self._place(len(self.changes) + 1),
            entity_type="group" if entity.startswith("grp") else "person",
            entity_id=entity,
            cause=Cause.at(0, "app", "e-1"),
            **fields,
        )
        self.changes.append(change)
        self.mapping.apply(change)

    def show(self, *messages: tuple[type[Snapshot], dict[str, Any]], number: int | None = None) -> None:
        """Tell a snapshot as of a number, by default the last."""
        at = len(self.changes) if number is None else number
        whole = [(SnapshotStarted, {}), *messages, (SnapshotEnded, {"entities": 0, "identifiers": 0})]
        for index, (kind, fields) in enumerate(whole):
            self.mapping.apply(kind(**self._place(at), snapshot=1, index=index, **fields))

    def _place(self, number: int) -> dict[str, Any]:
        return {"transition_id": "t", "namespace": "acme", "generation": 1, "number": number}

    def trait(self, entity: str, value: Any, name: str = "plan") -> None:
        """Tell a trait."""
        self.say(TraitChanged, entity, name=name, value=value, **SAID)

    def member(self, person: str, group: str, started_at: str = ONE, role: str | None = None) -> None:
        """Tell a membership."""
        self.say(MembershipStarted, person, group_id=group, role=role, started_at=started_at)

    def enter(self, entity: str, value: str, at: str) -> None:
        """Tell the beginning of an interval."""
        says = {"state_name": "mood", "state_value": value, "state_numeric_value": None}
        self.say(StateEntered, entity, **says, state_entered_at=at)

    def leave(self, entity: str, value: str, since: str, until: str) -> None:
        """Tell the end of an interval."""
        says = {"state_name": "mood", "state_value": value, "state_numeric_value": None}
        self.say(StateExited, entity, **says, state_entered_at=since, state_exited_at=until)

    def correct(self, entity: str, replaced: Interval | None, *intervals: Interval) -> None:
        """Tell a correction."""
        self.say(StateCorrected, entity, state_name="mood", replaced=replaced, intervals=intervals)

    @property
    def traits(self) -> dict[str, dict[str, Any]]:
        """The values of traits."""
        found = self.mapping.profiles.traits()
        return {who: {name: one.value for name, one in some.items()} for who, some in found.items()}

    @property
    def memberships(self) -> dict[tuple[str, str, str | None], tuple[str, str | None]]:
        """The memberships."""
        return self.mapping.profiles.memberships()

    def mood(self, entity: str) -> list[Interval]:
        """The timeline."""
        return self.mapping.profiles.timelines().get(entity, {}).get("mood", [])


def named(*values: str) -> tuple[NamedIdentifier, ...]:
    """Identifiers with these values."""
    return tuple(NamedIdentifier(type="user_id", value=value) for value in values)


def mood(value: str, since: str, until: str | None = None) -> Interval:
    """An interval of the state that is told here."""
    return Interval(
        state_value=value, state_numeric_value=None, state_entered_at=since, state_exited_at=until
    )


@pytest.fixture
def told() -> Told:
    """A consumer who knows four entities."""
    return Told()


@pytest.fixture
def rich(told: Told) -> Told:
    """The same, where Ada has a profile, and is in Acme, as is Bob."""
    told.trait(ADA, "free")
    told.enter(ADA, "glad", ONE)
    told.trait(ACME, "large")
    told.member(ADA, ACME, role="owner")
    told.member(BOB, ACME, TWO)
    return told


# single kinds


def test_the_last_value_of_a_trait_counts(told: Told) -> None:
    """With where it comes from; `null` takes it away."""
    told.trait(ADA, "free")
    told.trait(ADA, {"name": "pro", "seats": [3]})
    (trait,) = told.mapping.profiles.traits()[ADA].values()
    assert trait == NamedTrait(name="plan", value={"name": "pro", "seats": [3]}, **SAID)
    told.say(TraitChanged, ADA, name="plan", value=None, source=None, event_id=None, occurred_at=None)
    assert told.traits == {}


def test_a_membership_may_begin_earlier_end_and_go_on(told: Told) -> None:
    """Each change says all that holds of these two in this role."""
    told.member(ADA, ACME, TWO)
    told.member(ADA, ACME, ONE)
    assert told.memberships == {(ADA, ACME, None): (ONE, None)}
    told.say(MembershipEnded, ADA, group_id=ACME, role=None, started_at=ONE, ended_at=THREE)
    assert told.memberships == {(ADA, ACME, None): (ONE, THREE)}
    told.member(ADA, ACME, ONE)
    assert told.memberships == {(ADA, ACME, None): (ONE, None)}


def test_a_membership_that_never_was_is_gone(told: Told) -> None:
    """And only that: another role of the same two stays."""
    told.member(ADA, ACME, role="owner")
    told.member(ADA, ACME, role="user")
    told.say(MembershipEnded, ADA, group_id=ACME, role="owner", started_at=None, ended_at=None)
    assert told.memberships == {(ADA, ACME, "user"): (ONE, None)}


def test_a_timeline_is_what_was_entered_and_left(told: Told) -> None:
    """In the order of time, the last interval open."""
    told.enter(ADA, "glad", ONE)
    told.leave(ADA, "glad", ONE, TWO)
    told.enter(ADA, "sad", TWO)
    assert told.mood(ADA) == [mood("glad", ONE, TWO), mood("sad", TWO)]


def test_a_correction_replaces_the_interval_that_it_names(told: Told) -> None:
    """A late fact parts an interval in two, and what it says comes between."""
    told.enter(ADA, "glad", ONE)
    told.correct(ADA, mood("glad", ONE), mood("glad", ONE, TWO), mood("sad", TWO, THREE), mood("glad", THREE))
    assert told.mood(ADA) == [mood("glad", ONE, TWO), mood("sad", TWO, THREE), mood("glad", THREE)]
    told.correct(ADA, mood("sad", TWO, THREE))
    assert told.mood(ADA) == [mood("glad", ONE, TWO), mood("glad", THREE)]
    told.correct(ADA, None, mood("sad", TWO, THREE))
    assert told.mood(ADA)[1] == mood("sad", TWO, THREE)


def test_a_copy_that_comes_late_changes_nothing(rich: Told) -> None:
    """What was applied is known by its number."""
    before = (rich.traits, rich.memberships, rich.mood(ADA))
    for change in rich.changes:
        rich.mapping.apply(change)
    assert (rich.traits, rich.memberships, rich.mood(ADA)) == before


# what becomes of a profile


def test_a_merge_ends_what_was_absorbed(rich: Told) -> None:
    """On both sides of memberships; the survivor has what follows, and what it had."""
    rich.trait(BOB, "pro")
    rich.say(EntitiesMerged, BOB, absorbed_id=ADA, moved=2)
    assert rich.traits == {BOB: {"plan": "pro"}, ACME: {"plan": "large"}}
    assert rich.memberships == {(BOB, ACME, None): (TWO, None)}
    rich.member(BOB, ACME, role="owner")
    rich.say(EntitiesMerged, EVIL, absorbed_id=ACME, moved=2)
    assert rich.memberships == {}
    rich.member(BOB, EVIL)
    assert rich.memberships == {(BOB, EVIL, None): (ONE, None)}
    assert rich.mood(ADA) == []


def test_a_relabelling_takes_the_profile_along(rich: Told) -> None:
    """Of a person, and of a group with its members."""
    rich.say(EntityRelabelled, "per_lovelace", former_id=ADA)
    rich.say(EntityRelabelled, "grp_corp", former_id=ACME)
    assert rich.traits == {"per_lovelace": {"plan": "free"}, "grp_corp": {"plan": "large"}}
    assert rich.memberships == {
        ("per_lovelace", "grp_corp", "owner"): (ONE, None),
        (BOB, "grp_corp", None): (TWO, None),
    }
    assert rich.mood("per_lovelace") == [mood("glad", ONE)]
    assert rich.mood(ADA) == []


def test_a_split_leaves_the_profile_where_the_id_is(rich: Told) -> None:
    """The part begins with none, and what is no longer true of the id is taken away by what follows."""
    about = {"part_id": "per_part", "part": 1, "parts": 2, "identifiers": named(f"{ADA}-2")}
    rich.say(EntitySplit, ADA, **about)
    assert rich.traits[ADA] == {"plan": "free"}
    assert "per_part" not in rich.traits
    rich.trait("per_part", "pro")
    rich.say(TraitChanged, ADA, name="plan", value=None, source=None, event_id=None, occurred_at=None)
    assert rich.traits == {"per_part": {"plan": "pro"}, ACME: {"plan": "large"}}


def test_a_split_that_leaves_nobody_behind_ends_the_profile(rich: Told) -> None:
    """No part kept the id."""
    for number, value in enumerate((ADA, f"{ADA}-2"), 1):
        about = {"part_id": f"per_{number}", "part": number, "parts": 2, "identifiers": named(value)}
        rich.say(EntitySplit, ADA, **about)
    assert rich.traits == {ACME: {"plan": "large"}}
    assert rich.memberships == {(BOB, ACME, None): (TWO, None)}


def test_an_erasure_ends_the_profile(rich: Told) -> None:
    """Of a group, the memberships of its persons too; who comes again under the id has none."""
    rich.say(EntityErased, ADA, erased_ids=(ADA,))
    assert rich.traits == {ACME: {"plan": "large"}}
    rich.say(EntityErased, ACME, erased_ids=(ACME,))
    assert rich.memberships == {}
    rich.say(EntityCreated, ACME, identifiers=named(ACME))
    assert rich.traits == {}


def test_an_id_ends_with_its_last_identifier(rich: Told) -> None:
    """And not with the one before; who is released under the id has no profile."""
    shared = QuarantineReason(kind="blocked")
    first, second = named(ADA, f"{ADA}-2")
    rich.say(IdentifierQuarantined, ADA, identifier=first, reason=shared)
    assert rich.traits[ADA] == {"plan": "free"}
    rich.say(IdentifierQuarantined, ADA, identifier=second, reason=shared)
    rich.say(IdentifierReleased, ADA, identifier=second, reason="released")
    assert ADA not in rich.traits
    assert rich.memberships == {(BOB, ACME, None): (TWO, None)}


# snapshots

FOUR_ENTITIES = [
    (
        SnapshotIdentifiers,
        {
            "entity_type": "group" if entity.startswith("grp") else "person",
            "entity_id": entity,
            "identifiers": named(entity, f"{entity}-2"),
        },
    )
    for entity in (ADA, BOB, ACME, EVIL)
]
OF_ADA: dict[str, Any] = {"entity_type": "person", "entity_id": ADA}
PROFILE_OF_ADA: list[tuple[type[Snapshot], dict[str, Any]]] = [
    (SnapshotTraits, {**OF_ADA, "traits": (NamedTrait(name="plan", value="free", **SAID),)}),
    (SnapshotStates, {**OF_ADA, "state_name": "mood", "intervals": (mood("glad", ONE),)}),
    (
        SnapshotMemberships,
        {
            **OF_ADA,
            "memberships": (NamedMembership(group_id=ACME, role="owner", started_at=ONE, ended_at=None),),
        },
    ),
]


def test_a_snapshot_brings_profiles(told: Told) -> None:
    """To who has none of the changes that made them."""
    told.mapping = EntityMapping()
    told.show(*FOUR_ENTITIES, *PROFILE_OF_ADA)
    assert told.traits == {ADA: {"plan": "free"}}
    assert told.memberships == {(ADA, ACME, "owner"): (ONE, None)}
    assert told.mood(ADA) == [mood("glad", ONE)]


def test_a_snapshot_lets_go_of_what_it_does_not_name(rich: Told) -> None:
    """A trait, a membership or an interval that somebody has by mistake."""
    rich.show(*FOUR_ENTITIES, *PROFILE_OF_ADA)
    assert rich.traits == {ADA: {"plan": "free"}}
    assert rich.memberships == {(ADA, ACME, "owner"): (ONE, None)}


def test_a_snapshot_does_not_undo_what_came_after_it(rich: Told) -> None:
    """Neither what was said since nor what was taken away; the rest of a timeline is filled in."""
    known = len(rich.changes)
    rich.trait(ADA, None)
    rich.say(MembershipEnded, ADA, group_id=ACME, role="owner", started_at=None, ended_at=None)
    rich.leave(ADA, "glad", ONE, THREE)
    rich.enter(ADA, "sad", THREE)
    rich.show(*FOUR_ENTITIES, *PROFILE_OF_ADA, number=known)
    assert rich.traits == {}
    assert rich.memberships == {}
    assert rich.mood(ADA) == [mood("glad", ONE, THREE), mood("sad", THREE)]


def test_a_snapshot_is_followed_through_relabellings_and_merges(rich: Told) -> None:
    """Of the person and of the group; what was absorbed since brings nothing back."""
    known = len(rich.changes)
    rich.say(EntityRelabelled, "per_lovelace", former_id=ADA)
    rich.say(EntityRelabelled, "grp_corp", former_id=ACME)
    rich.show(*FOUR_ENTITIES, *PROFILE_OF_ADA, number=known)
    assert rich.traits == {"per_lovelace": {"plan": "free"}}
    assert rich.memberships == {("per_lovelace", "grp_corp", "owner"): (ONE, None)}


def test_a_snapshot_brings_nothing_back_of_who_was_absorbed(rich: Told) -> None:
    """Its page was made before the merge."""
    known = len(rich.changes)
    rich.say(EntitiesMerged, BOB, absorbed_id=ADA, moved=2)
    rich.show(*FOUR_ENTITIES, *PROFILE_OF_ADA, number=known)
    assert (rich.traits, rich.memberships, rich.mood(ADA)) == ({}, {}, [])
