"""What the reference makes of facts: whose they are, through guards, merges, splits and erasures."""

import json
from typing import Any

import pytest

from resolver.facts import Membership
from resolver.profiles import Profile, Value
from resolver.reference import Answer, Reference
from schemas.decode import decode
from schemas.events import Event, Message
from schemas.identifiers import entity_id, identifier
from schemas.instants import format_instant
from schemas.rules import Rules
from tests.resolver.histories import KEYRING, command, key_of

BY_PRIORITY = {"user_id": {}, "email": {}, "anonymous_id": {"limits": {"user_id": 1}}}
PAYING = {"paying": {"of": "person", "values": ["yes", "no"]}}


def said(
    second: int, *participants: dict[str, Any], at: int | None = None, name: str = "seen", **more: Any
) -> Event:
    """An event that happened at a second and came at one, with participants as producers send them."""
    payload = {
        "event_id": f"e{second}",
        "source": "test",
        "event_name": name,
        "occurred_at": format_instant(second * 1_000),
        "participants": list(participants),
        **more,
    }
    arrived_ms = 1_000_000 + 1_000 * (second if at is None else at)
    message = Message("t", 0, 0, 1, arrived_ms, json.dumps(payload).encode())
    decoded = decode(message, "event")
    assert decoded.problem is None, decoded.problem
    (event,) = decoded.events
    return event


def who(*names: str, entity_type: str = "person", **more: Any) -> dict[str, Any]:
    """A participant, known by `type=value`s."""
    pairs = (name.partition("=") for name in names)
    identifiers = [{"type": kind, "value": value} for kind, _, value in pairs]
    return {"entity_type": entity_type, "identifiers": identifiers, **more}


def profile(answer: Answer, name: str) -> Profile:
    """The profile of the person that holds an identifier."""
    kind, _, value = name.partition("=")
    return answer.profiles[answer.entity_of[identifier("person", kind, value)]]


def traits(answer: Answer, name: str) -> dict[str, Any]:
    """The traits of the person that holds an identifier, as values."""
    return {trait: json.loads(said.value) for trait, said in profile(answer, name).traits.items()}


def reference(*events: Event, **rules: Any) -> Reference:
    """A reference that has learned these."""
    made = Reference(KEYRING, Rules.from_data({"identifiers": BY_PRIORITY, **rules}))
    made.add(events)
    return made


def test_facts_belong_to_the_anchor_and_part_with_it() -> None:
    """A shared device is taken out: each of its users keeps what was said of the link that his id anchors."""
    learned = reference(
        said(1, who("user_id=a", "anonymous_id=x", traits={"name": "Ada"})),
        said(2, who("anonymous_id=x", traits={"theme": "dark"})),
    )
    assert traits(learned.answer(), "user_id=a") == {"name": "Ada", "theme": "dark"}
    learned.add([said(3, who("user_id=b", "anonymous_id=x", traits={"name": "Bob"}))])
    answer = learned.answer()
    assert key_of("anonymous_id=x") in answer.quarantined
    assert traits(answer, "user_id=a") == {"name": "Ada"}
    assert traits(answer, "user_id=b") == {"name": "Bob"}
    assert len(answer.profiles) == 2  # what was said of the device alone waits
    learned.operate([command("release", "anonymous_id=x", ms=5_000_000)])
    assert traits(learned.answer(), "user_id=a") == {"name": "Bob", "theme": "dark"}


def test_a_merge_unites_timelines_and_a_late_event_is_inserted() -> None:
    """Two halves of one customer; what happened counts where it happened, not where it came."""
    yes, no = ([{"of": "p", "state_name": "paying", "state_value": value}] for value in ("yes", "no"))
    learned = reference(
        said(1, who("user_id=a", ref="p"), states=yes),
        said(5, who("email=a@b.test", ref="p"), states=no),
        said(3, who("email=a@b.test", ref="p"), states=yes, at=9),
        states=PAYING,
    )
    assert len(learned.answer().profiles) == 2
    learned.add([said(10, who("user_id=a", "email=a@b.test"))])
    united = profile(learned.answer(), "user_id=a")
    assert [(one.value, one.entered_ms, one.exited_ms) for one in united.timelines["paying"]] == [
        (Value("yes"), 1_000, 5_000),
        (Value("no"), 5_000, None),
    ]


def test_rules_make_states_of_events() -> None:
    """By name, source and role; a number by its measurement."""
    states = {
        "paying": {
            "of": "person",
            "values": ["yes", "no"],
            "events": [{"event": "paid", "role": "payer", "value": "yes"}],
        },
        "seats": {"of": "person", "numeric": True, "events": [{"event": "paid", "measurement": "seats"}]},
    }
    seats = [{"name": "seats", "value": 3}, {"name": "price", "value": 9}]
    participants = who("user_id=a", role="payer"), who("user_id=b", role="witness")
    answer = reference(said(1, *participants, name="paid", measurements=seats), states=states).answer()
    payer, witness = (profile(answer, f"user_id={name}").timelines for name in "ab")
    assert payer.keys() == {"paying", "seats"}
    assert witness.keys() == {"seats"}
    assert witness["seats"][0].value == Value(None, 3.0)


@pytest.mark.parametrize("value", ["maybe", "YES"])
def test_a_value_that_is_not_declared_does_not_count(value: str) -> None:
    """The rest of the event does; a state that no rule lists takes any value."""
    states = [{"of": "p", "state_name": name, "state_value": value} for name in ("paying", "something_else")]
    answer = reference(said(1, who("user_id=a", ref="p"), states=states), states=PAYING).answer()
    assert profile(answer, "user_id=a").timelines.keys() == {"something_else"}


def test_memberships_last_from_the_earliest_evidence_to_the_fact_that_ends_them() -> None:
    """One row for each role, resolved on both sides; a later fact begins it again."""
    company = {"entity_type": "group", "ref": "c"}

    def member(second: int, name: str, domain: str, **more: Any) -> Event:
        membership = {"person": "p", "group": "c", "role": "owner", **more}
        return said(second, who(name, ref="p"), who(f"domain={domain}", **company), memberships=[membership])

    learned = reference(
        member(4, "user_id=a", "acme.test"),
        member(2, "email=a@b.test", "acme.test"),
        member(6, "user_id=a", "acme.test", ended=True),
        said(7, who("user_id=a", "email=a@b.test")),
    )
    group = entity_id("group", key_of("domain=acme.test", "group"))
    (mine,) = set(learned.answer().entities) - {group}
    assert learned.answer().memberships == {(mine, group, "owner"): Membership(2_000, 6_000)}
    learned.add([member(8, "email=a@b.test", "acme.test")])
    assert learned.answer().memberships == {(mine, group, "owner"): Membership(2_000, None)}


def test_what_was_erased_says_nothing_any_more() -> None:
    """The facts go with the participant, in every replay; what comes later is somebody new."""
    learned = reference(said(1, who("user_id=a", traits={"name": "Ada"})))
    learned.operate([command("erase", "user_id=a", ms=2_000_000)])
    assert learned.answer().profiles == {}
    learned.add(
        [said(1, who("user_id=a", traits={"name": "Ada"})), said(2_000, who("user_id=a", traits={"n": 1}))]
    )
    assert traits(learned.answer(), "user_id=a") == {"n": 1}
