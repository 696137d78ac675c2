"""The packed records that Python and the Lua scripts exchange. Each layout is told where the script makes it.

All numbers are big-endian. An identifier's *name* is 1 byte length of the type, the type, and the value, in
UTF-8.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from resolver.store import Command
from schemas.events import parse_position
from schemas.identifiers import EntityType, Identifier, Keyring, encode_parts, entity_id
from schemas.instants import format_instant
from schemas.rules import Limit, Rules
from schemas.transitions import (
    Cause,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    QuarantineReason,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
    Transition,
    make_transition_id,
)

_TYPE_CODE = {"person": b"p", "group": b"g"}
_CODE_TYPE: dict[bytes, EntityType] = {b"p": "person", b"g": "group"}
_MILLISECONDS = struct.Struct(">Q")
_LENGTH = struct.Struct(">H")
_NUMBERS = struct.Struct(">II")

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

# The kinds of `lua/transitions.lua`, and the reasons of a release.
CREATED, ADDED, MERGED, RELABELLED, SPLIT, QUARANTINED, RELEASED, ERASED = range(1, 9)
TRAIT, MEMBER, NO_MEMBER, ENTERED, EXITED, CORRECTED = range(9, 15)
_WHY_RELEASED: Mapping[int, Literal["released", "unblocked", "rules", "erased"]] = MappingProxyType(
    {1: "released", 2: "unblocked", 3: "rules", 4: "erased"}
)
INSTANT_BYTES = 7
_EPOCH_MS = 62_135_596_800_000  # 1970 in milliseconds since the year 1, so that no instant is negative
_FLAG = 2048  # what flags are multiplied by in the two bytes that they share with a length
_OPERATIONS = MappingProxyType(
    {
        "together": b"t",
        "apart": b"a",
        "block": b"b",
        "unblock": b"u",
        "release": b"r",
        "erase": b"e",
        "retract": b"x",
    }
)


def pack_name(identifier: Identifier) -> bytes:
    """An identifier's type and value as the store keeps them."""
    return pack_type(identifier.identifier_type) + identifier.identifier_value.encode()


@lru_cache(maxsize=1024)
def pack_type(identifier_type: str) -> bytes:
    """How a type begins a packed name."""
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


def pack_instant(milliseconds: int) -> bytes:
    """An instant of a fact as the store keeps it, from milliseconds since 1970."""
    return (milliseconds + _EPOCH_MS).to_bytes(INSTANT_BYTES, "big")


def unpack_instant(packed: bytes) -> int:
    """Milliseconds since 1970; the inverse of `pack_instant`."""
    return from_year_one(int.from_bytes(packed, "big"))


def from_year_one(milliseconds: int) -> int:
    """Milliseconds since 1970, from milliseconds since the year 1, as the scripts reckon."""
    return milliseconds - _EPOCH_MS


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


def _sized_type(identifier_type: str | None) -> bytes:
    packed = b"" if identifier_type is None else pack_type(identifier_type)
    return bytes([len(packed)]) + packed


def unpack_type(packed: bytes) -> str | None:
    """The type that begins a packed name; None for an empty one."""
    if not packed:
        return None
    return _CODE_NAMES[packed[0] - _CODED] if packed[0] >= _CODED else packed[1:].decode()


def pack_rules(rules: Rules) -> bytes:
    """What the script needs of the rules: limits and unique types (`lua/rules.lua`)."""
    limits = [
        _sized_type(limit.identifier_type) + _sized_type(limit.partner_type) + _LENGTH.pack(limit.most)
        for limit in rules.limits
    ]
    unique = [_sized_type(identifier_type) for identifier_type in rules.unique]
    return bytes([len(limits)]) + b"".join(limits) + bytes([len(unique)]) + b"".join(unique)


def pack_command(command: Command, keyring: Keyring) -> bytes:
    """An operator event as `lua/command.lua` reads it."""
    packed = _OPERATIONS[command.kind] + _TYPE_CODE[command.entity_type]
    packed += _LENGTH.pack(len(command.position)) + command.position
    for keys in (command.keys, command.blocked):
        packed += len(keys).to_bytes(4, "big") + b"".join(keys)
    return packed if command.event is None else packed + keyring.event_handle(*command.event)


