"""After a restructuring in bounded calls: the facts of each new entity are summed up, in bounded calls.

Until then facts are taken and nothing is told of the entity. Whoever takes over from a process that died does
it again for those that are left: to sum up twice gives the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from resolver.keys import Keys
from resolver.packing import pack_count, sixteens, unpack_node, unpack_slot
from resolver.redis_store import RedisStore
from resolver.region import pages
from schemas.errors import StoreCorrupt

_MOST = 2_000  # handles in a call
_ERASED = 500  # keys in a call
NO_SLOT, STEPS = "0", "steps"
"""The cause of the whole is noted under the one, what was told of groups under the other."""


class SummingUp:
    """Sums up what is left in the `unsummed` hash."""

    def __init__(self, client: "redis.Redis", keys: Keys, store: RedisStore) -> None:
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys, self._store = keys, store

    def run(self) -> None:
        """Until nothing is left."""
        doomed: dict[bytes, list[bytes]] = defaultdict(list)
        for entry in self._redis.lrange(self._keys.doomed, 0, -1):
            doomed[entry[:1]].append(entry[1:])
        dropped = set(doomed[b"l"])
        self._leave(doomed[b"g"] + doomed[b"v"], doomed[b"m"])
        while left := self._left():
            for page in pages(left):
                self._sum(page, dropped)
        self._redis.unlink(self._keys.unsummed)

    def _left(self) -> list[tuple[bytes, bytes]]:
        left = self._redis.hscan_iter(self._keys.unsummed, count=1000)
        return [(slot, noted) for slot, noted in left if slot.decode() not in (NO_SLOT, STEPS)]

    def _leave(self, erased: list[bytes], out: list[bytes]) -> None:
        """Take persons out of groups that were erased, and of those that have no identifiers any more."""
        noted = self._redis.hget(self._keys.unsummed, NO_SLOT)
        if noted is None:
            return
        for at in range(0, len(erased), _ERASED):
            some = erased[at : at + _ERASED]
            self._tell_staff(some, noted[8:], some)
        self._tell_staff(out, noted[8:], ())

    def _sum(self, page: list[tuple[bytes, bytes]], dropped: set[bytes]) -> None:
        records = self._redis.hmget(self._keys.slots, [slot for slot, _ in page])
        small: list[bytes] = []
        for (slot, noted), record in zip(page, records, strict=True):
            if record is None:
                self._gone(slot)
                continue
            entity, head = unpack_slot(record), b"s" + pack_count(int(slot), 4) + noted[4:8]
            members = list(self._store.listed(entity.members, entity.older))
            if entity.entity_type == "group":
                self._tell_staff(members, noted[8:], ())
            handles = [handle for handle in self._handles(members) if handle not in dropped]
            while len(handles) > _MOST:
                self._store.sum_up([head + b"\0" + b"".join(handles[:_MOST])])
                del handles[:_MOST]
            small.append(head + b"\1" + b"".join(handles))
            if sum(map(len, small)) > 16 * _MOST:
                self._store.sum_up(small)
                small = []
        if small:
            self._store.sum_up(small)

    def _gone(self, slot: bytes) -> None:
        """What is no longer there became part of another entity meanwhile, which is then noted instead."""
        if self._redis.hexists(self._keys.unsummed, slot):
            raise StoreCorrupt(f"the entity in slot {slot.decode()} is to be summed up and not there")

    def _handles(self, keys: Iterable[bytes]) -> Iterator[bytes]:
        """The handles of the links of some identifiers, each once."""
        found: dict[bytes, None] = {}
        for page in pages(keys):
            records = self._redis.hmget(self._keys.nodes, page)
            for key, record in zip(page, records, strict=True):
                if record is not None:
                    node = unpack_node(key, record)
                    found |= dict.fromkeys(self._store.listed(node.links, node.older))
        return iter(found)

    def _tell_staff(self, keys: Iterable[bytes], cause: bytes, erased: Iterable[bytes]) -> None:
        """Tell persons of their memberships in groups that these identifiers belong to, or did."""
        gone = list(erased)
        head = b"p" + pack_count(len(cause), 2) + cause + pack_count(len(gone), 2) + b"".join(gone)
        handles: dict[bytes, None] = {}
        for page in pages(keys):
            for record in self._redis.hmget(self._keys.staff, page):
                if record is not None:
                    older = int.from_bytes(record[:4], "big")
                    handles |= dict.fromkeys(self._store.listed(sixteens(record[4:]), older))
        for page in pages(handles):
            self._store.sum_up([head + b"".join(page)])
