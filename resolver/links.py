"""From events to the links they are evidence of, under the guards, ready for one atomic call."""

from collections.abc import Iterable
from functools import lru_cache

from resolver.packing import pack_shape
from resolver.store import Evidence, Shape
from schemas.blocked import blocked
from schemas.events import Event
from schemas.identifiers import Identifier, Keyring
from schemas.synonyms import PREVIOUS, synonyms


class Linker:
    """Turns events into evidence, under one namespace's keys.

    A participant's identifiers that a guard leaves over form a link; a participant left with none forms no
    link, which is no error. What an identifier set looks like to the store is remembered for the last
    200,000 sets, because visitors come back.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._shape = lru_cache(maxsize=200_000)(self._make_shape)

    def shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        """The link of identifiers that were named together; None when the guards leave none of them."""
        return self._shape(identifiers)

    def _make_shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        keyed = sorted({self._keyring.key(one): one for one in identifiers if blocked(one) is None}.items())
        if not keyed:
            return None
        keys = tuple(key for key, _ in keyed)
        members = tuple(identifier for _, identifier in keyed)
        handle = self._keyring.handle(b"".join(keys))
        return Shape(
            members[0].entity_type, members, keys, handle, pack_shape(members, keys, self._synonyms(members))
        )

    def _synonyms(self, members: tuple[Identifier, ...]) -> bytes:
        """The pairs of keys that are one by definition, told where the former id of an alias is named."""
        key = self._keyring.key
        former = (one for one in members if one.identifier_type == PREVIOUS)
        return b"".join(
            key(one) + key(other) for one in former for other in synonyms(one) if blocked(other) is None
        )

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


def _log_order(evidence: Evidence) -> tuple[bytes, tuple[bytes, ...]]:
    return evidence.first, evidence.shape.keys