def pack_message(packed_shape: bytes, first: bytes, last_ms: int) -> bytes:
    """What a batch says of a link: last instant, first log position, shape."""
    return _MILLISECONDS.pack(last_ms)[2:] + _LENGTH.pack(len(first)) + first + packed_shape


class Cursor:
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
    """An identifier as the store keeps it: slot (0: in no entity), chunk of older links, name, recent links.

    `partners`: by packed type of the partners (empty: any), the keys of those that count towards a limit.
    """

    slot: int
    older: int
    name: bytes
    links: tuple[bytes, ...]
    entity_type: EntityType = "person"
    is_released: bool = False
    is_quarantined: bool = False
    is_blocked: bool = False
    partners: Mapping[bytes, tuple[bytes, ...]] = MappingProxyType({})

    @property
    def identifier(self) -> Identifier:
        """Who it is."""
        name = unpack_name(self.name)
        return Identifier(self.entity_type, name.type, name.value)


class SlotRecord(NamedTuple):
    """An entity, or (moved_to not 0) a slot that was merged into another.

    `is_tied`: a suspended link may tie it to others. `is_apart`: it holds an identifier that is to be apart
    from another. `values`: by packed type, its value of a unique type.
    """

    moved_to: int
    entity_type: EntityType
    size: int
    older: int
    senior: bytes
    position: bytes
    members: tuple[bytes, ...]
    is_tied: bool = False
    is_apart: bool = False
    values: Mapping[bytes, bytes] = MappingProxyType({})


def pack_node(key: bytes, node: NodeRecord) -> bytes:
    """A record of the nodes hash; the inverse of `unpack_node`."""
    groups = [
        bytes([len(kind)]) + kind + _LENGTH.pack(len(keys)) + b"".join(keys)
        for kind, keys in node.partners.items()
    ]
    partners = bytes([len(groups)]) + b"".join(groups) if groups else b""
    flags = (1 if groups else 0) + 2 * node.is_released + 4 * node.is_quarantined + 8 * node.is_blocked
    flags += 16 * (node.entity_type == "group")
    head = pack_count(node.slot, 4) + _LENGTH.pack(flags * _FLAG + len(node.name))
    older = pack_count(node.older, 4) if node.older else b""
    own = b"\1" if key in node.links else b""
    return head + node.name + partners + own + older + b"".join(one for one in node.links if one != key)


def pack_slot(slot: SlotRecord) -> bytes:
    """A record of the slots hash of an entity; the inverse of `unpack_slot`."""
    values = [bytes([len(kind)]) + kind + key for kind, key in slot.values.items()]
    section = bytes([len(values)]) + b"".join(values) if values else b""
    flags = slot.is_tied + 2 * slot.is_apart + (4 if values else 0)
    head = b"\1" + _TYPE_CODE[slot.entity_type] + _LENGTH.pack(flags * _FLAG + len(slot.position))
    is_at_hand = slot.senior in slot.members
    senior = pack_count(1 + slot.members.index(slot.senior), 1) if is_at_hand else b"\0" + slot.senior
    rest = _NUMBERS.pack(slot.size, slot.older) if slot.older else b""
    return head + slot.position + section + senior + rest + b"".join(slot.members)


def pack_chunk(left: int, entries: Sequence[bytes]) -> bytes:
    """A record of the chunks hash, whose list goes on in the chunk `left`."""
    return _NUMBERS.pack(left, 0) + b"".join(entries)


def pack_unsummed(ref: int, token: int, cause: bytes) -> bytes:
    """A record of the unsummed hash (`lua/sum_up.lua`)."""
    return _NUMBERS.pack(ref, token) + cause


class ChunkRecord(NamedTuple):
    """A piece of a long list: two chunks that come before it (0: none), and its entries."""

    left: int
    right: int
    entries: tuple[bytes, ...]


def sixteens(data: bytes) -> tuple[bytes, ...]:
    """Keys or handles in a row."""
    return tuple(data[i : i + 16] for i in range(0, len(data), 16))


