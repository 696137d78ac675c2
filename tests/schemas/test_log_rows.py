"""Rows of the event log, as they are made from messages, operator events and transitions."""

from typing import Any

from schemas.erased_rows import without_erased
from schemas.erasures import Erasures
from schemas.events import EventKey, Message, log_position
from schemas.identifiers import Identifier, Keyring
from schemas.log_rows import LogRows, Row, Rows, add_transition, set_key
from schemas.operations import Operation
from schemas.rules import Rules
from schemas.tables import Column, tables
from schemas.transitions import Cause, EntitiesMerged
from tests.schemas.messages import NOW_MS, decode_one, message, payload, person

KEYRING = Keyring("acme")
ADA = Identifier("person", "email", "ada@acme.test")

_TYPES: dict[str, Any] = {
    "text": str, "bytes": bytes, "int": int, "float": float, "bool": bool, "instant": int, "json": str
}  # fmt: skip


def rows_of(value: Any, erasures: Erasures | None = None) -> Rows:
    """The rows of a message with one event."""
    rows: Rows = {}
    LogRows(KEYRING, erasures or Erasures(KEYRING)).add_events(rows, message(b""), [decode_one(value)])
    fit(rows)
    return rows


def fit(rows: Rows) -> None:
    """Every row has what its table says."""
    for name, found in rows.items():
        for row in found:
            assert len(row) == len(tables()[name].columns), name
            for column, value in zip(tables()[name].columns, row, strict=True):
                assert _fits(column, value), (name, column.name, value)


def _fits(column: Column, value: Any) -> bool:
    return (value is None and not column.is_required) or type(value) is _TYPES[column.type]


def cells(rows: Rows, table: str, *columns: str) -> list[Row]:
    """Some columns of a table."""
    return [tuple(row[tables()[table].place(name)] for name in columns) for row in rows.get(table, ())]


def full(**changes: Any) -> dict[str, Any]:
    """An event that has something for every table."""
    who = person(ref="a", traits={"seats": 3, "gone": None})
    company = {
        "ref": "b",
        "entity_type": "group",
        "identifiers": [{"type": "domain", "value": "acme.test"}, {"type": "domain", "value": "not one"}],
        "traits": {"size": "large"},
    }
    return payload(
        participants=[who, company],
        memberships=[{"person": "a", "group": "b", "role": "owner"}],
        states=[{"of": "a", "state_name": "paying", "state_value": "yes"}],
        measurements=[{"name": "amount", "value": -0.0, "unit": "USD"}],
        **changes,
    )


def erased(one: Identifier, at_ms: int) -> Erasures:
    """It was erased at that instant."""
    erasures = Erasures(KEYRING)
    erasures.learn([KEYRING.key(one)], log_position(at_ms, "nexus-operator", "0"))
    return erasures


def test_an_event_fills_the_tables() -> None:
    """Everything that an event says is in one row of the table for it."""
    rows = rows_of(full())
    assert {name: len(found) for name, found in rows.items()} == {
        "nexus_events": 1,
        "nexus_person_identifiers": 1,
        "nexus_group_identifiers": 1,
        "nexus_person_traits": 2,
        "nexus_group_traits": 1,
        "nexus_membership_identifiers": 1,
        "nexus_state_facts": 1,
        "nexus_event_measurements": 1,
    }
    assert cells(rows, "nexus_person_traits", "trait_name", "trait_value") == [
        ("seats", "3"),
        ("gone", "null"),
    ]
    assert cells(rows, "nexus_person_identifiers", "identifier_key", "log_offset") == [(KEYRING.key(ADA), 7)]
    assert str(cells(rows, "nexus_event_measurements", "value")[0][0]) == "0.0"


def test_equal_sets_have_one_key() -> None:
    """The key of a set does not depend on its order, and that of one identifier is the identifier's."""
    assert set_key(KEYRING, [b"b" * 16, b"a" * 16]) == set_key(KEYRING, [b"a" * 16, b"b" * 16])
    assert set_key(KEYRING, [b"a" * 16]) == b"a" * 16


def test_who_is_erased_leaves_no_row() -> None:
    """Who is erased leaves no row, nor does what is said of them; the others keep their place."""
    rows = rows_of(full(), erased(ADA, NOW_MS + 1))
    assert rows.keys() == {
        "nexus_events", "nexus_group_identifiers", "nexus_group_traits", "nexus_event_measurements"
    }  # fmt: skip
    assert cells(rows, "nexus_group_identifiers", "participant_index") == [(1,)]


