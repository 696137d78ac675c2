"""Segment calls: whom they name, when, and what they do not say."""

from typing import Any

import pytest

from schemas.decode import decode
from schemas.events import Membership
from tests.schemas.messages import NOW_MS, as_bytes, decode_one, message, names, problem_of


def call(kind: str = "identify", **fields: Any) -> dict[str, Any]:
    """A call of user u-1 with the fields that its type requires; a field set to `...` is left out."""
    required = {
        "track": {"event": "Report Opened"},
        "alias": {"previousId": "a-1"},
        "group": {"groupId": "g-1"},
    }
    whole = {"type": kind, "userId": "u-1", "messageId": "m-1", **required.get(kind, {}), **fields}
    return {name: value for name, value in whole.items() if value is not ...}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (call("track", anonymousId="a-1"), {"user_id=u-1", "anonymous_id=a-1"}),
        (call("page", userId=None, anonymousId="a-1"), {"anonymous_id=a-1"}),
        (call("screen", userId=42), {"user_id=42"}),
        (call(userId="", traits={"email": "Ada@Acme.test "}), {"email=ada@acme.test"}),
        (
            call(traits={"email": "a@acme.test", "phone": "+1 201-555-0123"}),
            {"user_id=u-1", "email=a@acme.test", "phone=+12015550123"},
        ),
        (
            call(traits={"emailAddress": "a@acme.test", "phone_number": "+12015550123"}),
            {"user_id=u-1", "email=a@acme.test", "phone=+12015550123"},
        ),
        (call("page", context={"traits": {"email": "a@acme.test"}}), {"user_id=u-1", "email=a@acme.test"}),
        (call(email="a@acme.test"), {"user_id=u-1", "email=a@acme.test"}),
        (call(userId="ada@acme.test"), {"user_id=ada@acme.test"}),
        (call(traits={"emailId": "a@acme.test", "managerEmail": "b@acme.test"}), {"user_id=u-1"}),
        (call(traits={"email": 7, "phone": None}), {"user_id=u-1"}),
        (call(context={"device": {"id": "d-1", "advertisingId": "d-2"}, "ip": "10.0.0.1"}), {"user_id=u-1"}),
        (call(traits=[], properties=[], context=None), {"user_id=u-1"}),
        (call("alias"), {"user_id=u-1", "previous_id=a-1"}),
        (call("identify", previousId="a-1"), {"user_id=u-1"}),
        (call("group", anonymousId="a-1"), {"user_id=u-1", "anonymous_id=a-1", "group_id=g-1"}),
        (call("group", traits={"email": "office@acme.test"}), {"user_id=u-1", "group_id=g-1"}),
        (
            call("group", context={"traits": {"email": "a@acme.test"}}),
            {"user_id=u-1", "group_id=g-1", "email=a@acme.test"},
        ),
        (call("group", properties={"email": "office@acme.test"}), {"user_id=u-1", "group_id=g-1"}),
        (call("track", context={"groupId": "g-1"}), {"user_id=u-1", "group_id=g-1"}),
        (call("track", context={"groupId": ["g-1"]}), {"user_id=u-1"}),
    ],
)
def test_whom_a_call_names(payload: dict[str, Any], expected: set[str]) -> None:
    """Every identifier of the user and the group is found, and none is invented."""
    assert names(decode_one(payload, "segment")) == expected


@pytest.mark.parametrize(
    "event",
    [
        "Signed Up",
        "signed_up",
        "User Signed Up",
        "userSignedUp",
        "Member Registered",
        "Trial Started",
        "Newsletter Subscribed",
        "Preferences Saved",
        "Account Created",
        "Order Completed",
    ],
)
def test_an_address_in_the_properties_is_the_users_own(event: str) -> None:
    """People who sign up, subscribe or order give their own address."""
    payload = call("track", event=event, properties={"email": "a@acme.test"})
    assert names(decode_one(payload, "segment")) == {"user_id=u-1", "email=a@acme.test"}


@pytest.mark.parametrize(
    "event",
    [
        "User Invited",
        "invite_sent",
        "inviteSent",
        "Friend Referred",
        "Account Added User",
        "Contact Added",
        "Contacts Imported",
        "Removed member",
        "Gift Card Sent",
        "Document Shared",
    ],
)
def test_an_address_of_somebody_else_is_not_the_users(event: str) -> None:
    """Whoever invites a colleague does not become one with them."""
    payload = call("track", event=event, properties={"email": "b@acme.test", "phone": "+12015550123"})
    assert names(decode_one(payload, "segment")) == {"user_id=u-1"}


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, NOW_MS),
        (
            {"timestamp": "2026-01-05T09:00:00.123456789Z", "originalTimestamp": "2026-01-04T00:00:00Z"},
            NOW_MS - 3_599_877,
        ),
        ({"originalTimestamp": "2026-01-05T09:00:00Z", "sentAt": "2026-01-04T00:00:00Z"}, NOW_MS - 3_600_000),
        ({"timestamp": None, "sentAt": "2026-01-05T09:00:00+00:00"}, NOW_MS - 3_600_000),
        ({"receivedAt": "2026-01-04T00:00:00Z"}, NOW_MS),
        ({"timestamp": "2999-01-01T00:00:00Z"}, NOW_MS),
    ],
)
def test_when_a_call_happened(times: dict[str, Any], expected: int) -> None:
    """`timestamp`, else `originalTimestamp`, else `sentAt`, else on arrival."""
    assert decode_one(call(**times), "segment").occurred_at_ms == expected