def unpack_link(handle: bytes, record: bytes) -> LinkRecord:
    """A record of the links hash."""
    cursor = Cursor(record)
    return LinkRecord(cursor.number(6), cursor.sized(), sixteens(record[cursor.at :]) or (handle,))


def unpack_node(key: bytes, record: bytes) -> NodeRecord:
    """A record of the nodes hash."""
    cursor = Cursor(record)
    slot = cursor.number(4)
    flags, length = divmod(cursor.number(2), _FLAG)
    name = cursor.take(length)
    partners = dict(_partners(cursor)) if flags & 1 else {}
    kind: EntityType = "group" if flags & 16 else "person"
    rest = (len(record) - cursor.at) % 16
    own = (key,) if cursor.take(rest % 4) else ()
    older = cursor.number(4) if rest >= 4 else 0
    links = own + sixteens(record[cursor.at :])
    return NodeRecord(
        slot, older, name, links, kind, bool(flags & 2), bool(flags & 4), bool(flags & 8), partners
    )


def _partners(cursor: Cursor) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    for _ in range(cursor.number(1)):
        kind = cursor.take(cursor.number(1))
        yield kind, sixteens(cursor.take(16 * cursor.number(2)))


def unpack_slot(record: bytes) -> SlotRecord:
    """A record of the slots hash."""
    cursor = Cursor(record)
    if cursor.number(1) == 0:
        return SlotRecord(cursor.number(4), "person", 0, 0, b"", b"", ())
    kind = _CODE_TYPE[cursor.take(1)]
    flags, length = divmod(cursor.number(2), _FLAG)
    position, values = cursor.take(length), {}
    for _ in range(cursor.number(1) if flags & 4 else 0):
        identifier_type = cursor.take(cursor.number(1))
        values[identifier_type] = cursor.take(16)
    place = cursor.number(1)
    senior = b"" if place else cursor.take(16)
    has_older = (len(record) - cursor.at) % 16 == 8
    size, older = (cursor.number(4), cursor.number(4)) if has_older else (0, 0)
    members = sixteens(record[cursor.at :])
    size, senior = size or len(members), senior or members[place - 1]
    return SlotRecord(
        0, kind, size, older, senior, position, members, bool(flags & 1), bool(flags & 2), values
    )


def unpack_chunk(record: bytes) -> ChunkRecord:
    """A record of the chunks hash."""
    cursor = Cursor(record)
    return ChunkRecord(cursor.number(4), cursor.number(4), sixteens(record[8:]))


class Mark(NamedTuple):
    """What an operator said of an identifier: one letter (`lua/marks.lua`), when, and of which other one."""

    what: str
    position: bytes
    other: bytes


def unpack_marks(record: bytes) -> list[Mark]:
    """A record of the marks hash."""
    cursor, marks = Cursor(record), []
    while cursor.more():
        what, position = cursor.take(1).decode(), cursor.sized()
        marks.append(Mark(what, position, cursor.take(16) if what in "ta" else b""))
    return marks


class QuarantineRecord(NamedTuple):
    """A limit that an identifier crossed: its oldest partners, one more than allowed, with positions."""

    limit: Limit
    oldest: tuple[tuple[bytes, bytes], ...]


def unpack_quarantine(record: bytes, identifier_type: str) -> list[QuarantineRecord]:
    """A record of the quarantine hash, of an identifier of this type."""
    cursor, crossed = Cursor(record), []
    for _ in range(cursor.number(1)):
        partner_type = unpack_type(cursor.take(cursor.number(1)))
        limit, count = Limit(identifier_type, partner_type, cursor.number(2)), cursor.number(2)
        cursor.take(4)
        youngest_first = [(cursor.take(16), cursor.sized()) for _ in range(count)]
        crossed.append(QuarantineRecord(limit, tuple(reversed(youngest_first))))
    return crossed


