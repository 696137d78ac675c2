"""The one door: bytes in, events or a reason out, and never an exception."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import decode as decode_module
from schemas.decode import decode, format_of
from schemas.events import Json, Message
from schemas.identifiers import MakeIdentifier
from schemas.sources import FORMATS
from tests.schemas.messages import NOW_MS, decode_one, message, payload, person, problem_of

_GOOD = json.dumps(payload()).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "not-json"),
        (b"\xef\xbb\xbf" + _GOOD, "byte-order-mark"),
        (_GOOD.decode().encode("utf-16"), "not-utf8"),
        (100_000 * b"[" + 100_000 * b"]", "too-deep"),
        (_GOOD.replace(b"{", b'{"event_id": "other",', 1), "duplicate-key"),
        (_GOOD.replace(b"signed_up", b"\\ud800"), "lone-surrogate"),
        (b'{"a":"' + 1024 * 1024 * b"x" + b'"}', "limit"),
        (b"[]", "schema"),
        (b"null", "schema"),
        (b'"text"', "schema"),
        (b"7", "schema"),
        (b"[" + _GOOD + b"]", "schema"),
        (b"<!doctype html><title>502</title>", "not-json"),
    ],
)
@pytest.mark.parametrize("format_name", list(FORMATS))
def test_poison_is_a_value(format_name: str, value: bytes | None, reason: str) -> None:
    """Whatever the format, what no source sends becomes a reason."""
    assert problem_of(value, format_name).reason == reason


def test_a_message_of_exactly_one_mib_is_taken() -> None:
    """The limit on a message is what it may have, not what it may not."""
    padding = 1024 * 1024 - len(json.dumps(payload(more="")))
    assert decode_one(payload(more=padding * "x")).event_id == "e-1"
    assert problem_of(payload(more=(padding + 1) * "x")).reason == "limit"


def test_the_header_wins_over_the_topic() -> None:
    """A message may say its own format, so that one topic can hold several."""
    call = {"type": "page", "userId": "u", "messageId": "m"}
    event = decode_one(call, "event", headers=(("nexus-format", b"segment"),))
    assert event.source == "segment"


@pytest.mark.parametrize("header", [b"", b"Event", b"\xff", b"event "])
def test_an_unknown_format_is_a_problem_of_the_message(header: bytes) -> None:
    """The reason lists the formats that exist, and not the one that was asked for."""
    problem = problem_of(payload(), headers=(("nexus-format", header),))
    assert problem.reason == "unknown-format"
    assert "event, segment, stripe" in problem.detail


def test_a_format_must_be_named() -> None:
    """Nothing is guessed from the look of a payload."""
    assert problem_of(payload(), None).reason == "unknown-format"


def test_the_name_of_a_format_can_be_asked_for() -> None:
    """Dead letters say how the message was read, also if the name is not UTF-8."""
    assert format_of(message(b""), "stripe") == "stripe"
    assert format_of(message(b"", headers=(("nexus-format", b"\xff"),)), "stripe") == "\ufffd"


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 253_402_300_800_000, 2**63])
@pytest.mark.parametrize("format_name", list(FORMATS))
def test_an_impossible_timestamp_is_a_problem_of_the_message(format_name: str, timestamp_ms: int) -> None:
    """A broker that stamps nothing (-1) gives no log position."""
    assert problem_of(payload(), format_name, timestamp_ms=timestamp_ms).reason == "no-timestamp"


def test_a_bug_in_a_source_does_not_stop_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a mapping raises what it should not, the message dies and the error's type is its epitaph."""

    class Broken:
        name = "broken"

        def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Any:
            raise ZeroDivisionError(payload)

    monkeypatch.setattr(decode_module, "FORMATS", {"broken": Broken()})
    problem = problem_of({"email": "canary@acme.test"}, "broken")
    assert problem.reason == "unexpected"
    assert problem.detail == "message: ZeroDivisionError while reading it"


_KEYS = st.sampled_from(
    [
        *(
            "event_id",
            "source",
            "event_name",
            "occurred_at",
            "participants",
            "ref",
            "entity_type",
            "identifiers",
        ),
        *("type", "value", "traits", "memberships", "person", "group", "states", "of", "state_value", "name"),
        *(
            "measurements",
            "userId",
            "anonymousId",
            "previousId",
            "groupId",
            "messageId",
            "timestamp",
            "event",
        ),
        *("context", "batch", "properties", "email", "phone", "id", "created", "data", "object", "customer"),
        *("customer_details", "billing_details", "charges", "latest_charge", "amount", "currency"),
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        [
            "person",
            "group",
            "identify",
            "alias",
            "customer",
            "usd",
            "2026-01-05T10:00:00Z",
            "0000-01-01T00:00:00Z",
            10**400,
            2**63,
        ]
    ),
)
_TREES = st.recursive(
    _LEAVES, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(_KEYS, kids, max_size=6), max_leaves=30
)


