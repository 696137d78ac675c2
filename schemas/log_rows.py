"""From what was read to the rows of the event log, and back: see `schemas.tables` for what each column says.

Rows are tuples in the order of their table's columns. Instants are milliseconds since 1970 in UTC. The same
message gives the same rows, whoever makes them and whenever, as far as erasures are the same: of participants
that are erased there are none.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from schemas.erasures import Erasures
from schemas.events import (
    Event,
    Json,
    Measurement,
    Membership,
    Message,
    Participant,
    StateFact,
    parse_position,
)
from schemas.identifiers import ENTITY_TYPES, Identifier, Keyring
from schemas.instants import parse_instant
from schemas.operations import Operation
from schemas.strict_json import canonical
from schemas.transitions import Change, entity_keys, to_json

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = dict[str, list[Row]]
"""Rows by the name of their table. Tables without rows may be missing."""


class _Mentioned(NamedTuple):
    """A participant that is in the log: its place in the event, and who it is under the keys of today."""

    place: int
    participant: Participant
    keys: tuple[bytes, ...]
    set_key: bytes


def set_key(keyring: Keyring, keys: Iterable[bytes]) -> bytes:
    """The key of a set of identifiers that were named as one participant, whatever their order."""
    return keyring.handle(b"".join(sorted(keys)))


class LogRows:
    """Makes the rows of one namespace. `erasures` are those that are known; whoever learns of another one
    later takes out of the log what it covers, see `schemas.erased_rows`.
    """

    def __init__(self, keyring: Keyring, erasures: Erasures) -> None:
        self._keyring, self.erasures = keyring, erasures

    def add_events(self, rows: Rows, message: Message, events: Sequence[Event]) -> None:
        """The rows of the events that a message holds."""
        for index, event in enumerate(events):
            place = (
                message.topic,
                message.partition,
                message.offset,
                index,
                event.ingested_at_ms,
                event.position,
                event.source,
                event.event_id,
                event.occurred_at_ms,
            )
            self._add_event(rows, place, event)

    def _add_event(self, rows: Rows, place: Row, event: Event) -> None:
        mentioned = list(self._mentioned(event))
        if not mentioned:
            return  # all of them are erased, and an event that names nobody is nobody's
        rejected = _rejected(event) if event.rejected else "[]"
        _add(rows, "nexus_events", (*place, event.event_name, event.event_type, rejected))
        for one in mentioned:
            self._add_participant(rows, place, event, one)
        by_ref = {one.participant.ref: one for one in mentioned}
        _add_memberships(rows, place, event, by_ref)
        _add_states(rows, place, event, by_ref)
        for index, each in enumerate(event.measurements):
            measured = (*place, index, each.name, float(each.value) + 0.0, each.unit)  # there is one zero
            _add(rows, "nexus_event_measurements", measured)

    def _mentioned(self, event: Event) -> Iterator[_Mentioned]:
        for index, participant in enumerate(event.participants):
            named = map(self._keyring.key, participant.identifiers)
            keys = self.erasures.living_set(named, event.position)
            if keys is not None:
                yield _Mentioned(index, participant, keys, set_key(self._keyring, keys))

    def _add_participant(self, rows: Rows, place: Row, event: Event, one: _Mentioned) -> None:
        participant = one.participant
        identifiers = rows.setdefault(f"nexus_{participant.entity_type}_identifiers", [])
        for identifier, key in zip(participant.identifiers, one.keys, strict=True):
            named = (identifier.identifier_type, identifier.identifier_value, key, one.set_key)
            identifiers.append((*place, one.place, participant.role, event.event_name, *named))
        for name, value in participant.traits.items():
            trait = (*place, one.place, one.set_key, name, canonical(value).decode())
            _add(rows, f"nexus_{participant.entity_type}_traits", trait)

    def add_operation(self, rows: Rows, message: Message, operation: Operation) -> None:
        """The row of an operator event, and that of the rules that it brings."""
        ingested_at_ms = message.ingested_at_ms
        position = operation.position(ingested_at_ms)
        keys, why = self._operation_keys(operation, position), operation.why or None
        if keys is None:  # it is about somebody who is erased, and void
            keys, why = (), None
        said: dict[str, Any] = {"keys": [key.hex() for key in keys]}
        if operation.kind == "erase":
            said["blocked"] = [key.hex() for key in operation.blocked]
        if operation.event is not None:
            said |= operation.event._asdict()
        row = (
            message.topic,
            message.partition,
            message.offset,
            ingested_at_ms,
            position,
            operation.operation_id,
            operation.kind,
            operation.entity_type,
            canonical(said).decode(),
            operation.who,
            why,
        )
        _add(rows, "nexus_operator_events", row)
        if operation.rules is not None:
            rules = operation.rules
            _add(rows, "nexus_rules", (rules.version, position, ingested_at_ms, rules.to_json()))

    def _operation_keys(self, operation: Operation, position: bytes) -> tuple[bytes, ...] | None:
        if operation.kind == "erase":
            return operation.erased
        if operation.kind == "retract":
            return operation.touched
        return self.erasures.living_set(map(self._keyring.key, operation.identifiers), position)


def add_transition(rows: Rows, change: Change) -> None:
    """The row of a change that was published."""
    _, *others = entity_keys(change)
    _add(
        rows,
        "nexus_transitions",
        (
            change.transition_id,
            change.generation,
            change.number,
            change.transition,
            change.entity_type,
            change.entity_id,
            others[0] if others else None,
            parse_instant(change.cause.ingested_at, "cause.ingested_at"),
            change.cause.source,
            change.cause.event_id,
            to_json(change).decode(),
        ),
    )


def _rejected(event: Event) -> str:
    found: list[Json] = [
        {
            "ref": one.ref,
            "entity_type": one.entity_type,
            "identifier_type": one.identifier_type,
            "reason": one.reason,
        }
        for one in event.rejected
    ]
    return canonical(found).decode()


def _add(rows: Rows, table: str, row: Row) -> None:
    rows.setdefault(table, []).append(row)


def _add_memberships(rows: Rows, place: Row, event: Event, by_ref: Mapping[str | None, _Mentioned]) -> None:
    for index, one in enumerate(event.memberships):
        person, group = by_ref.get(one.person), by_ref.get(one.group)
        if person is not None and group is not None:
            both = (person.place, person.set_key, group.place, group.set_key)
            _add(rows, "nexus_membership_identifiers", (*place, index, *both, one.role, one.ended))


def _add_states(rows: Rows, place: Row, event: Event, by_ref: Mapping[str | None, _Mentioned]) -> None:
    for index, one in enumerate(event.states):
        of = by_ref.get(one.of)
        if of is not None:
            number = None if one.state_numeric_value is None else float(one.state_numeric_value) + 0.0
            who = (of.place, of.participant.entity_type, of.set_key)
            row = (*place, index, *who, one.state_name, one.state_value, number)
            _add(rows, "nexus_state_facts", row)


# and back


def events_in(rows: Mapping[str, Iterable[Row]]) -> Iterator[Event]:
    """The events whose rows these are: as they were, without participants that are erased.

    Instants may be datetimes, as warehouses give them, or milliseconds. Refs are the participants' places.
    """
    parts: dict[Row, dict[str, list[Row]]] = {}
    for table, found in rows.items():
        for row in found:
            parts.setdefault(row[:4], {}).setdefault(table, []).append(row)
    for place in sorted(parts):
        if "nexus_events" in parts[place]:
            yield _event(parts[place])


def _event(parts: Mapping[str, Sequence[Row]]) -> Event:
    (row, *_) = parts["nexus_events"]
    position, source, event_id, occurred_at = bytes(row[5]), row[6], row[7], row[8]
    return Event(
        event_id=event_id,
        source=source,
        event_name=row[9],
        event_type=row[10],
        occurred_at_ms=milliseconds(occurred_at),
        ingested_at_ms=parse_position(position).ingested_at_ms,
        participants=tuple(_participants(parts)),
        memberships=tuple(
            Membership(str(person), str(group), role, ended)
            for _, person, _, group, _, role, ended in _behind(parts, "nexus_membership_identifiers")
        ),
        states=tuple(
            StateFact(str(of), name, value, number)
            for _, of, _, _, name, value, number in _behind(parts, "nexus_state_facts")
        ),
        measurements=tuple(
            Measurement(name, value, unit)
            for _, name, value, unit in _behind(parts, "nexus_event_measurements")
        ),
    )


def _participants(parts: Mapping[str, Sequence[Row]]) -> Iterator[Participant]:
    for entity_type in ENTITY_TYPES:
        traits: dict[int, dict[str, Json]] = {}
        for index, _, name, value in _behind(parts, f"nexus_{entity_type}_traits"):
            traits.setdefault(index, {})[name] = json.loads(value)
        named: dict[int, tuple[str | None, list[Identifier]]] = {}
        for index, role, _, kind, value, _, _ in _behind(parts, f"nexus_{entity_type}_identifiers"):
            named.setdefault(index, (role, []))[1].append(Identifier(entity_type, kind, value))
        for index, (role, identifiers) in named.items():
            yield Participant(str(index), entity_type, role, tuple(identifiers), traits.get(index, {}))


def _behind(parts: Mapping[str, Sequence[Row]], table: str) -> Iterator[Row]:
    """What the rows of a table say besides of which event they are."""
    return (row[9:] for row in sorted(parts.get(table, ()), key=_of_part))


def _of_part(row: Row) -> int:
    return int(row[9])


def milliseconds(instant: datetime | int) -> int:
    """An instant as a warehouse gives it, in UTC, or in milliseconds already."""
    if isinstance(instant, int):
        return instant
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // timedelta(milliseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
