"""The story is told from the logs, and is harmless on any terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from flows.client import Nexus, Taken
from flows.lives import Lives, meetings
from flows.partings import Partings
from flows.story import _by_cause, _excerpt, _sentence
from flows.witness import Witness
from flows.words import wrapped
from resolver.explain import Glued
from schemas.identifiers import identifier
from schemas.operations import SOURCE
from schemas.rules import Rules
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
)
from sinks.segments import SegmentedLog

A, B, C = (f"per_{digit * 32}" for digit in "abc")
KIOSK = NamedIdentifier(type="anonymous_id", value="kiosk")
SHARED = QuarantineReason(
    kind="limit", partner_type="user_id", limit=2, brought_by=Cause.at(0, "shop", "e-1")
)


def common(number: int, entity_id: str) -> dict[str, Any]:
    """Give what every change has."""
    cause = Cause.at(1_000 * number, "shop", f"e-{number}")
    return {
        "transition_id": "0" * 32,
        "namespace": "n",
        "generation": 1,
        "number": number,
        "entity_type": "person",
        "entity_id": entity_id,
        "cause": cause,
    }


def created(number: int, entity_id: str, value: str) -> Change:
    """Somebody new, known by one user id."""
    named = NamedIdentifier(type="user_id", value=value)
    return EntityCreated.model_validate({**common(number, entity_id), "identifiers": (named,)})


def told() -> Sequence[Change]:
    """Give three strangers of whom two are one, under a third id in the end; the third stays alone."""
    added = {**common(4, A), "identifier": NamedIdentifier(type="email", value="a@b.example")}
    merged = {**common(5, A), "absorbed_id": B, "moved": 1}
    renamed = {**common(6, C), "former_id": A}
    return [
        created(1, A, "a"),
        created(2, B, "b"),
        created(3, "per_" + "d" * 32, "d"),
        IdentifierAdded.model_validate(added),
        EntitiesMerged.model_validate(merged),
        EntityRelabelled.model_validate(renamed),
    ]


def test_a_life_is_followed_through_its_ids() -> None:
    """Who was merged and renamed has all identifiers and all changes, of both sides, under the last id."""
    lives = Lives(told())
    assert set(lives.now) == {C, "per_" + "d" * 32}
    assert {value for _, _, value in lives.now[C].names} == {"a", "b", "a@b.example"}
    assert sorted(change.number for change in lives.now[C].changes) == [1, 2, 4, 5, 6]


def test_a_meeting_knows_the_two_before_it() -> None:
    """What each of the two was known by, just before they became one."""
    (meeting,) = meetings(Lives(told()).now[C])
    assert {value for _, _, value in meeting.survivor} == {"a", "a@b.example"}
    assert {value for _, _, value in meeting.absorbed} == {"b"}


def test_the_story_is_about_somebody_who_merged() -> None:
    """Where nobody did, it is about nobody."""
    protagonist = Lives(told()).protagonist()
    assert protagonist is not None
    assert protagonist[0] == C
    assert Lives(told()[:3]).protagonist() is None


@pytest.mark.parametrize("value", [b"\x1b[2J\x07", b"\xff\xfe", b"a\nb\r", b"", "\u202e".encode(), None])
def test_a_payload_is_shown_without_what_a_terminal_obeys(value: bytes | None) -> None:
    """Control characters of a dead letter do not reach the screen."""
    shown = _excerpt(value)
    assert shown.isprintable()
    assert shown.isascii()


def test_long_texts_are_wrapped() -> None:
    """Every line fits, and no word is lost."""
    words = [f"word-{number}" for number in range(100)]
    lines = list(wrapped(words, ", "))
    assert max(map(len, lines)) <= 96
    assert " ".join(lines).replace(",", "").split() == words


# what comes apart


def user(value: str) -> NamedIdentifier:
    """An identifier that is nobody else's."""
    return NamedIdentifier(type="user_id", value=value)


def parted(number: int, entity_id: str, part_id: str, *values: str, by: int | None = None) -> Change:
    """Users that go a way of their own, by the event of that number."""
    named = tuple(map(user, values))
    what = {**common(number, entity_id), "cause": common(by or number, entity_id)["cause"]}
    return EntitySplit(**what, part_id=part_id, part=1, parts=2, identifiers=named)


def quarantined(number: int, entity_id: str, one: NamedIdentifier = KIOSK) -> Change:
    """An identifier that turned out to be shared."""
    return IdentifierQuarantined(**common(number, entity_id), identifier=one, reason=SHARED)


def shared() -> list[Change]:
    """Give two who were one by a kiosk, until it had seen too many."""
    return [
        created(1, A, "a"),
        IdentifierAdded(**common(2, A), identifier=KIOSK),
        IdentifierAdded(**common(3, A), identifier=user("b")),
        quarantined(4, A),
        parted(5, A, B, "b", by=4),
    ]


