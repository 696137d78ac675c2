"""The packed records that Python and the Lua scripts exchange. Each layout is told where the script makes it.

All numbers are big-endian. An identifier's *name* is 1 byte length of the type, the type, and the value, in
UTF-8.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.events import parse_position
from schemas.identifiers import EntityType, Identifier, Keyring, entity_id
from schemas.transitions import (
    Cause,
    EntitiesMerged,
    EntityCreated,
    EntityRelabelled,
    IdentifierAdded,
    NamedIdentifier,
    Transition,
    make_transition_id,
)

_TYPE_CODE = {"person": b"p", "group": b"g"}
_CODE_TYPE: dict[bytes, EntityType] = {b"p": "person", b"g": "group"}
_MILLISECONDS = struct.Struct(">Q")
_LENGTH = struct.Struct(">H")

# Identifier types that have a byte instead of their name: it is written once for every identifier. Codes
# are for ever.
_TYPE_NAMES = {
    "email": 0,
    "phone": 1,
    "domain": 2,
    "user_id": 3,
    "anonymous_id": 4,
    "previous_id": 5,
    "stripe_customer_id": 6,
    "group_id": 7,
}
_CODE_NAMES = {code: name for name, code in _TYPE_NAMES.items()}
_CODED = 0x80  # above the length of any type

CREATED, ADDED, MERGED, RELABELLED = 1, 2, 3, 4  # the kinds of `lua/transitions.lua`


def pack_name(identifier: Identifier) -> bytes:
    """An identifier's type and value as the store keeps them."""
    return _pack_type(identifier.identifier_type) + identifier.identifier_value.encode()


@lru_cache(maxsize=1024)
def _pack_type(identifier_type: str) -> bytes:
    code = _TYPE_NAMES.get(identifier_type)
    if code is not None:
        return bytes([_CODED + code])
    return bytes([len(identifier_type)]) + identifier_type.encode()


def unpack_name(name: bytes) -> NamedIdentifier:
    """The type and value of a packed name."""
    if name[0] >= _CODED:
        return NamedIdentifier(type=_CODE_NAMES[name[0] - _CODED], value=name[1:].decode())
    split = 1 + name[0]
    return NamedIdentifier(type=name[1:split].decode(), value=name[split:].decode())


class Part(NamedTuple):
    """One identifier as a link holds it: its key, key and name packed, and the pairs of keys of its
    synonyms.
    """

    identifier: Identifier
    key: bytes
    packed: bytes
    synonyms: bytes


def pack_member(key: bytes, identifier: Identifier) -> bytes:
    """An identifier in a link's message: key, length, name."""
    name = pack_name(identifier)
    return key + _LENGTH.pack(len(name)) + name


def pack_shape(entity_type: EntityType, parts: Sequence[Part]) -> bytes:
    """The part of a link's message that is the same for all events: entity type, count, members, synonyms."""
    members = b"".join(part.packed for part in parts)
    return _TYPE_CODE[entity_type] + bytes([len(parts)]) + members + b"".join(part.synonyms for part in parts)


def pack_message(packed_shape: bytes, first: bytes, last_ms: int) -> bytes:
    """What a batch says of a link: last instant, first log position, shape."""
    return _MILLISECONDS.pack(last_ms)[2:] + _LENGTH.pack(len(first)) + first + packed_shape


