"""What surrounds an identifier, read from the store's records in pages, for people who ask why."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import redis

from resolver.judge import Conflict, Edge
from resolver.keys import Keys
from resolver.packing import (
    NodeRecord,
    unpack_link,
    unpack_marks,
    unpack_name,
    unpack_node,
    unpack_slot,
    unpack_type,
)
from resolver.redis_store import RedisStore, script, translated
from resolver.store import Standing
from schemas.transitions import NamedIdentifier

_PAGE = 1000

T = TypeVar("T")


class RedisNeighbours:
    """The graph of one namespace, as `resolver.explain` reads it; see `Graph` there.

    Each read sees whole batches. Nothing is remembered between two reads.
    """

    def __init__(self, client: "redis.Redis", namespace: str, store: RedisStore) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(namespace)
        self._store = store
        self._chunks = client.register_script(script("chunks"))

    # edges

    def edges(self, keys: Sequence[bytes]) -> Iterator[Collection[Edge]]:
        """All edges that name one of these identifiers, in pages; may name one twice."""
        for page in _pages(keys):
            yield self._said(page)
            for handles in self._handles(self._nodes(page).values()):
                yield self._links(handles)

    def _said(self, keys: Sequence[bytes]) -> Collection[Edge]:
        """What operators put together, and synonyms."""
        found = set()
        for key, ties in self._store.ties(keys).items():
            for other, position in ties.together:
                found.add(Edge("together", position, _pair(key, other)))
            for other in ties.synonyms:
                found.add(Edge("synonym", b"", _pair(key, other)))
        return found

    def _handles(self, nodes: Iterable[NodeRecord]) -> Iterator[list[bytes]]:
        """The handles of all links that these list."""
        older: list[int] = []
        recent: list[bytes] = []
        for node in nodes:
            recent += node.links
            if node.older:
                older.append(node.older)
        yield from _pages(dict.fromkeys(recent))
        while older:
            with translated():
                entries, *older = self._chunks([self._keys.chunks], [_PAGE, *older])
            yield from _pages(entries[at : at + 16] for at in range(0, len(entries), 16))

    def _links(self, handles: Sequence[bytes]) -> Collection[Edge]:
        """The links of some handles; one without a record is a link that was taken back."""
        found = zip(handles, self._read(self._keys.links, handles), strict=True)
        links = [unpack_link(handle, record) for handle, record in found if record]
        return [Edge("event", link.first, link.keys) for link in links]

    # entities

    def homes(self, keys: Collection[bytes]) -> Mapping[bytes, int | None]:
        """The slot of the entity that each identifier is in; None for one that is not in the graph.

        An identifier that no event names is left out.
        """
        found: dict[bytes, int | None] = {}
        for page in _pages(keys):
            slots = {key: node.slot for key, node in self._nodes(page).items()}
            ends = self._ends({slot for slot in slots.values() if slot})
            found.update({key: ends.get(slot) for key, slot in slots.items()})
        return found

    def _ends(self, slots: Collection[int]) -> Mapping[int, int]:
        """For each slot the one that it has moved to in the end."""
        leads, wanted = {}, set(slots)
        while wanted:
            asked = list(wanted)
            records = self._read(self._keys.slots, asked)
            for slot, record in zip(asked, records, strict=True):
                leads[slot] = unpack_slot(record).moved_to if record else 0
            wanted = {to for to in leads.values() if to} - leads.keys()
        return {slot: _followed(leads, slot) for slot in slots}

    def names(self, keys: Collection[bytes]) -> Mapping[bytes, NamedIdentifier]:
        """Type and value of each identifier that an event names."""
        return {
            key: unpack_name(node.name) for page in _pages(keys) for key, node in self._nodes(page).items()
        }

    def with_history(self, keys: Collection[bytes]) -> Sequence[bytes]:
        """Those of some keys whose ids have been through something."""
        found = []
        for page in _pages(keys):
            records = self._read(self._keys.history, page)
            found += [key for key, record in zip(page, records, strict=True) if record]
        return found

    def _nodes(self, keys: Sequence[bytes]) -> dict[bytes, NodeRecord]:
        records = zip(keys, self._read(self._keys.nodes, keys), strict=True)
        return {key: unpack_node(key, record) for key, record in records if record}

    # what keeps two apart

    def living(self, key: bytes) -> bytes:
        """The key that goes by this one today. An identifier that was erased and is named again has another
        one; one that is not keeps the key that was erased.
        """
        while (erasure := self._erasure(key)) is not None:
            following = self._store.keyring.reborn(key, erasure)
            if self._erasure(following) is None and not self._nodes([following]):
                break
            key = following
        return key

    def _erasure(self, key: bytes) -> bytes | None:
        """The log position at which an identifier was erased."""
        (record,) = self._read(self._keys.marks, [key])
        return next((mark.position for mark in unpack_marks(record or b"") if mark.what == "e"), None)

    def standing(self, key: bytes) -> Standing:
        """How an identifier stands; see `Store.standing`."""
        return self._store.standing(key)

    def conflict(self, edge: Edge) -> Conflict | None:
        """Why an edge is suspended, None for one that is not."""
        (reason,) = self._read(self._keys.suspended, [self._field(edge)])
        if reason is None:
            return None
        if reason[:1] == b"u":
            return Conflict(unpack_type(reason[1:]), None)
        return Conflict(None, (reason[1:17], reason[17:33]))

    def _field(self, edge: Edge) -> bytes:
        """Where the store keeps why an edge is suspended."""
        together = b"".join(edge.keys)
        if edge.kind == "event":
            return self._store.keyring.handle(together)
        return {"together": b"t", "synonym": b"s"}[edge.kind] + together

    def is_apart(self, a: bytes, b: bytes) -> bool:
        """Whether an operator said that these two are not one."""
        ties = self._store.ties([a]).get(a)
        return ties is not None and any(other == b for other, _ in ties.apart)

    def _read(self, key: str, fields: Sequence[Any]) -> list[bytes | None]:
        with translated():
            return list(self._redis.hmget(key, fields)) if fields else []


def _pages(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while page := list(islice(rest, _PAGE)):
        yield page


def _pair(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    return (one, other) if one < other else (other, one)


def _followed(leads: Mapping[int, int], slot: int) -> int:
    while leads[slot]:
        slot = leads[slot]
    return slot