def pack_quarantine(crossed: Sequence[QuarantineRecord]) -> bytes:
    """A record of the quarantine hash; the inverse of `unpack_quarantine`."""
    packed = bytes([len(crossed)])
    for limit, oldest in crossed:
        entries = [key + _LENGTH.pack(len(position)) + position for key, position in reversed(oldest)]
        listed = b"".join(entries)
        packed += _sized_type(limit.partner_type) + _LENGTH.pack(limit.most) + _LENGTH.pack(len(oldest))
        packed += len(listed).to_bytes(4, "big") + listed
    return packed


class Caused(NamedTuple):
    """What every transition begins with: the log position of its cause, and of what it speaks."""

    position: bytes
    entity_type: EntityType

    def emit(self, kind: int, key: bytes, rest: bytes) -> bytes:
        """A transition about the entity id made from a key, as `lua/transitions.lua` packs it."""
        head = bytes([kind]) + _LENGTH.pack(len(self.position)) + self.position
        return head + _TYPE_CODE[self.entity_type] + key + rest


def pack_named(key: bytes, name: bytes) -> bytes:
    """An identifier in a transition: key and packed name."""
    return key + _LENGTH.pack(len(name)) + name


def pack_count(count: int, length: int) -> bytes:
    """A number in so many bytes."""
    return count.to_bytes(length, "big")


def pack_reason(crossed: QuarantineRecord | None) -> bytes:
    """Why an identifier was taken out: the limit that it crossed, None for blocked."""
    if crossed is None:
        return b"\0"
    most, brought = crossed.limit.most, crossed.oldest[crossed.limit.most][1]
    kind = _sized_type(crossed.limit.partner_type)
    return b"\1" + kind + _LENGTH.pack(most) + _LENGTH.pack(len(brought)) + brought


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
    outer, changes = Cursor(record), []
    while outer.more():
        entry = Cursor(outer.sized())
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
    cursor, number = Cursor(made), first_number
    while cursor.more():
        yield _transition(cursor, keyring, namespace, generation, number)
        number += 1


def _transition(cursor: Cursor, keyring: Keyring, namespace: str, generation: int, number: int) -> Transition:
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
    if kind in (ADDED, QUARANTINED, RELEASED):
        return _about_identifier(kind, cursor, name, common)
    if kind == TRAIT:
        return _trait(cursor, name, common)
    if kind in (MEMBER, NO_MEMBER):
        return _membership(kind, cursor, name, common)
    if kind in (ENTERED, EXITED, CORRECTED):
        return _state(kind, cursor, name, common)
    if kind == ERASED:
        keys = [cursor.take(16) for _ in range(cursor.number(2))]
        ids = tuple(entity_id(entity_type, key) for key in keys)
        return EntityErased(transition_id=name("entity_erased", keys[0]), erased_ids=ids, **common)
    if kind == SPLIT:
        part_key, part, parts = cursor.take(16), cursor.number(4), cursor.number(4)
        first, identifiers = cursor.data[cursor.at + 2 : cursor.at + 18], tuple(_listed(cursor, 2))
        return EntitySplit(
            transition_id=name("entity_split", part_key + first),
            part_id=entity_id(entity_type, part_key),
            part=part,
            parts=parts,
            identifiers=identifiers,
            **common,
        )
    other = entity_id(entity_type, cursor.take(16))
    if kind == MERGED:
        transition_id, moved = name("entities_merged", other), cursor.number(4)
        return EntitiesMerged(transition_id=transition_id, absorbed_id=other, moved=moved, **common)
    return EntityRelabelled(transition_id=name("entity_relabelled", other), former_id=other, **common)


def _about_identifier(
    kind: int, cursor: Cursor, name: Callable[[str, bytes], str], common: Mapping[str, Any]
) -> Transition:
    key, identifier = cursor.take(16), unpack_name(cursor.sized())
    if kind == ADDED:
        return IdentifierAdded(transition_id=name("identifier_added", key), identifier=identifier, **common)
    if kind == RELEASED:
        why, transition_id = _WHY_RELEASED[cursor.number(1)], name("identifier_released", key)
        return IdentifierReleased(transition_id=transition_id, identifier=identifier, reason=why, **common)
    reason, transition_id = _reason(cursor), name("identifier_quarantined", key)
    return IdentifierQuarantined(transition_id=transition_id, identifier=identifier, reason=reason, **common)