def names(lives: Lives) -> dict[str, set[str]]:
    """The values that each entity is known by."""
    return {entity: {value for _, _, value in life.names} for entity, life in lives.now.items()}


def witness(folder: Path) -> Witness:
    """Somebody who saw no event."""
    return Witness(SegmentedLog(folder), Rules(), set(), {})


def test_who_came_apart_is_two() -> None:
    """Each keeps what the split gave it; what was taken out is nobody's."""
    lives = Lives(shared())
    assert names(lives) == {A: {"a"}, B: {"b"}}
    assert set(lives.quarantined) == {("person", "anonymous_id", "kiosk")}
    assert [change.number for change in lives.now[B].history()] == [5]


def test_who_came_apart_may_meet_again() -> None:
    """Each change is there once, and the meeting knows who the two were by then."""
    merged = EntitiesMerged(**common(6, A), absorbed_id=B, moved=1)
    lives = Lives([*shared(), merged])
    assert [change.number for change in lives.now[A].history()] == [1, 2, 3, 4, 5, 6]
    (meeting,) = meetings(lives.now[A])
    assert {value for _, _, value in meeting.survivor} == {"a"}
    assert {value for _, _, value in meeting.absorbed} == {"b"}
    assert lives.merges == 1


def test_who_is_left_with_nothing_is_no_more() -> None:
    """An entity ends when all go elsewhere, when its only identifier is taken out, and when it is erased."""
    assert names(Lives([created(1, A, "a"), parted(2, A, B, "a")])) == {B: {"a"}}
    assert names(Lives([created(1, A, "a"), quarantined(2, A, user("a"))])) == {}
    assert names(Lives([created(1, A, "a"), EntityErased(**common(2, A), erased_ids=(A,))])) == {}


def test_what_is_back_is_no_longer_out() -> None:
    """A released identifier belongs to the entity that it came back to."""
    back = IdentifierReleased(**common(6, B), identifier=KIOSK, reason="released")
    lives = Lives([*shared(), back])
    assert names(lives)[B] == {"b", "kiosk"}
    assert lives.quarantined == {}


def test_a_log_with_gaps_is_told_all_the_same() -> None:
    """Where something erased was hidden, what comes after it may be about somebody who never began."""
    lives = Lives(
        [
            Redacted(**common(1, A)),
            IdentifierAdded(**common(2, A), identifier=user("a")),
            Redacted(**common(3, A)),
            EntitiesMerged(**common(4, A), absorbed_id=B, moved=1),
            EntityRelabelled(**common(5, C), former_id=A),
        ]
    )
    assert names(lives) == {C: {"a"}}
    assert [meeting.absorbed for meeting in meetings(lives.now[C])] == [frozenset()]


NOON, EVENING = "2026-01-05T12:00:00.000Z", "2026-01-05T18:00:00.000Z"
SEATS: dict[str, Any] = {
    "state_name": "seats", "state_value": "many", "state_numeric_value": 12.0, "state_entered_at": NOON
}  # fmt: skip
FEW = Interval(state_value="few", state_numeric_value=None, state_entered_at=NOON, state_exited_at=None)
MANY = FEW.model_copy(update={"state_value": "many", "state_entered_at": EVENING})


def trait(number: int, entity: str, value: Any) -> TraitChanged:
    """The trait `plan` is this now."""
    says: dict[str, Any] = {"source": "app", "event_id": "e", "occurred_at": NOON}
    return TraitChanged(**common(number, entity), name="plan", value=value, **says)


