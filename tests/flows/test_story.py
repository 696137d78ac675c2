"""The story is told from the logs, and is harmless on any terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flows.story import Lives, _excerpt, _meetings, _wrapped
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityRelabelled,
    IdentifierAdded,
    NamedIdentifier,
)

A, B, C = (f"per_{digit * 32}" for digit in "abc")


def common(number: int, entity_id: str) -> dict[str, object]:
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
    (meeting,) = _meetings(Lives(told()).now[C])
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
    lines = list(_wrapped(words, ", "))
    assert max(map(len, lines)) <= 96
    assert " ".join(lines).replace(",", "").split() == words
