"""The last events of each link, for people to look at: what is sent to the store, and what it keeps.

They hang on links, as facts do, and belong to the entity of a link's anchor. So a merge has nothing to carry,
and what a split or an erasure leaves of them is exact. A link keeps the newest by `(occurred_at, source,
event_id)`, whatever the order in which they came; those of an entity are the newest of its links. Several
messages under one event key are one event: the last by that order, then by its text, counts.

The layout is told in `lua/recent.lua`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from struct import Struct

from resolver.packing import INSTANT_BYTES, Cursor, pack_instant, unpack_instant
from resolver.said import Mentioned
from resolver.store import RecentEvent
from schemas.events import Event, Measurement

MOST = 1_000
"""More of a link can nobody ask for: they are read and written together."""
MOST_OF_ONE = 5
"""So many roles and so many measurements of one event are kept, the first ones."""

_LENGTH = Struct(">H")
_KINDS = 10_000


# what is sent


class Recent:
    """Collects the events of a batch by the links that name them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_link: dict[bytes, list[bytes]] = {}

    def add(self, event: Event, mentioned: Iterable[Mentioned]) -> None:
        """Remember an event with each of the links that it names."""
        head = pack_instant(event.occurred_at_ms) + f"{event.source}\0{event.event_id}\0".encode()
        for handle, roles in _roles(mentioned).items():
            self._of_link.setdefault(handle, []).append(head + _said(event, roles))

    def message(self, handle: bytes) -> bytes:
        """What there is of a link, as the store reads it."""
        texts = self._of_link[handle]
        if len(texts) > 1:
            texts = sorted(_each_once(texts))[-self._most :]
        return pack_recent(texts)


def _roles(mentioned: Iterable[Mentioned]) -> Mapping[bytes, tuple[str, ...]]:
    """In which roles an event names each link, by handle."""
    found: dict[bytes, tuple[str, ...]] = {}
    for participant, shape in mentioned:
        known, role = found.get(shape.handle, ()), participant.role
        is_new = role is not None and role not in known and len(known) < MOST_OF_ONE
        found[shape.handle] = (*known, role) if role is not None and is_new else known
    return found


def pack_recent(texts: Iterable[bytes]) -> bytes:
    """A record of the recent hash, from what is said of each event."""
    return b"".join([_LENGTH.pack(len(text)) + text for text in texts])


def _said(event: Event, roles: tuple[str, ...]) -> bytes:
    if not event.measurements:
        return _kind(event.event_name, event.event_type, roles)
    numbers = [(one.name, one.value, one.unit) for one in event.measurements[:MOST_OF_ONE]]
    return _packed([event.event_name, event.event_type, roles, numbers])


@lru_cache(maxsize=_KINDS)
def _kind(event_name: str, event_type: str | None, roles: tuple[str, ...]) -> bytes:
    return _packed([event_name, event_type, roles, ()])


def _packed(said: Sequence[object]) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


# what is kept


def texts_of(record: bytes) -> list[bytes]:
    """What is said of each event in a record."""
    cursor, found = Cursor(record), []
    while cursor.more():
        found.append(cursor.sized())
    return found


def _each_once(texts: Iterable[bytes]) -> Iterable[bytes]:
    """Of several messages about one event the last."""
    return {event_key(text): text for text in sorted(texts)}.values()


def event_key(text: bytes) -> bytes:
    """Source and event id, by which messages are one event."""
    return text[INSTANT_BYTES : _end_of_key(text)]


def _end_of_key(text: bytes) -> int:
    return text.index(b"\0", text.index(b"\0", INSTANT_BYTES) + 1)


def newest(records: Iterable[bytes], most: int) -> tuple[RecentEvent, ...]:
    """The last events of an entity, oldest first, from the records of its links."""
    last: dict[bytes, bytes] = {}
    roles: dict[tuple[bytes, bytes], dict[str, None]] = {}
    for text in sorted({text for record in records for text in _each_once(texts_of(record))}):
        key = event_key(text)
        last[key] = text
        roles.setdefault((key, text[:INSTANT_BYTES]), {}).update(dict.fromkeys(_unpacked(text).roles))
    chosen = sorted(last.values())[-most:] if most else []
    return tuple(
        _unpacked(text)._replace(
            roles=tuple(islice(roles[event_key(text), text[:INSTANT_BYTES]], MOST_OF_ONE))
        )
        for text in chosen
    )


def _unpacked(text: bytes) -> RecentEvent:
    source, _, event_id = event_key(text).decode().partition("\0")
    event_name, event_type, roles, numbers = json.loads(text[_end_of_key(text) + 1 :])
    return RecentEvent(
        unpack_instant(text[:INSTANT_BYTES]),
        source,
        event_id,
        event_name,
        event_type,
        tuple(roles),
        tuple(Measurement(*one) for one in numbers),
    )
