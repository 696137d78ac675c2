"""What the commands ask, Python can ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from flows.client import Absence, Nexus, born
from flows.settings import Settings
from flows.wiring import Wiring
from resolver.store import Batch, Command
from schemas.decode import decode
from schemas.errors import SettingsError
from schemas.events import Message, log_position
from schemas.identifiers import Keyring, entity_id, identifier
from tests.flows.terminal import call


@pytest.fixture
def nexus(redis_url: str, tmp_path: Path) -> Iterator[Nexus]:
    """Give a client of a store that knows Ada by two identifiers, and by a third one since later."""
    settings = Settings.model_validate({"data": tmp_path, "redis": {"url": redis_url, "ephemeral": True}})
    calls = [
        call("m-1", userId="u-7", traits={"plan": "team"}),
        call("m-2", anonymousId="phone"),
        call("m-3", userId="u-7", anonymousId="phone"),
    ]
    learn(settings, calls)
    with Nexus(settings) as client:
        yield client


def learn(settings: Settings, calls: Sequence[bytes], *commands: Command) -> None:
    """Give a store some calls, a second apart, and then some operator events."""
    with Wiring(settings) as parts:
        messages = [Message("input", 0, n, n + 1, 1_000 * n, one) for n, one in enumerate(calls, 1)]
        events = [event for one in messages for event in decode(one, "segment").events]
        linker = parts.linker
        parts.store.apply(Batch((), linker.evidence(events), facts=linker.facts(events)))
        for command in commands:
            parts.store.apply(Batch((), (), command))


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
    assert told.former == (told.changes[0].other_id,)
    former = nexus.history(told.changes[0].other_id)
    assert former.now is not None
    assert former.now.entity_id == person.entity_id
    assert nexus.entity(former.entity_id) == nexus.entity(person.entity_id) == person


def test_a_profile_is_known_by_any_name(nexus: Nexus) -> None:
    """By an identifier as by a former id; nobody has none, and a blocked value is nobody's."""
    known = nexus.profile("person", "user_id= u-7")
    assert known is not None
    assert [(one.name, one.value, one.event_id) for one in known.traits] == [("plan", "team", "m-1")]
    assert {one.identifier_value for one in known.entity.members} == {"u-7", "phone"}
    former = nexus.history(known.entity.entity_id).former[0]
    assert nexus.profile("person", former) == known
    assert nexus.profile("person", "user_id=u-8") is None
    assert nexus.profile("person", "user_id=null") is None
    assert [one.entity.entity_id for one in nexus.profiles("person")] == [known.entity.entity_id]
    assert list(nexus.profiles("group")) == []


def test_an_export_is_sorted_and_says_how_far_it_is(nexus: Nexus) -> None:
    """By type and value; as many are read as the store counts."""
    seen: list[int] = []
    rows = list(nexus.export("person", seen.append))
    assert [row[:2] for row in rows] == [("anonymous_id", "phone"), ("user_id", "u-7")]
    assert seen[-1] == nexus.count() == 2


def test_why_has_names_for_all_that_it_speaks_of(nexus: Nexus) -> None:
    """A chain is made of keys; the names of all of them come with it."""
    found = nexus.why("person", "user_id=u-7", "anonymous_id=phone")
    assert found.why.is_one
    assert [found.names[step.to].value for step in found.why.chain or ()] == ["phone"]
    assert found.entity_id == nexus.why("person", found.entity_id or "", "user_id= u-7").entity_id
    assert found.names.keys() >= set(found.why.keys)


@pytest.fixture
def decided(redis_url: str, tmp_path: Path) -> Iterator[Nexus]:
    """Give a client of a store where an operator has blocked a phone and erased a user."""
    settings = Settings.model_validate({"data": tmp_path, "redis": {"url": redis_url, "ephemeral": True}})
    calls = [call("m-1", userId="u-7", anonymousId="phone"), call("m-2", userId="u-8", anonymousId="phone")]
    calls += [call("m-3", userId="u-9", anonymousId="desk")]

    def operation(kind: Literal["block", "erase"], ms: int, *asked: str) -> Command:
        names = (one.partition("=") for one in asked)
        keys = tuple(Keyring("default").key(identifier("person", one[0], one[2])) for one in names)
        return Command(kind, "person", log_position(ms, "operator", kind), tuple(sorted(keys)))

    learn(
        settings,
        calls,
        operation("block", 10_000, "anonymous_id=phone"),
        operation("erase", 20_000, "user_id=u-9", "anonymous_id=desk"),
    )
    with Nexus(settings) as client:
        yield client


def test_an_absence_says_why(decided: Nexus) -> None:
    """Each way of being nobody's has its name; of one that is out of the graph the partners are told."""
    users = [decided.lookup("person", "user_id", user) for user in ("u-7", "u-8")]
    blocked = decided.absence("person", "anonymous_id=phone")
    assert blocked is not None
    assert (blocked.state, blocked.entities) == ("blocked", tuple(one.entity_id for one in users if one))
    asked = ("user_id=u-7", "user_id=u-9", "user_id=u-1", "user_id=null")
    states = [found and found.state for found in (decided.absence("person", one) for one in asked)]
    assert states == [None, "erased", "unnamed", "by rule"]


def test_an_erased_id_answers_for_ever(decided: Nexus) -> None:
    """That it was erased, and nothing else."""
    erased = Keyring("default").key(identifier("person", "user_id", "u-9"))
    told = decided.history(entity_id("person", erased))
    assert told.is_known
    assert told.now is None
    assert told.absence == Absence("erased")


def test_the_quarantine_has_what_an_operator_blocked(decided: Nexus) -> None:
    """Since when is told by the history of the id that is made from it."""
    (taken,) = decided.quarantine("person")
    assert (taken.state, taken.reason.kind) == ("blocked", "blocked")
    assert taken.since == "1970-01-01T00:00:10.000Z"
    assert taken.would_glue == (2, False)
    assert not list(decided.quarantine("group"))
    assert not list(decided.suspended())