def test_an_event_of_erased_leaves_no_row() -> None:
    """An event that names only who is erased leaves none at all."""
    assert rows_of(payload(), erased(ADA, NOW_MS + 1)) == {}


def test_who_came_back_has_another_key() -> None:
    """Above the erasure the identifier has a row, under the key of the new identifier."""
    erasures = erased(ADA, NOW_MS - 1)
    key = erasures.living(KEYRING.key(ADA), log_position(NOW_MS, "app", "e-1"))
    assert key != KEYRING.key(ADA)
    assert cells(rows_of(payload(), erasures), "nexus_person_identifiers", "identifier_key", "set_key") == [
        (key, key)
    ]


def operation_rows(operation: Operation, erasures: Erasures | None = None) -> Rows:
    """The rows of an operator event that came at `NOW_MS`."""
    rows: Rows = {}
    LogRows(KEYRING, erasures or Erasures(KEYRING)).add_operation(rows, control(), operation)
    fit(rows)
    return rows


def control() -> Message:
    """A message of the control topic."""
    return message(b"", topic="control")


def test_an_operator_event_names_keys_alone() -> None:
    """What an operator said of an identifier is kept without its value."""
    block = Operation("block", "person", "acme", "0" * 32, "bo", "shared", (ADA,))
    rows = operation_rows(block)
    assert cells(rows, "nexus_operator_events", "operation", "why") == [
        (f'{{"keys":["{KEYRING.key(ADA).hex()}"]}}', "shared")
    ]


def test_an_operator_event_about_erased_is_void() -> None:
    """Of an operator event below an erasure that covers it only the fact is left."""
    block = Operation("block", "person", "acme", "0" * 32, "bo", "Ada asked", (ADA,))
    rows = operation_rows(block, erased(ADA, NOW_MS + 1))
    assert cells(rows, "nexus_operator_events", "operation", "why") == [('{"keys":[]}', None)]


def test_an_erasure_keeps_its_keys() -> None:
    """An erasure has the keys that it erases, and those that it blocks."""
    erase = Operation("erase", "person", "acme", "0" * 32, "bo", "", (), (b"a" * 16,), (b"b" * 16,))
    assert cells(operation_rows(erase), "nexus_operator_events", "operation") == [
        (f'{{"blocked":["{(b"b" * 16).hex()}"],"keys":["{(b"a" * 16).hex()}"]}}',)
    ]


def test_a_retraction_names_its_event() -> None:
    """Source and id, and the keys of what it touched, whoever of these is erased later."""
    event = EventKey("app", "e1")
    retract = Operation("retract", "person", "acme", "0" * 32, "bo", "", event=event, touched=(b"a" * 16,))
    rows = operation_rows(retract)
    assert cells(rows, "nexus_operator_events", "kind", "operation") == [
        ("retract", f'{{"event_id":"e1","keys":["{(b"a" * 16).hex()}"],"source":"app"}}')
    ]
    assert without_erased(rows, erased(ADA, NOW_MS + 1)) == rows


def test_rules_are_rows() -> None:
    """Rules that an operator brought into force are in a table of their own, and read back the same."""
    rules = Rules.from_data({"traits": {"sources": ["crm"]}})
    rows = operation_rows(Operation("rules", "person", "acme", "0" * 32, "bo", "", rules=rules))
    ((version, text),) = cells(rows, "nexus_rules", "version", "rules")
    assert (version, Rules.from_json(text)) == (rules.version, rules)


def test_a_transition_is_a_row() -> None:
    """A transition keeps both entities, its cause and its text."""
    one, other = "per_" + "0" * 32, "per_" + "1" * 32
    merged = EntitiesMerged(
        transition_id="7",
        namespace="acme",
        generation=1,
        number=2,
        entity_type="person",
        entity_id=one,
        cause=Cause.at(NOW_MS, "app", "e"),
        absorbed_id=other,
        moved=1,
    )
    rows: Rows = {}
    add_transition(rows, merged)
    fit(rows)
    assert cells(rows, "nexus_transitions", "entity_id", "other_id", "occurred_at") == [(one, other, NOW_MS)]
