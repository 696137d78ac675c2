"""The canonical event: what producers may send, and where the limits are."""

import json
from typing import Any

import pytest

from schemas.decode import decode
from schemas.events import Measurement, Membership, Participant, RejectedValue, StateFact
from schemas.identifiers import Identifier
from tests.schemas.messages import NOW, NOW_MS, decode_one, message, names, payload, person, problem_of

_FULL: dict[str, Any] = {
    "event_id": "in_1:paid",
    "source": "billing",
    "event_name": "invoice_paid",
    "event_type": "money",
    "occurred_at": "2026-01-05T09:59:59.1239Z",
    "participants": [
        {
            "ref": "customer",
            "entity_type": "person",
            "role": "payer",
            "identifiers": [
                {"type": "email", "value": " Ada@Acme.Test"},
                {"type": "user_id", "value": "u-7"},
            ],
            "traits": {"name": "Ada", "seats": 3, "nick": None},
        },
        {
            "ref": "company",
            "entity_type": "group",
            "identifiers": [{"type": "domain", "value": "www.acme.test"}],
        },
    ],
    "memberships": [{"person": "customer", "group": "company", "role": "owner"}],
    "states": [{"of": "company", "state_name": "billing", "state_value": "active"}],
    "measurements": [{"name": "amount_paid", "value": 29.99, "unit": "USD"}],
    "unknown": {"fields": "are ignored"},
}


def test_every_field_arrives() -> None:
    """What the message says is what the event says, normalised."""
    event = decode_one(_FULL)
    assert (event.event_id, event.source, event.event_name, event.event_type) == (
        "in_1:paid",
        "billing",
        "invoice_paid",
        "money",
    )
    assert event.occurred_at_ms == NOW_MS - 877
    assert event.ingested_at_ms == NOW_MS
    assert event.participants == (
        Participant(
            "customer",
            "person",
            "payer",
            (Identifier("person", "email", "ada@acme.test"), Identifier("person", "user_id", "u-7")),
            {"name": "Ada", "seats": 3, "nick": None},
        ),
        Participant("company", "group", None, (Identifier("group", "domain", "acme.test"),), {}),
    )
    assert event.memberships == (Membership("customer", "company", "owner", ended=False),)
    assert event.states == (StateFact("company", "billing", "active", None),)
    assert event.measurements == (Measurement("amount_paid", 29.99, "USD"),)
    assert event.rejected == ()


@pytest.mark.parametrize("name", ["event_id", "source", "event_name", "occurred_at", "participants"])
def test_required_fields_are_required(name: str) -> None:
    """Without one of them there is no event; the detail says which."""
    problem = problem_of(payload(**{name: ...}))
    assert problem.reason == "schema"
    assert problem.detail.startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["event_id", "source", "event_name", "event_type"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "schema"),
        ("", "schema"),
        ("a\x00b", "schema"),
        ("a\nb", "schema"),
        ("a\x85b", "schema"),
        (["a"], "schema"),
        (257 * "x", "limit"),
        (129 * "é", "limit"),
    ],
)
def test_ids_and_names_have_limits(name: str, value: Any, reason: str) -> None:
    """Texts of 1 to 256 bytes without control characters; a number is not converted, since ids are texts."""
    problem = problem_of(payload(**{name: value}))
    assert problem.reason == reason
    assert problem.detail.startswith(f"{name}: ")


def test_an_id_may_have_256_bytes() -> None:
    """The limit itself is allowed, in bytes of UTF-8."""
    assert decode_one(payload(event_id=128 * "é")).event_id == 128 * "é"
    assert decode_one(payload(event_id=256 * "x")).event_id == 256 * "x"


