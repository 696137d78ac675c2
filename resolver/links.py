"""From events to the links they are evidence of, under the guards, ready for one atomic call."""

from collections.abc import Iterable
from functools import lru_cache

from resolver.packing import Part, pack_member, pack_shape
from resolver.store import Evidence, Shape
from schemas.blocked import blocked
from schemas.events import Event
from schemas.identifiers import Identifier, Keyring
from schemas.synonyms import PREVIOUS, synonyms

_REMEMBERED = 200_000


class Linker:
    """Turns events into evidence, under one namespace's keys.

    A participant's identifiers that a guard leaves over form a link; a participant left with none forms no
    link, which is no error. What an identifier set looks like to the store is remembered for the last
    200,000 sets, because visitors come back.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._shape = lru_cache(maxsize=_REMEMBERED)(self._make_shape)
        self._part = lru_cache(maxsize=_REMEMBERED)(self._make_part)

    def shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        """The link of identifiers that were named together; None when the guards leave none of them."""
        return self._shape(identifiers)

    def _make_shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        parts = [part for one in identifiers if (part := self._part(one)) is not None]
        parts.sort(key=_key)
        if not parts:
            return None
        keys = tuple(part.key for part in parts)
        packed = pack_shape(parts[0].identifier.entity_type, parts)
        handle = self._keyring.handle(b"".join(keys))
        return Shape(tuple(part.identifier for part in parts), keys, handle, packed)

    def _make_part(self, identifier: Identifier) -> Part | None:
        """What a link holds of one identifier; None for one that a guard takes out."""
        if blocked(identifier) is not None:
            return None
        key = self._keyring.key(identifier)
        if identifier.identifier_type != PREVIOUS:
            return Part(identifier, key, pack_member(key, identifier), b"")
        others = (other for other in synonyms(identifier) if blocked(other) is None)
        pairs = b"".join(key + self._keyring.key(other) for other in others)
        return Part(identifier, key, pack_member(key, identifier), pairs)

    def evidence(self, events: Iterable[Event]) -> tuple[Evidence, ...]:
        """The distinct links of the events, each with its lowest position and last instant, in log order.

        Order: by (log position, link key), which is the order in which the store applies them.
        """
        found: dict[bytes, Evidence] = {}
        for event in events:
            position, last_ms = event.position, event.ingested_at_ms
            for participant in event.participants:
                shape = self._shape(participant.identifiers)
                if shape is None:
                    continue
                known = found.get(shape.handle)
                if known is None:
                    found[shape.handle] = Evidence(shape, position, last_ms)
                elif last_ms > known.last_ms or position < known.first:
                    found[shape.handle] = Evidence(
                        shape, min(position, known.first), max(last_ms, known.last_ms)
                    )
        return tuple(sorted(found.values(), key=_log_order))


def _key(part: Part) -> bytes:
    return part.key


def _log_order(evidence: Evidence) -> tuple[bytes, tuple[bytes, ...]]:
    return evidence.first, evidence.shape.keys
