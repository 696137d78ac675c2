"""Operator events as messages: what is written is read, and nothing in the topic can stop a reader."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadMessage
from schemas.events import EventKey, Message, parse_position
from schemas.identifiers import Identifier
from schemas.operations import MAX_OPERATION_BYTES, Operation, decode_operation, encode_operation
from schemas.rules import Rules

NOW_MS = 1_767_600_000_000
ID = "0123456789abcdef" * 2
ADA = Identifier("person", "email", "ada@acme.example")
BO = Identifier("person", "user_id", "u-9")
KEYS = (b"a" * 16, b"b" * 16)

OPERATIONS = [
    Operation("together", "person", "acme", ID, "eve", "she wrote", (ADA, BO)),
    Operation("apart", "person", "acme", ID, "eve", "", (BO, ADA)),
    Operation("block", "person", "acme", ID, "eve", "", (ADA,)),
    Operation("unblock", "person", "acme", ID, "eve", "", (ADA,)),
    Operation("release", "group", "acme", ID, "eve", "", (Identifier("group", "domain", "acme.de"),)),
    Operation("erase", "person", "acme", ID, "eve", "her request", (), KEYS[:1], KEYS[1:]),
    Operation("retract", "person", "acme", ID, "eve", "", event=EventKey("app", "e:1"), touched=KEYS),
]


def message(value: bytes | None, timestamp_ms: int = NOW_MS) -> Message:
    """Give a message of the control topic."""
    return Message("nexus-operations", 0, 7, 8, timestamp_ms, value)


def written(**changes: Any) -> dict[str, Any]:
    """Give the JSON of a good `block`, with changes; a value of ... takes a field out."""
    fields = {**json.loads(encode_operation(OPERATIONS[2])), **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def refused(value: bytes | None, timestamp_ms: int = NOW_MS) -> BadMessage:
    """Give the reason why a message is no operator event."""
    with pytest.raises(BadMessage) as caught:
        decode_operation(message(value, timestamp_ms), "acme")
    return caught.value


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.kind)
def test_what_is_written_is_read(operation: Operation) -> None:
    """Every kind survives its message."""
    assert decode_operation(message(encode_operation(operation)), "acme") == operation


def test_an_erasure_holds_no_value() -> None:
    """It must not keep what it is there to remove: keys in hex, and what people wrote."""
    fields = json.loads(encode_operation(OPERATIONS[5]))
    assert fields.keys() == {
        "operation", "operation_id", "namespace", "who", "why", "entity_type", "erased", "blocked"
    }  # fmt: skip
    assert fields["erased"] == [KEYS[0].hex()]


@pytest.mark.parametrize(
    "wrong", [{"source": ""}, {"event_id": "a\nb"}, {"event_id": ...}, {"touched": ["ab"]}]
)
def test_a_retraction_names_an_event(wrong: dict[str, Any]) -> None:
    """Source and id as an event may have them, and whole keys."""
    fields = {**json.loads(encode_operation(OPERATIONS[6])), **wrong}
    text = json.dumps({name: value for name, value in fields.items() if value is not ...})
    assert refused(text.encode()).reason == "schema"


def test_its_log_position_is_its_place_among_the_events() -> None:
    """The broker's instant, the source of all operator events, the operation's own id."""
    assert parse_position(OPERATIONS[0].position(NOW_MS)) == (NOW_MS, "nexus-operator", ID)


def test_another_namespace_is_not_ours_to_judge() -> None:
    """Namespaces that share a topic by mistake leave each other alone, whatever is in there."""
    value = encode_operation(OPERATIONS[0])
    assert decode_operation(message(value), "other") is None
    assert decode_operation(message(json.dumps(written(operation="frob")).encode()), "other") is None


def test_values_are_normalised_as_those_of_events() -> None:
    """By the rules of the namespace: a message that somebody wrote by hand means the same."""
    rules = Rules.from_data({"identifiers": {"email": {"ignore_gmail": ["dots"]}}})
    value = json.dumps(
        written(identifier={"entity_type": "person", "type": "email", "value": " A.da@Gmail.com"})
    ).encode()
    operation = decode_operation(message(value), "acme", rules.identifier)
    assert operation is not None
    assert operation.identifiers[0].identifier_value == "ada@gmail.com"


def test_keys_count_once_and_are_erased_rather_than_blocked() -> None:
    """However often and where an erasure names a key."""
    fields = json.loads(encode_operation(OPERATIONS[5]))
    fields["erased"] *= 2
    fields["blocked"] = [*fields["erased"], KEYS[1].hex()]
    operation = decode_operation(message(json.dumps(fields).encode()), "acme")
    assert operation is not None
    assert (operation.erased, operation.blocked) == (KEYS[:1], KEYS[1:])


WRONG = {
    "nothing": (None, "tombstone"),
    "no JSON": (b"block ada", "not-json"),
    "no object": (b"[]", "schema"),
    "an operation of tomorrow": (written(operation="frob"), "unknown-operation"),
    "no operation": (written(operation=...), "schema"),
    "no namespace": (written(namespace=...), "schema"),
    "no id": (written(operation_id=...), "schema"),
    "a short id": (written(operation_id="ab"), "schema"),
    "nobody": (written(who=""), "schema"),
    "a who of two lines": (written(who="a\nb"), "schema"),
    "a long reason": (written(why="x" * 2_000), "limit"),
    "a field too many": (written(until="tomorrow"), "schema"),
    "a pair with one": (written(operation="apart"), "schema"),
    "one that is a number": (written(identifier=7), "schema"),
    "a value without a normal form": (
        written(identifier={"entity_type": "person", "type": "email", "value": "canary"}), "schema"
    ),
    "a pair of the same": (
        written(
            operation="apart", identifier=...,
            a={"entity_type": "person", "type": "email", "value": "a@b.example"},
            b={"entity_type": "person", "type": "email", "value": "A@b.example"},
        ), "schema",
    ),
    "a pair of a person and a group": (
        written(
            operation="together", identifier=...,
            a={"entity_type": "person", "type": "user_id", "value": "u"},
            b={"entity_type": "group", "type": "user_id", "value": "u"},
        ), "schema",
    ),
    "an erasure of nobody": (
        written(operation="erase", identifier=..., entity_type="person", erased=[]), "schema"
    ),
    "a key that is none": (
        written(operation="erase", identifier=..., entity_type="person", erased=["zz"]), "schema"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_has_a_reason(value: Any, reason: str) -> None:
    """A bad message has a reason of its own, and the detail quotes nothing of it."""
    text = json.dumps(value).encode() if isinstance(value, dict) else value
    problem = refused(text)
    assert problem.reason == reason
    assert "canary" not in problem.detail
    assert "until" not in problem.detail


def test_a_message_has_a_limit() -> None:
    """Beyond it nothing is parsed."""
    assert refused(b" " * (MAX_OPERATION_BYTES + 1)).reason == "limit"


def test_without_an_instant_there_is_no_place_in_the_log() -> None:
    """Of two that contradict each other nobody could tell the later one."""
    assert refused(encode_operation(OPERATIONS[0]), -1).reason == "no-timestamp"


@given(st.binary() | st.from_regex(rb'\{"namespace": "acme", .*\}', fullmatch=True))
def test_nothing_that_is_written_stops_a_reader(value: bytes) -> None:
    """Whatever the bytes, it is an operator event, another namespace's, or a BadMessage."""
    with suppress(BadMessage):
        decode_operation(message(value), "acme")