@pytest.mark.parametrize(
    ("change", "reason", "path"),
    [
        ({"occurred_at": "2026-01-05T10:00:00"}, "instant", "occurred_at"),
        ({"occurred_at": "0000-01-01T00:00:00Z"}, "instant", "occurred_at"),
        ({"occurred_at": 1767607200}, "schema", "occurred_at"),
        ({"occurred_at": None}, "schema", "occurred_at"),
        ({"participants": {}}, "schema", "participants"),
        ({"participants": []}, "no-participants", "participants"),
        ({"participants": [7]}, "schema", "participants.0"),
        ({"participants": [{"entity_type": "person"}]}, "schema", "participants.0.identifiers"),
        ({"participants": [{"entity_type": "person", "identifiers": []}]}, "no-participants", "participants"),
        ({"participants": [person("not an address")]}, "no-participants", "participants"),
        ({"participants": [{**person(), "entity_type": "robot"}]}, "schema", "participants.0.entity_type"),
        ({"participants": [person(kind="E-Mail")]}, "schema", "participants.0.identifiers.0.type"),
        ({"participants": [person(kind="email\n")]}, "schema", "participants.0.identifiers.0.type"),
        ({"participants": [person(kind=65 * "a")]}, "schema", "participants.0.identifiers.0.type"),
        (
            {"participants": [{"entity_type": "person", "identifiers": [{"type": "user_id", "value": 7}]}]},
            "schema",
            "participants.0.identifiers.0.value",
        ),
        (
            {
                "participants": [
                    {"entity_type": "person", "identifiers": [{"type": "user_id", "value": None}]}
                ]
            },
            "schema",
            "participants.0.identifiers.0.value",
        ),
        (
            {"participants": [person(1025 * "x", kind="user_id")]},
            "limit",
            "participants.0.identifiers.0.value",
        ),
        ({"participants": [person(513 * "é", kind="user_id")]}, "limit", "participants.0.identifiers"),
        (
            {"participants": [{"entity_type": "person", "identifiers": 65 * person()["identifiers"]}]},
            "limit",
            "participants.0.identifiers",
        ),
        ({"participants": 1001 * [person()]}, "limit", "participants"),
        ({"participants": [person(traits=[])]}, "schema", "participants.0.traits"),
        ({"participants": [person(traits={"a\x00": 1})]}, "schema", "participants.0.traits"),
        ({"participants": [person(traits={257 * "a": 1})]}, "limit", "participants.0.traits"),
        ({"participants": [person(ref="")]}, "schema", "participants.0.ref"),
        ({"participants": [person(ref="a\n")]}, "schema", "participants.0.ref"),
        ({"participants": [person(role=200 * "é")]}, "limit", "participants.0.role"),
        ({"measurements": [{"name": "x", "value": "1"}]}, "schema", "measurements.0.value"),
        ({"measurements": [{"name": "x", "value": True}]}, "schema", "measurements.0.value"),
        ({"measurements": [{"name": "x", "value": 10**400}]}, "schema", "measurements.0.value"),
        ({"measurements": [{"name": "x\x00", "value": 1}]}, "schema", "measurements.0.name"),
        ({"measurements": [{"name": "x", "value": 1, "unit": 200 * "é"}]}, "limit", "measurements.0.unit"),
        ({"memberships": {}}, "schema", "memberships"),
        ({"memberships": [{"person": "a", "group": "b", "ended": "yes"}]}, "schema", "memberships.0.ended"),
    ],
)
def test_what_breaks_the_shape_or_a_limit(change: dict[str, Any], reason: str, path: str) -> None:
    """Each wrong type and each limit is a dead letter whose detail begins with where it is."""
    problem = problem_of(payload(**change))
    assert (problem.reason, problem.detail.split(":")[0]) == (reason, path)


def test_the_limits_themselves_are_allowed() -> None:
    """64 identifiers, 1,000 participants and a value of 1 KiB are taken."""
    many = [{"type": "user_id", "value": str(number)} for number in range(64)]
    assert (
        len(
            decode_one(payload(participants=[{"entity_type": "person", "identifiers": many}]))
            .participants[0]
            .identifiers
        )
        == 64
    )
    assert len(decode_one(payload(participants=1000 * [person()])).participants) == 1000
    assert names(decode_one(payload(participants=[person(1024 * "x", kind="user_id")]))) == {
        "user_id=" + 1024 * "x"
    }


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [
        ("2026-01-05T10:05:00Z", NOW_MS + 300_000),
        ("2026-01-05T10:05:00.001Z", NOW_MS),
        ("9999-12-31T23:59:59Z", NOW_MS),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ],
)
def test_a_time_in_the_future_counts_as_now(occurred_at: str, expected: int) -> None:
    """Five minutes ahead are a clock that is wrong, more is a time that is; the past is whatever it says."""
    assert decode_one(payload(occurred_at=occurred_at)).occurred_at_ms == expected


