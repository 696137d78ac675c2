"""What the commands ask, Python can ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.client import Nexus, born
from flows.settings import Settings
from flows.wiring import Wiring
from resolver.store import Batch
from schemas.decode import decode
from schemas.errors import SettingsError
from schemas.events import Message
from tests.flows.terminal import call


@pytest.fixture
def nexus(redis_url: str, tmp_path: Path) -> Iterator[Nexus]:
    """Give a client of a store that knows Ada by two identifiers, and by a third one since later."""
    settings = Settings.model_validate({"data": tmp_path, "redis": {"url": redis_url, "ephemeral": True}})
    calls = [
        call("m-1", userId="u-7"),
        call("m-2", anonymousId="phone"),
        call("m-3", userId="u-7", anonymousId="phone"),
    ]
    with Wiring(settings) as parts:
        messages = [Message("input", 0, n, n + 1, 1_000 * n, one) for n, one in enumerate(calls, 1)]
        events = [event for one in messages for event in decode(one, "segment").events]
        parts.store.apply(Batch((), parts.linker.evidence(events)))
    with Nexus(settings) as client:
        yield client


def test_a_lookup_normalises_as_the_stream_does(nexus: Nexus) -> None:
    """Space around a value does not hide anybody."""
    person = nexus.lookup("person", "user_id", " u-7 ")
    assert person is not None
    assert person.size == 2
    assert born(person) == "1970-01-01T00:00:01.000Z by segment m-1"


def test_nobody_is_none(nexus: Nexus) -> None:
    """Neither an unknown value nor a blocked one has an entity; which it is can be asked."""
    assert nexus.lookup("person", "user_id", "u-8") is None
    assert nexus.lookup("person", "user_id", "null") is None
    assert nexus.blocked("person", "user_id", "u-8") is None
    assert nexus.blocked("person", "user_id", "null") == "null-word"


def test_a_value_without_a_normal_form_is_refused_without_being_repeated(nexus: Nexus) -> None:
    """The message names the type and the rule."""
    with pytest.raises(SettingsError, match=r"^email: ") as refused:
        nexus.lookup("person", "email", "ada-at-acme")
    assert "ada-at-acme" not in str(refused.value)


def test_a_history_tells_who_answers_now(nexus: Nexus) -> None:
    """By the id of today and by the former one."""
    person = nexus.lookup("person", "user_id", "u-7")
    assert person is not None
    told = nexus.history(person.entity_id)
    assert [change.what for change in told.changes] == ["absorbed"]
    assert told.is_complete
    former = nexus.history(told.changes[0].other_id)
    assert former.now is not None
    assert former.now.entity_id == person.entity_id
    assert nexus.entity(former.entity_id) == nexus.entity(person.entity_id) == person


def test_an_export_is_sorted_and_says_how_far_it_is(nexus: Nexus) -> None:
    """By type and value; as many are read as the store counts."""
    seen: list[int] = []
    rows = list(nexus.export("person", seen.append))
    assert [row[:2] for row in rows] == [("anonymous_id", "phone"), ("user_id", "u-7")]
    assert seen[-1] == nexus.count() == 2
