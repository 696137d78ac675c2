"""Sets the store right where the log says otherwise, while the stream goes on.

A repair is about links and facts: what the log has and the store has not is added, what the log has not is
taken out, and the answer is then computed anew from what is there, as any restructuring in bounded calls
does. So it tells consumers in the ordinary way, and a second repair finds nothing to do.

1. *Watch.* From one instant on, the store notes what comes to the links concerned (`lua/watched.lua`).
2. *Read* what the log says of them, as soon as it has everything up to that instant.
3. *Amend.* One call puts that in the place of what the store has, together with what was noted: whatever
   came meanwhile counts, and nothing is told yet.
4. *Settle.* Whoever is named by one of these links is resolved anew.
"""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import redis

from resolver.keys import Keys
from resolver.links import Linker
from resolver.packing import pack_message, unpack_node
from resolver.redis_store import RedisStore, script, translated
from resolver.region import pages
from resolver.restructure import Restructuring
from resolver.store import Cut, Evidence
from schemas.errors import StoreUnavailable
from schemas.events import Event

log = logging.getLogger("nexus.repair")

_MOST_BYTES = 1 << 20  # of messages in a call
_PAUSE_S = 0.1
_PATIENCE_S = 600.0


class EventLog(Protocol):
    """Everything that was ever read, as far as it is kept beside the store."""

    def reach(self, cut: Cut) -> None:
        """Wait until the log has all that the store has read at a cut."""

    def events(self, keys: Collection[bytes]) -> Iterable[Event]:
        """The events of which a participant names one of these identifiers, by their keys."""


class Repair:
    """Sets right what the store has of some identifiers.

    `cause` is the log position that the transitions name.
    """

    def __init__(
        self,
        client: "redis.Redis",
        namespace: str,
        store: RedisStore,
        event_log: EventLog,
        restructuring: Restructuring,
    ) -> None:
        self._store, self._log = store, event_log
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys, self._restructuring = Keys(namespace), restructuring
        self._sweep = client.register_script(script("hash", "order", "records", "facts", "sweep"))

    def run(self, keys: Collection[bytes], cause: bytes) -> None:
        """Make of these identifiers what the log says, and wait until that is the answer.

        Raises StoreUnavailable when other rules come into force or an event is retracted meanwhile, or what
        is to be settled is not within ten minutes: nothing is lost then, and the next run goes on.
        """
        retracted = self._store.retracted()  # before what comes is noted: then none of that is of these
        try:
            handles = self._evidence(keys).keys() | self._links(keys)
            self._log.reach(self._store.watch(list(handles)))
            self._amend(keys, handles, cause, retracted)
        finally:
            self._store.unwatch()
        self._settle()

    def sweep(self) -> int:
        """Drop entities that nobody is in, which only a store that lost records can have; how many."""
        dropped, keys = 0, self._keys
        stores = [
            keys.meta,
            keys.nodes,
            keys.slots,
            keys.profiles,
            keys.timelines,
            keys.unsummed,
            keys.timers,
        ]
        with translated():
            for key in (keys.slots, keys.profiles):
                for page in pages(slot for slot, _ in self._redis.hscan_iter(key, count=1000)):
                    dropped += self._sweep(stores, page)
        return dropped

    def _linker(self, retracted: frozenset[bytes]) -> Linker:
        linker = Linker(self._store.keyring, self._store.rules)
        linker.learn(self._store.erasures())
        linker.leave_out(retracted)
        return linker

    def _evidence(self, keys: Collection[bytes]) -> Mapping[bytes, Evidence]:
        """The links that the log has of some identifiers, by their handles, retracted or not: all of them are
        watched.
        """
        return _about(keys, self._linker(frozenset()).evidence(self._log.events(keys)))

    def _links(self, keys: Collection[bytes]) -> set[bytes]:
        """The handles of the links that identifiers list.

        The link of one identifier has its key for a handle, should nobody list it any more.
        """
        return {handle for listed in self._listed(keys).values() for handle in listed}.union(keys)

    def _amend(
        self,
        keys: Collection[bytes],
        handles: Collection[bytes],
        cause: bytes,
        retracted: frozenset[bytes],
    ) -> None:
        linker, events = self._linker(retracted), list(self._log.events(keys))
        said: dict[bytes, list[bytes]] = defaultdict(list)
        for message in linker.facts(events):
            said[message[:16]].append(message)
        known = _about(keys, linker.evidence(events))
        messages = [[b"u" + key] for key in keys]
        messages += [
            [link, *(b"f" + fact for fact in said[link[1:17]])] for link in self._messages(handles, known)
        ]
        for page in _calls(messages):
            self._send([b"c" + cause, *page], len(retracted))

    def _messages(self, handles: Collection[bytes], known: Mapping[bytes, Evidence]) -> Iterator[bytes]:
        """What is to be said of each link."""
        there = self._there(handles)
        listed = self._listed({key for one in known.values() for key in one.shape.keys})
        for handle in handles:
            head = b"l" + handle + bytes([handle in there])
            one = known.get(handle)
            if one is None:
                yield head + b"\0"
            else:
                lists = bytes(min(listed[key][handle], 255) for key in one.shape.keys)
                packed = pack_message(one.shape.packed, one.first, one.last_ms)
                yield head + bytes([len(lists)]) + lists + packed

    def _there(self, handles: Collection[bytes]) -> Collection[bytes]:
        """The links that the store has a record of."""
        with translated():
            return {
                handle
                for page in pages(handles)
                for handle, record in zip(page, self._redis.hmget(self._keys.links, page), strict=True)
                if record is not None
            }

    def _listed(self, keys: Collection[bytes]) -> Mapping[bytes, Counter[bytes]]:
        """The links that identifiers list, be they there or not, and how often."""
        found: dict[bytes, Counter[bytes]] = defaultdict(Counter)
        with translated():
            for page in pages(keys):
                for key, record in zip(page, self._redis.hmget(self._keys.nodes, page), strict=True):
                    if record is not None:
                        node = unpack_node(key, record)
                        found[key] = Counter(self._store.listed(node.links, node.older))
        return found

    def _send(self, messages: Sequence[bytes], retracted: int) -> None:
        for _ in _patiently():
            if self._store.amend(messages, retracted):
                return
            if not self._store.is_ruled():
                raise StoreUnavailable("other rules came into force: the next run repairs under them")
            self._restructuring.run()
        raise StoreUnavailable("what is being settled takes too long: the next run repairs")

    def _settle(self) -> None:
        for _ in _patiently():
            self._restructuring.run()
            if not self._restructuring.is_due():
                return
        raise StoreUnavailable("what was repaired is not settled yet: the next run goes on")


def _about(keys: Collection[bytes], evidence: Iterable[Evidence]) -> dict[bytes, Evidence]:
    """The links of some identifiers: of others that the same events name, these events may not say all."""
    wanted = frozenset(keys)
    return {one.shape.handle: one for one in evidence if not wanted.isdisjoint(one.shape.keys)}


def _calls(messages: Iterable[Sequence[bytes]]) -> Iterator[list[bytes]]:
    """The messages of some links at a time; those of one link stay together."""
    page: list[bytes] = []
    size = 0
    for group in messages:
        page += group
        size += sum(map(len, group))
        if size > _MOST_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _patiently() -> Iterator[None]:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        yield None
        time.sleep(_PAUSE_S)