@given(st.sampled_from(list(FORMATS)), _TREES, st.binary(max_size=20))
def test_nothing_raises_and_nothing_is_a_bug(format_name: str, tree: Any, garbage: bytes) -> None:
    """Any JSON and any bytes give events, a reason, or a skip, and the reason is never a bug of ours."""
    for value in (json.dumps(tree).encode(), garbage):
        decoded = decode(message(value), format_name)
        assert decoded.problem is None or decoded.problem.reason != "unexpected"
        assert decoded.events or decoded.problem or decoded.skipped


_ENVELOPES = {"type": "identify", "messageId": "m", "id": "evt_1", "created": 1}


@pytest.mark.parametrize("format_name", list(FORMATS))
@pytest.mark.parametrize(
    "mutant",
    [
        {**_ENVELOPES, "data": {"object": {}}},
        {**payload(), **_ENVELOPES, "userId": "u", "data": {"object": {"customer": "c"}}},
    ],
)
@given(path=st.lists(st.integers(0, 9), max_size=4), leaf=_LEAVES)
def test_a_wrong_type_anywhere_is_no_bug(
    format_name: str, mutant: dict[str, Any], path: list[int], leaf: Any
) -> None:
    """Good messages with one node replaced by anything still give events, a reason, or a skip."""
    tree = json.loads(json.dumps(mutant))
    node = tree
    for step in path[:-1]:
        children = (
            list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        )
        if not children:
            break
        child = node[children[step % len(children)]]
        if not isinstance(child, dict | list) or not child:
            break
        node = child
    if isinstance(node, dict) and node:
        node[list(node)[(path or [0])[-1] % len(node)]] = leaf
    decoded = decode(message(json.dumps(tree).encode()), format_name)
    assert decoded.problem is None or decoded.problem.reason != "unexpected"


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_no_reason_repeats_what_a_person_wrote(format_name: str) -> None:
    """A canary in every place of a bad message never comes out in its reason."""
    canary = "canary@acme.test"
    bad: list[Any] = [
        {canary: canary},
        payload(occurred_at=canary),
        payload(participants=[{**person(canary), "entity_type": canary}]),
        payload(participants=[{**person(), "traits": {canary + "\0": 1}}]),
        payload(participants=[{**person(), "ref": canary + 300 * "x"}]),
        payload(participants=[person(canary, kind=canary)]),
        payload(participants=[person(canary + "@")]),
        payload(memberships=[{"person": canary, "group": canary}]),
        {"type": canary, "userId": canary},
        {"type": "identify", "userId": {canary: canary}},
        {"type": "identify", "userId": canary, "timestamp": canary},
        {"type": "alias", "userId": canary},
        {"id": canary, "type": canary, "created": canary, "data": {"object": {canary: canary}}},
    ]
    for each in bad:
        decoded = decode(message(json.dumps(each).encode()), format_name)
        assert canary not in str(decoded.problem)
        assert all(canary not in str(event.rejected) for event in decoded.events)


@pytest.mark.parametrize(
    "value",
    [
        payload(participants=16_000 * [{"entity_type": "person", "identifiers": []}]),
        payload(
            participants=[{"entity_type": "person", "identifiers": 20_000 * [{"type": "a", "value": "b"}]}]
        ),
        payload(
            participants=200
            * [{"entity_type": "person", "identifiers": 60 * [{"type": "phone", "value": "+x"}]}]
        ),
        payload(
            participants=250
            * [{"entity_type": "person", "identifiers": 3 * [{"type": "phone", "value": 1000 * "1"}]}]
        ),
        payload(
            participants=250
            * [{"entity_type": "person", "identifiers": 3 * [{"type": "email", "value": 500 * "ü" + "@ü"}]}]
        ),
        payload(participants=[person(traits={f"n{number}": None for number in range(60_000)})]),
        {"batch": 20_000 * [{"type": "page", "userId": "u"}]},
    ],
)
def test_a_mib_of_anything_is_decoded_in_time(value: dict[str, Any]) -> None:
    """The worst megabyte takes seconds at most, so that one producer cannot delay the others for long."""
    started = time.process_time()
    decode(message(json.dumps(value).encode()), "segment" if "batch" in value else "event")
    assert time.process_time() - started < 3


def test_decoding_is_a_pure_function() -> None:
    """The same message gives equal events, now and in every replay."""
    assert decode(message(_GOOD), "event") == decode(message(_GOOD), "event")
    assert decode(message(_GOOD), "event").events[0].ingested_at_ms == NOW_MS
