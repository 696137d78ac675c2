"""What a restructuring has to know of the graph, read in bounded calls while the stream goes on.

The stream keeps writing meanwhile. So an entity is *flagged* before it is read: from then on, every link that
comes to it is noted in the `touched` set, and `refresh` reads what those links changed. Once nothing more is
noted, what was read is what is there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import redis

from resolver.keys import Keys
from resolver.packing import (
    LinkRecord,
    NodeRecord,
    SlotRecord,
    unpack_link,
    unpack_marks,
    unpack_node,
    unpack_slot,
)
from resolver.redis_store import RedisStore, script, translated
from resolver.store import Ties

_PAGE = 500

T = TypeVar("T")


@dataclass
class Region:
    """Identifiers with all their links, and whatever these tie to them, with the entities that they are in.

    `homes`: the slot of an identifier's entity, absent for one that has none. `entities`: by slot. `slots`:
    every slot that leads to one of them. `fresh`: the handles read last, `changed` whether entities changed.
    """

    client: "redis.Redis"
    namespace: str
    store: RedisStore
    roots: Collection[bytes]  # identifiers that are walked although they may be in no entity
    is_dry: bool = False  # nothing is flagged: what is read is to be looked at only
    nodes: dict[bytes, NodeRecord] = field(default_factory=dict)
    homes: dict[bytes, int] = field(default_factory=dict)
    entities: dict[int, SlotRecord] = field(default_factory=dict)
    slots: set[int] = field(default_factory=set)
    links: dict[bytes, LinkRecord] = field(default_factory=dict)
    links_of: dict[bytes, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    ties: dict[bytes, Ties] = field(default_factory=dict)
    walked: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._redis: Any = self.client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(self.namespace)
        self._homes = self.client.register_script(script("hash", "records", "homes"))
        self._chunks = self.client.register_script(script("chunks"))
        self._tree = self.client.register_script(script("tree"))

    def read(self, keys: Iterable[bytes]) -> None:
        """Read everything that hangs together with these identifiers."""
        frontier = [key for key in keys if key not in self.walked]
        while frontier:
            reached: dict[bytes, None] = {}
            for page in pages(frontier):
                reached |= dict.fromkeys(self._walk(page))
            frontier = [key for key in reached if key not in self.walked]

    def look(self, keys: Sequence[bytes]) -> None:
        """Read some identifiers, their links and whom these name, and no further. Flags nothing."""
        others: set[bytes] = set()
        for handles in self._handles(self._read_nodes(keys)):
            others |= self._read_links(handles)
        for page in pages([other for other in others if other not in self.nodes]):
            self._read_nodes(page)

    def _walk(self, keys: Sequence[bytes]) -> list[bytes]:
        """Read some identifiers and their links; what is reached by them and is to be walked, too."""
        self.walked.update(keys)
        self.locate(keys)
        nodes = self._read_nodes(keys)
        self.walked.difference_update(
            key for key in keys if key not in self.nodes
        )  # not named by any event yet
        others: set[bytes] = set()
        for handles in self._handles(nodes):
            others |= self._read_links(handles)
        self.ties.update(self.store.ties(keys))
        for key in keys:
            tied = self.ties[key]
            others.update(tied.synonyms, (other for other, _ in tied.together))
        unseen = [other for other in others if other not in self.nodes]
        for page in pages(unseen):
            self._read_nodes(page)
        return [key for key in others if self._is_walkable(key)]

    def _is_walkable(self, key: bytes) -> bool:
        node = self.nodes.get(key)
        return node is not None and (node.slot != 0 or key in self.roots)

    def locate(self, keys: Sequence[bytes]) -> None:
        """Know in which entities some identifiers are; flag these, unless all is dry."""
        flagging = "0" if self.is_dry else "1"
        with translated():
            homes, entities, way = self._homes([self._keys.nodes, self._keys.slots], [flagging, *keys])
        self.homes.update((key, slot) for key, slot in zip(keys, homes, strict=True) if slot)
        self.entities.update(
            (int(slot), unpack_slot(record))
            for slot, record in zip(entities[::2], entities[1::2], strict=True)
        )
        self.slots.update(way)

    def _read_nodes(self, keys: Sequence[bytes]) -> list[NodeRecord]:
        with translated():
            records = self._redis.hmget(self._keys.nodes, keys) if keys else ()
        found = {key: unpack_node(key, record) for key, record in zip(keys, records, strict=True) if record}
        self.nodes.update(found)
        return list(found.values())

    def _handles(self, nodes: Iterable[NodeRecord]) -> Iterator[list[bytes]]:
        """The handles of the links of these that are not read yet."""
        older, recent = [], dict[bytes, None]()
        for node in nodes:
            recent |= dict.fromkeys(node.links)
            if node.older:
                older.append(node.older)
        yield from pages(handle for handle in recent if handle not in self.links)
        while older:
            with translated():
                entries, *older = self._chunks([self._keys.chunks], [_PAGE, *older])
            found = (entries[at : at + 16] for at in range(0, len(entries), 16))
            yield from pages(handle for handle in found if handle not in self.links)

    def _read_links(self, handles: Sequence[bytes]) -> set[bytes]:
        """Whom some links name."""
        with translated():
            records = self._redis.hmget(self._keys.links, handles) if handles else ()
        named: set[bytes] = set()
        for handle, record in zip(handles, records, strict=True):
            if record:
                link = self.links[handle] = unpack_link(handle, record)
                named.update(link.keys)
                for key in link.keys:
                    self.links_of[key].add(handle)
        return named

    def chunks_of(self, entity: SlotRecord) -> Iterator[int]:
        """The numbers of the chunks of an entity's members."""
        waiting = [entity.older] if entity.older else []
        while waiting:
            with translated():
                found, waiting = self._tree([self._keys.chunks], [_PAGE, *waiting])
            yield from found

    def put(self, handle: bytes, link: LinkRecord) -> None:
        """Take a link for there that is not, or with more evidence than it has."""
        known = self.links.get(handle, link)
        self.links[handle] = LinkRecord(
            max(known.last_ms, link.last_ms), min(known.first, link.first), link.keys
        )
        for key in link.keys:
            self.links_of[key].add(handle)

    def suspended(self) -> Iterator[bytes]:
        """The fields of all links that are suspended, in the region or elsewhere."""
        with translated():
            yield from (name for name, _ in self._redis.hscan_iter(self._keys.suspended, count=1000))

    def keys_of(self, handle: bytes) -> tuple[bytes, ...]:
        """Whom a link names; nobody for a link outside."""
        link = self.links.get(handle)
        return link.keys if link is not None else ()

    def marks_of(self, keys: Collection[bytes]) -> dict[bytes, dict[str, bytes]]:
        """What operators said of some identifiers: a letter each (`lua/marks.lua`), and the log position."""
        found = {}
        for page in pages(keys):
            with translated():
                records = self._redis.hmget(self._keys.marks, page)
            for key, record in zip(page, records, strict=True):
                found[key] = {mark.what: mark.position for mark in unpack_marks(record or b"")}
        return found

    def refresh(self, handles: Collection[bytes]) -> set[bytes]:
        """Read what some links changed, which came after their entities were flagged; whom they name."""
        named: set[bytes] = set()
        for page in pages(handles):
            named |= self._read_links(page)
        for page in pages(named):
            self._read_nodes(page)
        fresh = [key for key in named if self._is_walkable(key)]
        for page in pages([key for key in fresh if key in self.walked]):
            self.locate(page)
        self.read(fresh)
        self._follow()
        return named

    def _follow(self) -> None:
        """Entities of the region may have become one meanwhile."""
        anyone = {slot: key for key, slot in self.homes.items()}
        moved: dict[int, int] = {}
        for page in pages(anyone.items()):
            before = [slot for slot, _ in page]
            self.locate([key for _, key in page])
            moved |= {slot: self.homes[key] for slot, (_, key) in zip(before, page, strict=True)}
        self.homes = {key: moved.get(slot, slot) for key, slot in self.homes.items()}


def pages(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, some hundred at a time."""
    rest = iter(items)
    while page := list(islice(rest, _PAGE)):
        yield page
