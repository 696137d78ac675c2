"""Takes out of the event log what an erasure covers, and gives who came back after it another key.

`schemas.log_rows` leaves erased participants out from the beginning; this is for rows that were there before
the erasure came. Both give the same: after it the log is what it would be had the erasure been known first.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

from schemas.erasures import Erasures
from schemas.identifiers import ENTITY_TYPES, EntityType, Identifier, entity_id
from schemas.log_rows import Row, Rows, add_transition, set_key
from schemas.redaction import NAMING, named_by, redacted
from schemas.strict_json import canonical
from schemas.tables import tables
from schemas.transitions import (
    Change,
    EntitiesMerged,
    EntityErased,
    EntityRelabelled,
    NamedIdentifier,
    entity_keys,
)

_Place: TypeAlias = tuple[str, int, int, int]
"""Topic, partition, offset and index: which event a row is of."""

IDENTIFIERS: Final = tuple(f"nexus_{entity_type}_identifiers" for entity_type in ENTITY_TYPES)
TELLING: Final = NAMING | {"entities_merged", "entity_relabelled"}
"""The transitions that tell by which ids somebody was known."""
_TRAITS: Final = tuple(f"nexus_{entity_type}_traits" for entity_type in ENTITY_TYPES)
_OF_THE_EVENT: Final = ("nexus_events", "nexus_event_measurements")


class _Living(NamedTuple):
    """A participant that is not erased: its keys by the keys that its rows have, and the key of the set."""

    keys: Mapping[bytes, bytes]
    set_key: bytes


def without_erased(rows: Rows, erasures: Erasures) -> Rows:
    """The rows of whole events as they are after the erasures. Operator events are rows of their own; other
    tables pass as they are.
    """
    living = _living(rows, erasures)
    names_somebody = {place for place, _ in living}
    found: Rows = {}
    for name, listed in rows.items():
        if name in IDENTIFIERS:
            found[name] = list(_identifiers(name, listed, living))
        elif name in _OF_THE_EVENT:
            found[name] = [row for row in listed if _place(row) in names_somebody]
        elif name == "nexus_operator_events":
            found[name] = [_operation(row, erasures) for row in listed]
        elif columns := _MENTIONS.get(name):
            found[name] = list(_of_participants(name, listed, living, columns))
        else:
            found[name] = listed
    return found


_MENTIONS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    **dict.fromkeys((*_TRAITS, "nexus_state_facts"), (("participant_index", "set_key"),)),
    "nexus_membership_identifiers": (("person_index", "person_set_key"), ("group_index", "group_set_key")),
}
"""Where a row says which participant it is about, and the key of that one's set."""


def _place(row: Row) -> _Place:
    return row[0], row[1], row[2], row[3]


def _living(rows: Rows, erasures: Erasures) -> Mapping[tuple[_Place, int], _Living]:
    """Each participant that is not erased."""
    named: dict[tuple[_Place, int], dict[bytes, bytes]] = defaultdict(dict)
    for name in IDENTIFIERS:
        table = tables()[name]
        index, key, position = map(table.place, ("participant_index", "identifier_key", "log_position"))
        for row in rows.get(name, ()):
            named[_place(row), row[index]][row[key]] = row[position]
    found = {}
    for participant, keys in named.items():
        living = erasures.living_set(keys, next(iter(keys.values())))
        if living is not None:
            whole = set_key(erasures.keyring, living)
            found[participant] = _Living(dict(zip(keys, living, strict=True)), whole)
    return found


def _identifiers(
    name: str, rows: Iterable[Row], living: Mapping[tuple[_Place, int], _Living]
) -> Iterator[Row]:
    table = tables()[name]
    index, key, whole = map(table.place, ("participant_index", "identifier_key", "set_key"))
    for row in rows:
        one = living.get((_place(row), row[index]))
        if one is not None:
            yield _changed(row, {key: one.keys[row[key]], whole: one.set_key})


def _of_participants(
    name: str,
    rows: Iterable[Row],
    living: Mapping[tuple[_Place, int], _Living],
    columns: Sequence[tuple[str, str]],
) -> Iterator[Row]:
    place = tables()[name].place
    for row in rows:
        ones = {place(whole): living.get((_place(row), row[place(index)])) for index, whole in columns}
        changes = {column: one.set_key for column, one in ones.items() if one is not None}
        if len(changes) == len(ones):
            yield _changed(row, changes)


def _operation(row: Row, erasures: Erasures) -> Row:
    """An operator event under the keys of today; of one that is void only the fact is left."""
    place = tables()["nexus_operator_events"].place
    if row[place("kind")] in ("erase", "retract", "rules"):
        return row
    said = json.loads(row[place("operation")])
    keys = erasures.living_set(map(bytes.fromhex, said["keys"]), row[place("log_position")])
    if keys is None:
        return _changed(row, {place("operation"): _said(()), place("why"): None})
    return _changed(row, {place("operation"): _said(keys)})


def _said(keys: Iterable[bytes]) -> str:
    return canonical({"keys": [key.hex() for key in keys]}).decode()


def _changed(row: Row, changes: Mapping[int, Any]) -> Row:
    return tuple(changes.get(place, value) for place, value in enumerate(row))


@dataclass(frozen=True, slots=True)
class Ended:
    """An erasure as it was published, to be taken out of the transitions that were published before it.

    `subjects`: the ids by which those who were erased were known.
    """

    erasures: Erasures
    sequence: tuple[int, int]
    erased_ids: frozenset[str]
    subjects: frozenset[str]

    @classmethod
    def of(cls, erasures: Erasures, erased: EntityErased, changes: Iterable[Change] = ()) -> "Ended":
        """With all ids that the changes tell of: those that held an erased identifier, and what these were
        called before or became.
        """
        ids = frozenset(erased.erased_ids)
        found = {erased.entity_id, *ids}
        ended = cls(erasures, erased.sequence, ids, frozenset(found))
        ties = []
        for change in changes:
            if isinstance(change, EntitiesMerged | EntityRelabelled):
                ties.append(set(entity_keys(change)))
            elif any(ended._is_erased(change.entity_type, one) for one in named_by(change)):
                found |= set(entity_keys(change))
        while new := {name for tie in ties if tie & found for name in tie} - found:
            found |= new
        return replace(ended, subjects=frozenset(found))

    def redacted(self, change: Change) -> Change:
        """The change without what was erased after it."""
        if change.sequence >= self.sequence:
            return change
        return redacted(change, self._is_erased, self.subjects)

    def _is_erased(self, entity_type: EntityType, named: NamedIdentifier) -> bool:
        """Whether one of the keys that the identifier has gone by was erased."""
        keyring, positions = self.erasures.keyring, self.erasures.positions
        key: bytes | None = keyring.key(Identifier(entity_type, named.type, named.value))
        while key is not None and entity_id(entity_type, key) not in self.erased_ids:
            key = keyring.reborn(key, positions[key]) if key in positions else None
        return key is not None


def redacted_rows(changes: Iterable[Change], ended: Sequence[Ended]) -> list[Row]:
    """The rows of changes without what was erased after them."""
    rows: Rows = {}
    last = max((one.sequence for one in ended), default=(0, 0))
    for change in changes:
        kept = change
        if change.sequence < last:
            for one in ended:
                kept = one.redacted(kept)
        add_transition(rows, kept)
    return rows.get("nexus_transitions", [])