def test_a_track_call_is_called_by_its_event() -> None:
    """The name of a track call is its own, of the others their type."""
    tracked, paged = decode_one(call("track"), "segment"), decode_one(call("page", name="Home"), "segment")
    assert (tracked.source, tracked.event_id, tracked.event_name, tracked.event_type) == (
        "segment",
        "m-1",
        "Report Opened",
        "track",
    )
    assert (paged.event_name, paged.event_type) == ("page", "page")


def test_a_call_without_message_id_has_an_id_of_its_own() -> None:
    """The same call sent twice is one event, however it is written; another call is another."""
    one = decode_one(b'{"type": "page", "userId": "u", "name": "Home"}', "segment")
    same = decode_one(b'{"name":"Home","userId":"u","type":"page"}', "segment")
    other = decode_one(b'{"name":"Away","userId":"u","type":"page"}', "segment")
    assert one.event_id == same.event_id != other.event_id


def test_traits_go_to_whom_they_describe() -> None:
    """Of a group call they are the group's, `context.traits` are the user's, and newer traits win."""
    event = decode_one(
        call("group", traits={"name": "Acme", "total billed": 8}, context={"traits": {"name": "Ada"}}),
        "segment",
    )
    assert [dict(each.traits) for each in event.participants] == [
        {"name": "Ada"},
        {"name": "Acme", "total billed": 8},
    ]
    event = decode_one(
        call(traits={"plan": "pro"}, context={"traits": {"plan": "free", "age": 3}}), "segment"
    )
    assert event.participants[0].traits == {"plan": "pro", "age": 3}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (call("group"), (Membership("user", "group", None, ended=False),)),
        (call("track", context={"groupId": "g-1"}), ()),
        (
            call(
                "track", event="Account Added User", context={"groupId": "g-1"}, properties={"role": "Owner"}
            ),
            (Membership("user", "group", "Owner", ended=False),),
        ),
        (
            call("track", event="Account Removed User", context={"groupId": "g-1"}, properties={"role": 7}),
            (Membership("user", "group", None, ended=True),),
        ),
        (call("track", event="Account Added User"), ()),
    ],
)
def test_who_belongs_to_whom(payload: dict[str, Any], expected: tuple[Membership, ...]) -> None:
    """A group call says so, and Segment's own events about members; acting in a group's context does not."""
    assert decode_one(payload, "segment").memberships == expected


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        (call("identify", userId=...), "no-participants", "participants"),
        (call("identify", userId=" ", email="nobody"), "no-participants", "participants"),
        ({"type": "alias", "Previous ID": "a", "User ID": "b"}, "schema", "userId"),
        (call("alias", previousId=...), "schema", "previousId"),
        (call("alias", userId=..., anonymousId="a-1"), "schema", "userId"),
        (call("group", groupId=...), "schema", "groupId"),
        (call("track", event=...), "schema", "event"),
        (call("delete"), "schema", "type"),
        ({"userId": "u-1"}, "schema", "type"),
        (call(userId=["u-1"]), "schema", "userId.str"),
        (call(userId=True), "schema", "userId.str"),
        (call(userId=1.5), "schema", "userId.str"),
        (call(traits="email"), "schema", "traits.dict[str,any]"),
        (call(messageId=7), "schema", "messageId"),
        (call(messageId=300 * "m"), "limit", "event_id"),
        (call(userId=1025 * "u"), "limit", "participants.0.identifiers"),
        (call(timestamp="2026-01-05T10:00:00"), "instant", "timestamp"),
        (call(timestamp=1767607200), "schema", "timestamp"),
        ({"batch": {}}, "schema", "batch"),
    ],
)
def test_what_is_no_call(payload: dict[str, Any], reason: str, path: str) -> None:
    """A call that Segment's spec does not allow is a dead letter that says where."""
    problem = problem_of(payload, "segment")
    assert (problem.reason, problem.detail.split(":")[0]) == (reason, path)


def test_a_batch_is_its_calls() -> None:
    """Each call of an envelope is an event; the envelope's context and time stand in where it has none."""
    envelope = {
        "batch": [
            call("page", messageId="m-1"),
            call("track", messageId="m-2", timestamp="2026-01-05T08:00:00Z"),
        ],
        "context": {"groupId": "g-1"},
        "sentAt": "2026-01-05T09:00:00Z",
    }
    decoded = decode(message(as_bytes(envelope)), "segment")
    assert decoded.problem is None
    assert [each.event_id for each in decoded.events] == ["m-1", "m-2"]
    assert [each.occurred_at_ms for each in decoded.events] == [NOW_MS - 3_600_000, NOW_MS - 7_200_000]
    assert all("group_id=g-1" in names(each) for each in decoded.events)


def test_a_bad_call_does_not_take_its_batch_with_it() -> None:
    """The good calls are taken, and the message is a dead letter for the first of the others."""
    envelope = {"batch": [call("page"), 7, call("alias", previousId=...), call("screen", messageId="m-2")]}
    decoded = decode(message(as_bytes(envelope)), "segment")
    assert [each.event_id for each in decoded.events] == ["m-1", "m-2"]
    assert decoded.problem is not None
    assert decoded.problem.detail.startswith("batch.1: ")


def test_an_empty_batch_is_skipped() -> None:
    """An envelope without calls concerns nobody, and nothing is wrong with it."""
    decoded = decode(message(b'{"batch": []}'), "segment")
    assert (decoded.events, decoded.problem) == ((), None)
    assert decoded.skipped


def test_a_number_without_its_country_is_rejected_and_the_call_lives() -> None:
    """What cannot be normalised is kept with the event as a reason."""
    event = decode_one(call(traits={"phone": "410-555-9412"}), "segment")
    assert names(event) == {"user_id=u-1"}
    assert [(each.ref, each.identifier_type) for each in event.rejected] == [("user", "phone")]