class _Cursor:
    """Reads a packed string from left to right."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def sized(self) -> bytes:
        return self.take(self.number(2))

    def more(self) -> bool:
        return self.at < len(self.data)


class LinkRecord(NamedTuple):
    """A link as the store keeps it: last instant (ms), first log position, identifier keys."""

    last_ms: int
    first: bytes
    keys: tuple[bytes, ...]


class NodeRecord(NamedTuple):
    """An identifier as the store keeps it: slot, chunk of older links, name, recent link handles."""

    slot: int
    older: int
    name: bytes
    links: tuple[bytes, ...]


class SlotRecord(NamedTuple):
    """An entity, or (moved_to not 0) a slot that was merged into another."""

    moved_to: int
    entity_type: EntityType
    size: int
    older: int
    senior: bytes
    position: bytes
    members: tuple[bytes, ...]


class ChunkRecord(NamedTuple):
    """A piece of a long list: two chunks that come before it (0: none), and its entries."""

    left: int
    right: int
    entries: tuple[bytes, ...]


def _sixteens(data: bytes) -> tuple[bytes, ...]:
    return tuple(data[i : i + 16] for i in range(0, len(data), 16))


def unpack_link(record: bytes) -> LinkRecord:
    """A record of the links hash."""
    cursor = _Cursor(record)
    return LinkRecord(cursor.number(6), cursor.sized(), _sixteens(record[cursor.at :]))


def unpack_node(record: bytes) -> NodeRecord:
    """A record of the nodes hash."""
    cursor = _Cursor(record)
    return NodeRecord(cursor.number(4), cursor.number(4), cursor.sized(), _sixteens(record[cursor.at :]))


def unpack_slot(record: bytes) -> SlotRecord:
    """A record of the slots hash."""
    cursor = _Cursor(record)
    if cursor.number(1) == 0:
        return SlotRecord(cursor.number(4), "person", 0, 0, b"", b"", ())
    kind = _CODE_TYPE[cursor.take(1)]
    size, older, senior = cursor.number(4), cursor.number(4), cursor.take(16)
    position = cursor.sized()
    return SlotRecord(0, kind, size, older, senior, position, _sixteens(record[cursor.at :]))


def unpack_chunk(record: bytes) -> ChunkRecord:
    """A record of the chunks hash."""
    cursor = _Cursor(record)
    return ChunkRecord(cursor.number(4), cursor.number(4), _sixteens(record[8:]))


class HistoryRecord(NamedTuple):
    """One identity change of an entity id, packed fields as they are."""

    what: int
    other: bytes
    moved: int
    generation: int
    number: int
    position: bytes


def unpack_history(record: bytes) -> list[HistoryRecord]:
    """A record of the history hash, oldest change first."""
    outer, changes = _Cursor(record), []
    while outer.more():
        entry = _Cursor(outer.sized())
        changes.append(
            HistoryRecord(
                entry.number(1),
                entry.take(16),
                entry.number(4),
                entry.number(8),
                entry.number(8),
                entry.sized(),
            )
        )
    return changes


def unpack_transitions(
    made: bytes, keyring: Keyring, namespace: str, generation: int, first_number: int
) -> Iterator[Transition]:
    """The transitions of one outbox entry, numbered from first_number on."""
    cursor, number = _Cursor(made), first_number
    while cursor.more():
        yield _transition(cursor, keyring, namespace, generation, number)
        number += 1


def _transition(
    cursor: _Cursor, keyring: Keyring, namespace: str, generation: int, number: int
) -> Transition:
    kind, position = cursor.number(1), cursor.sized()
    entity_type, key = _CODE_TYPE[cursor.take(1)], cursor.take(16)
    common: dict[str, Any] = {
        "namespace": namespace,
        "generation": generation,
        "number": number,
        "entity_type": entity_type,
        "entity_id": entity_id(entity_type, key),
        "cause": Cause.at(*parse_position(position)),
    }

    def name(transition: str, other: bytes | str = b"") -> str:
        return make_transition_id(keyring, transition, position, common["entity_id"], other)

    if kind == CREATED:
        identifiers = tuple(_listed(cursor))
        return EntityCreated(transition_id=name("entity_created"), identifiers=identifiers, **common)
    if kind == ADDED:
        added, identifier = cursor.take(16), unpack_name(cursor.sized())
        return IdentifierAdded(transition_id=name("identifier_added", added), identifier=identifier, **common)
    other = entity_id(entity_type, cursor.take(16))
    if kind == MERGED:
        transition_id, moved = name("entities_merged", other), cursor.number(4)
        return EntitiesMerged(transition_id=transition_id, absorbed_id=other, moved=moved, **common)
    return EntityRelabelled(transition_id=name("entity_relabelled", other), former_id=other, **common)


def _listed(cursor: _Cursor) -> Iterator[NamedIdentifier]:
    for _ in range(cursor.number(1)):
        cursor.take(16)
        yield unpack_name(cursor.sized())