def _trait(cursor: Cursor, name: Callable[[str, bytes], str], common: Mapping[str, Any]) -> Transition:
    trait, origin = cursor.sized(), cursor.sized()
    value = cursor.take(cursor.number(4)) if origin else b"null"
    said: dict[str, str | None] = {"source": None, "event_id": None, "occurred_at": None}
    if origin:
        source, _, event_id = origin[INSTANT_BYTES:].decode().partition("\0")
        said = {"source": source, "event_id": event_id, "occurred_at": _instant(origin[:INSTANT_BYTES])}
    transition_id = name("trait_changed", encode_parts(trait, origin, value))
    return TraitChanged(
        transition_id=transition_id, name=trait.decode(), value=json.loads(value), **said, **common
    )


def _membership(
    kind: int, cursor: Cursor, name: Callable[[str, bytes], str], common: Mapping[str, Any]
) -> Transition:
    group_role, since, until = cursor.sized(), cursor.take(INSTANT_BYTES), cursor.take(INSTANT_BYTES)
    group_id, role = entity_id("group", group_role[:16]), group_role[16:]
    about: dict[str, Any] = {"group_id": group_id, "role": role[1:].decode() if role[0] else None, **common}
    subject = encode_parts(group_role, since, until)
    if kind == MEMBER:
        transition_id = name("membership_started", subject)
        return MembershipStarted(transition_id=transition_id, started_at=_instant(since), **about)
    started_at, ended_at = (_instant(since), _instant(until)) if any(since) else (None, None)
    transition_id = name("membership_ended", subject)
    return MembershipEnded(transition_id=transition_id, started_at=started_at, ended_at=ended_at, **about)


def _state(
    kind: int, cursor: Cursor, name: Callable[[str, bytes], str], common: Mapping[str, Any]
) -> Transition:
    begin, state = cursor.at, cursor.sized().decode()
    if kind == CORRECTED:
        replaced = _interval(cursor) if cursor.number(1) else None
        intervals = tuple(_interval(cursor) for _ in range(cursor.number(2)))
        return StateCorrected(
            transition_id=name("state_corrected", cursor.data[begin : cursor.at]),
            state_name=state,
            replaced=replaced,
            intervals=intervals,
            **common,
        )
    interval = _interval(cursor).model_dump()
    subject = cursor.data[begin : cursor.at]
    if kind == EXITED:
        transition_id = name("state_exited", subject)
        return StateExited(transition_id=transition_id, state_name=state, **interval, **common)
    del interval["state_exited_at"]
    transition_id = name("state_entered", subject)
    return StateEntered(transition_id=transition_id, state_name=state, **interval, **common)


def _interval(cursor: Cursor) -> Interval:
    (text, number), entered, exited = (
        json.loads(cursor.sized()),
        cursor.take(INSTANT_BYTES),
        cursor.take(INSTANT_BYTES),
    )
    return Interval(
        state_value=text,
        state_numeric_value=number,
        state_entered_at=_instant(entered),
        state_exited_at=_instant(exited) if any(exited) else None,
    )


def _instant(packed: bytes) -> str:
    return format_instant(unpack_instant(packed))


def _reason(cursor: Cursor) -> QuarantineReason:
    if cursor.number(1) == 0:
        return QuarantineReason(kind="blocked")
    partner_type = unpack_type(cursor.take(cursor.number(1)))
    return quarantine_reason(partner_type, cursor.number(2), cursor.sized())


def quarantine_reason(partner_type: str | None, limit: int, position: bytes) -> QuarantineReason:
    """Why an identifier is quarantined: the limit, and the position that brought one too many."""
    return QuarantineReason(
        kind="degree" if partner_type is None else "limit",
        partner_type=partner_type,
        limit=limit,
        brought_by=Cause.at(*parse_position(position)),
    )


def _listed(cursor: Cursor, length: int = 1) -> Iterator[NamedIdentifier]:
    for _ in range(cursor.number(length)):
        cursor.take(16)
        yield unpack_name(cursor.sized())