def corrected(number: int, entity: str, replaced: Interval | None, *intervals: Interval) -> StateCorrected:
    """The state `seats` was something else."""
    return StateCorrected(
        **common(number, entity), state_name="seats", replaced=replaced, intervals=intervals
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            parted(1, A, B, "b", "c", "d"),
            "÷ comes apart: a way of its own goes user_id b, user_id c and 1 more",
        ),
        (quarantined(1, A), "- anonymous_id kiosk is taken out: seen with more than 2 values of user_id"),
        (
            IdentifierReleased(**common(1, A), identifier=KIOSK, reason="rules"),
            "+ anonymous_id kiosk is back: the rules allow it now",
        ),
        (EntityErased(**common(1, A), erased_ids=(A,)), "x is erased"),
        (Redacted(**common(1, A)), "x what stood here is erased"),
        (trait(1, A, {"é": 1}), '  plan: {"é": 1}'),
        (trait(1, A, None), "  plan: unset"),
        (
            MembershipStarted(**common(1, A), group_id="grp_1", role=None, started_at=NOON),
            "  in grp_1 since 2026-01-05 12:00",
        ),
        (
            MembershipEnded(
                **common(1, A), group_id="grp_1", role="owner", started_at=NOON, ended_at=EVENING
            ),
            "  in grp_1 as owner until 2026-01-05 18:00",
        ),
        (
            MembershipEnded(**common(1, A), group_id="grp_1", role=None, started_at=None, ended_at=None),
            "  not in grp_1",
        ),
        (StateEntered(**common(1, A), **SEATS), "  seats: many 12 since 2026-01-05 12:00"),
        (
            StateExited(**common(1, A), **SEATS, state_exited_at=EVENING),
            "  seats: many 12 until 2026-01-05 18:00",
        ),
        (
            corrected(1, A, FEW, MANY),
            "  seats: not few since 2026-01-05 12:00 but many since 2026-01-05 18:00",
        ),
        (corrected(1, A, FEW), "  seats: not few since 2026-01-05 12:00"),
        (
            corrected(1, A, None, MANY, FEW),
            "  seats: also many since 2026-01-05 18:00, few since 2026-01-05 12:00",
        ),
    ],
)
def test_each_change_is_one_line(change: Change, sentence: str) -> None:
    """In words that a person would use."""
    assert _sentence(change, ()) == sentence


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (QuarantineReason(kind="degree", limit=50), "seen with more than 50 identifiers"),
        (QuarantineReason(kind="blocked"), "an operator blocked it"),
    ],
)
def test_each_reason_is_told(reason: QuarantineReason, words: str) -> None:
    """By what measure it was shared, or that a person said so."""
    change = IdentifierQuarantined(**common(1, A), identifier=KIOSK, reason=reason)
    assert _sentence(change, ()) == f"- anonymous_id kiosk is taken out: {words}"


class Client:
    """Somebody who can be asked what is out of the graph."""

    def __init__(self, *taken: Taken) -> None:
        self._taken = taken

    def quarantine(self, _entity_type: str) -> Iterator[Taken]:
        """Give what was taken out."""
        return iter(self._taken)


def taken(value: str, would_glue: int, state: Literal["quarantined", "blocked"] = "quarantined") -> Taken:
    """An identifier that is out of the graph."""
    name = identifier("person", "anonymous_id", value)
    return Taken(name, state, SHARED, None, Glued(would_glue, is_at_least=False))


def partings(lives: Lives, *out: Taken) -> Partings:
    """The chapters about what was shared, where this is out of the graph."""
    return Partings(lives, cast(Nexus, Client(*out)))


def test_who_came_apart_is_found_by_what_was_taken_out() -> None:
    """The split has the cause that took the kiosk out."""
    found = partings(Lives(shared()), taken("kiosk", 2)).parted
    assert found is not None
    assert (found[0].name[2], found[1].part_id) == ("kiosk", B)


def test_two_are_told_of_if_there_are_two() -> None:
    """What would have glued most, and another by which somebody came apart."""
    fair = NamedIdentifier(type="anonymous_id", value="fair")
    more = [created(6, C, "c"), quarantined(7, C, fair), parted(8, C, "per_" + "d" * 32, "d", by=7)]
    found = partings(Lives([*shared(), *more]), taken("fair", 9), taken("kiosk", 2))
    assert found.worst is not None
    assert found.parted is not None
    assert (found.worst.name[2], found.parted[0].name[2]) == ("fair", "kiosk")


@pytest.mark.parametrize("out", [(), (taken("kiosk", 2, "blocked"),)], ids=["nothing", "blocked"])
def test_where_nothing_was_shared_nothing_is_told(out: tuple[Taken, ...], tmp_path: Path) -> None:
    """No heading without a story; what an operator blocked is another one."""
    found = partings(Lives(shared()), *out)
    assert [*found.came_apart(witness(tmp_path)), *found.never_was(witness(tmp_path))] == []
    assert found.names == set()


def test_who_never_came_apart_is_told_of_first() -> None:
    """The story is about somebody else, if there is anybody."""
    merged = [EntitiesMerged(**common(6, A), absorbed_id=B, moved=1)]
    other = [created(7, C, "c"), created(8, "per_" + "d" * 32, "d")]
    last = EntitiesMerged(**common(9, C), absorbed_id="per_" + "d" * 32, moved=1)
    found = Lives([*shared(), *merged, *other, last]).protagonist()
    assert found is not None
    assert found[0] == C


def test_an_operator_is_called_so(tmp_path: Path) -> None:
    """The number of an operation says nothing to a reader."""
    cause = Cause.at(0, SOURCE, "5f0c")
    (line,) = _by_cause([(cause, "- something")], witness(tmp_path))
    assert line.split() == ["1970-01-01", "00:00", "an", "operator", "-", "something"]
