"""Gmail messages: who wrote to whom, for which company, and when."""

import json
from typing import Any

import pytest

from schemas.decode import decode
from tests.schemas.messages import NOW_MS, as_bytes, decode_one, message, names, problem_of


def mail(**headers: str) -> dict[str, Any]:
    """A message with these headers, `From` and `To` unless they are given."""
    given = {"From": "Ada <ada@acme.test>", "To": "bob@hill.test", **headers}
    return {
        "id": "m-1",
        "internalDate": "1767600000000",
        "payload": {"headers": [{"name": name, "value": value} for name, value in given.items() if value]},
    }


def flat(**changes: Any) -> dict[str, Any]:
    """A message as connectors write it."""
    return {
        "id": "m-1",
        "date": "2026-01-05T08:00:00Z",
        "sender": "Ada <ada@acme.test>",
        "recipients": "bob@hill.test, Eve <eve@hill.test>",
        **changes,
    }


def test_sender_and_recipients_have_roles() -> None:
    """Everybody in an address header is a participant, in the role of the header."""
    event = decode_one(mail(Cc="c@hill.test", Bcc="d@hill.test"), "gmail")
    people = [(who.role, who.identifiers[0].identifier_value) for who in event.participants if who.role]
    assert people == [
        ("sender", "ada@acme.test"),
        ("recipient", "bob@hill.test"),
        ("cc", "c@hill.test"),
        ("bcc", "d@hill.test"),
    ]
    assert (event.source, event.event_id, event.event_name, event.event_type) == (
        "gmail",
        "m-1",
        "message",
        "email",
    )


def test_people_belong_to_the_companies_of_their_addresses() -> None:
    """One group for each domain, sub-domains folded, and a membership for each person of it."""
    event = decode_one(mail(To="bob@mail.acme.test, eve@hill.test"), "gmail")
    assert {name for name in names(event) if name.startswith("domain")} == {
        "domain=acme.test",
        "domain=hill.test",
    }
    assert [(each.person, each.group) for each in event.memberships] == [
        ("sender-1", "acme.test"),
        ("recipient-2", "acme.test"),
        ("recipient-3", "hill.test"),
    ]


@pytest.mark.parametrize("address", ["ada@gmail.com", "ada@web.de", "ada@localhost", "a b@acme.test"])
def test_free_mail_and_no_address_make_no_company(address: str) -> None:
    """Everybody may have a mailbox there, and what is no address is nobody's."""
    event = decode_one(mail(From=address), "gmail")
    assert [name for name in names(event) if name.startswith("domain")] == ["domain=hill.test"]


def test_nobody_is_named_by_other_headers() -> None:
    """Machines write Reply-To and Return-Path; the names of headers may be in any case."""
    payload = mail(
        From="", To="", **{"Reply-To": "x@acme.test", "Return-Path": "<y@acme.test>", "fRoM": "a@b.test"}
    )
    assert names(decode_one(payload, "gmail")) == {"email=a@b.test", "domain=b.test"}


def test_whoever_is_named_twice_is_one_participant() -> None:
    """The same address in the same header counts once; in another header it has another role."""
    event = decode_one(mail(To="ada@acme.test, ada@acme.test", From="ada@acme.test"), "gmail")
    assert [who.role for who in event.participants if who.role] == ["sender", "recipient"]
    assert len(event.memberships) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1_767_600_000_000),
        ({"internalDate": 1_767_600_000_001}, 1_767_600_000_001),
        ({"internalDate": None}, NOW_MS),
    ],
)
def test_when_a_mail_came(changes: dict[str, Any], expected: int) -> None:
    """Gmail's own date counts; without any date it is the arrival here."""
    assert decode_one({**mail(), **changes}, "gmail").occurred_at_ms == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Mon, 5 Jan 2026 10:00:00 +0200", 1_767_600_000_000),
        ("Mon, 5 Jan 2026 08:00:00 -0000", 1_767_600_000_000),
        ("yesterday", NOW_MS),
    ],
)
def test_the_date_header_is_second(date: str, expected: int) -> None:
    """It is read where Gmail's date is missing, and passed over where a stranger wrote nonsense."""
    assert decode_one({**mail(Date=date), "internalDate": None}, "gmail").occurred_at_ms == expected


def test_a_draft_was_not_sent() -> None:
    """A draft is an event of its own name, so that no rule takes it for a message."""
    assert decode_one({**mail(), "labelIds": ["DRAFT"]}, "gmail").event_name == "draft"


@pytest.mark.parametrize("wrapped", [flat(), {"record": flat()}, {"record": json.dumps(flat())}])
def test_what_connectors_make_of_a_mail(wrapped: dict[str, Any]) -> None:
    """The flat shape says the same, also inside of a row, as text or as an object."""
    event = decode_one(wrapped, "gmail")
    assert [(who.role, dict(who.traits)) for who in event.participants if who.role] == [
        ("sender", {"name": "Ada"}),
        ("recipient", {}),
        ("recipient", {"name": "Eve"}),
    ]
    assert event.occurred_at_ms == 1_767_600_000_000


def test_a_thread_is_its_messages() -> None:
    """The good ones are taken even where another is at fault."""
    decoded = decode(message(as_bytes({"messages": [mail(), {"id": "m-2"}]})), "gmail")
    assert [event.event_id for event in decoded.events] == ["m-1"]
    assert decoded.problem is not None
    assert decoded.problem.detail.startswith("messages.1: payload:")


def test_a_mail_to_nobody_is_skipped() -> None:
    """Undisclosed recipients and no sender leave nobody, which is no fault."""
    decoded = decode(message(as_bytes(mail(From="", To="undisclosed-recipients:;"))), "gmail")
    assert (decoded.events, decoded.problem, decoded.skipped) == ((), None, "no person or group in it")


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        ({**mail(), "id": 7}, "schema", "id"),
        ({"id": "m-1"}, "schema", "payload"),
        ({"id": "m-1", "payload": {}}, "schema", "payload.headers"),
        ({"id": "m-1", "payload": {"headers": [{"name": "From"}]}}, "schema", "payload.headers.0.value"),
        ({**mail(), "internalDate": "soon"}, "instant", "internalDate"),
        ({**mail(), "internalDate": "9" * 15}, "instant", "internalDate"),
        (flat(sender=7), "schema", "sender"),
        (flat(date="2026-01-05"), "instant", "date"),
        ({"record": "{"}, "not-json", "record"),
        ({"messages": {}}, "schema", "messages"),
    ],
)
def test_what_is_no_mail(payload: dict[str, Any], reason: str, path: str) -> None:
    """The field that is wrong or missing is named."""
    problem = problem_of(payload, "gmail")
    assert (problem.reason, problem.detail.split(":")[0]) == (reason, path)
