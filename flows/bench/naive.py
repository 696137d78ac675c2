"""A resolver as it is written first: correct, and one Redis call for each identifier. For comparison only.

It keeps the mapping and nothing else. No links, no evidence, no synonyms, no history, no transitions, no
atomic batch: it does *less* than the store that it is measured against, and after a crash it may stand
between two calls. What it shares is the input, the decoding, the guards and the durability of the server. Its
offset is written after each event, so that no more than one is done again; or, because to do it again is
harmless, after each batch.

- `HASH of`: identifier -> its entity, which is named by its first identifier (quick-find: one call tells);
- `SET members:entity`: its identifiers, so that the smaller of two entities can be renamed one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from resolver.links import Linker
from schemas.events import Event


class NaiveResolver:
    """Events into entities, call by call."""

    def __init__(self, client: "redis.Redis", linker: Linker, prefix: str, *, each_event: bool) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._linker, self._each_event = linker, each_event
        self._of, self._members, self._offset = f"{prefix}:of", f"{prefix}:members", f"{prefix}:offset"

    def resolve(self, events: Sequence[Event]) -> None:
        """Every event of a batch, one after the other."""
        for event in events:
            for participant in event.participants:
                shape = self._linker.shape(participant.identifiers)
                if shape is not None:
                    self.unite(shape.keys)
            if self._each_event:
                self._commit(event.position)
        if events and not self._each_event:
            self._commit(events[-1].position)

    def _commit(self, position: bytes) -> None:
        self._redis.set(self._offset, position)

    def unite(self, keys: Iterable[bytes]) -> None:
        """These identifiers are one."""
        entity: bytes | None = None
        unknown = []
        for key in keys:
            found = self._redis.hget(self._of, key)
            if found is None:
                unknown.append(key)
            elif entity is None:
                entity = found
            elif found != entity:
                entity = self._merge(entity, found)
        for key in unknown:
            entity = key if entity is None else entity
            self._place(key, entity)

    def _merge(self, one: bytes, other: bytes) -> bytes:
        """The larger one stays."""
        if self._redis.scard(self._set(one)) < self._redis.scard(self._set(other)):
            one, other = other, one
        for key in self._redis.smembers(self._set(other)):
            self._place(key, one)
        self._redis.delete(self._set(other))
        return one

    def _place(self, key: bytes, entity: bytes) -> None:
        self._redis.hset(self._of, key, entity)
        self._redis.sadd(self._set(entity), key)

    def _set(self, entity: bytes) -> str:
        return f"{self._members}:{entity.hex()}"

    def mapping(self) -> Mapping[bytes, bytes]:
        """Identifier key -> entity."""
        return dict(self._redis.hgetall(self._of))