def test_spellings_of_one_identifier_count_once() -> None:
    """A participant's identifiers are distinct, in the order in which they were given first."""
    identifiers = [
        {"type": kind, "value": value}
        for kind, value in [("email", "A@a.test"), ("user_id", "1"), ("email", "a@a.test")]
    ]
    (who,) = decode_one(
        payload(participants=[{"entity_type": "person", "identifiers": identifiers}])
    ).participants
    assert [each.identifier_type for each in who.identifiers] == ["email", "user_id"]


def test_a_rejected_value_leaves_the_rest_alive() -> None:
    """The value is named by type and reason, and the participant goes on with its other identifiers."""
    identifiers = [{"type": "email", "value": "nobody"}, {"type": "user_id", "value": "u-7"}]
    event = decode_one(
        payload(participants=[{"ref": "r", "entity_type": "person", "identifiers": identifiers}])
    )
    assert names(event) == {"user_id=u-7"}
    (rejected,) = event.rejected
    assert rejected == RejectedValue("r", "person", "email", rejected.reason)
    assert "nobody" not in rejected.reason


def test_a_participant_without_identifiers_is_dropped_with_its_facts() -> None:
    """Memberships and states of somebody who cannot be identified are about nobody; the others stay."""
    full = json.loads(json.dumps(_FULL))
    full["participants"][1]["identifiers"] = [{"type": "domain", "value": "co.uk"}]
    full["states"].append({"of": "customer", "state_name": "mood", "state_numeric_value": 1})
    event = decode_one(full)
    assert [each.ref for each in event.participants] == ["customer"]
    assert event.memberships == ()
    assert event.states == (StateFact("customer", "mood", None, 1.0),)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"memberships": [{"person": "company", "group": "company"}]}, "memberships.0.person"),
        ({"memberships": [{"person": "customer", "group": "customer"}]}, "memberships.0.group"),
        ({"memberships": [{"person": "customer", "group": "nobody"}]}, "memberships.0.group"),
        ({"states": [{"of": "nobody", "state_name": "x", "state_value": "y"}]}, "states.0.of"),
        ({"states": [{"of": "company", "state_name": "x"}]}, "states.0"),
        (
            {
                "states": [
                    {"of": "company", "state_name": "x", "state_value": None, "state_numeric_value": None}
                ]
            },
            "states.0",
        ),
        (
            {"states": [{"of": "company", "state_name": "x", "state_value": 600 * "é"}]},
            "states.0.state_value",
        ),
        ({"participants": [*_FULL["participants"], _FULL["participants"][0]]}, "participants.2.ref"),
    ],
)
def test_facts_name_participants(change: dict[str, Any], path: str) -> None:
    """A ref stands for one participant of the right kind, and a state says something."""
    problem = problem_of({**_FULL, **change})
    assert problem.reason in ("schema", "limit")
    assert problem.detail.startswith(f"{path}:")


def test_memberships_can_end() -> None:
    """`ended` says that the role is over."""
    event = decode_one({**_FULL, "memberships": [{"person": "customer", "group": "company", "ended": True}]})
    assert event.memberships == (Membership("customer", "company", None, ended=True),)


def test_two_participants_may_be_one_person() -> None:
    """Nothing is said about who is who here: that is the resolver's work."""
    assert len(decode_one(payload(participants=[person(), person()], occurred_at=NOW)).participants) == 2


def test_a_bad_message_has_no_events() -> None:
    """An event is taken whole or not at all."""
    decoded = decode(message(json.dumps(payload(participants=[person(), 7])).encode()), "event")
    assert decoded.events == ()
    assert decoded.problem is not None
