"""Every invariant of the Redis store, asserted. See `lua/` for the records and who makes them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resolver.keys import Keys
from resolver.packing import (
    ChunkRecord,
    LinkRecord,
    NodeRecord,
    SlotRecord,
    unpack_chunk,
    unpack_link,
    unpack_name,
    unpack_node,
    unpack_slot,
)
from schemas.errors import StoreCorrupt
from schemas.identifiers import EntityType, Identifier, Keyring


@dataclass(frozen=True, slots=True)
class _Graph:
    nodes: Mapping[bytes, NodeRecord]
    links: Mapping[bytes, LinkRecord]
    slots: Mapping[int, SlotRecord]
    chunks: Mapping[int, ChunkRecord]

    def home(self, slot: int) -> int:
        """The slot of the entity that a slot leads to."""
        for _ in range(64):  # union by size: no path is longer than log2 of the entity
            record = self.slots.get(slot)
            _hold(record is not None, f"slot {slot} is named and not there")
            assert record is not None
            if not record.moved_to:
                return slot
            slot = record.moved_to
        raise StoreCorrupt(f"slot {slot} is on a path that does not end")

    def listed(self, recent: tuple[bytes, ...], older: int) -> Iterator[bytes]:
        """The entries of a list: its recent ones and those of its chunks."""
        yield from recent
        waiting = [older]
        while waiting:
            chunk = waiting.pop()
            if chunk:
                record = self.chunks.get(chunk)
                _hold(record is not None, f"chunk {chunk} is named and not there")
                assert record is not None
                yield from record.entries
                waiting += (record.left, record.right)


def _hold(condition: bool, state: str) -> None:
    if not condition:
        raise StoreCorrupt(state)


def check_graph(client: Any, keys: Keys, keyring: Keyring) -> None:
    """Raise StoreCorrupt with the first invariant that does not hold, and what was found in its place."""
    graph = _Graph(
        {key: unpack_node(record) for key, record in client.hscan_iter(keys.nodes, count=5000)},
        {handle: unpack_link(record) for handle, record in client.hscan_iter(keys.links, count=5000)},
        {int(slot): unpack_slot(record) for slot, record in client.hscan_iter(keys.slots, count=5000)},
        {int(chunk): unpack_chunk(record) for chunk, record in client.hscan_iter(keys.chunks, count=5000)},
    )
    meta = {field.decode(): value.decode() for field, value in client.hgetall(keys.meta).items()}
    _check_counters(graph, meta)
    homes = {key: graph.home(node.slot) for key, node in graph.nodes.items()}
    _check_links(graph, homes, keyring)
    _check_nodes(graph, homes, keyring)
    _check_entities(graph, homes)
    _check_outbox(client, keys, meta)


def _check_counters(graph: _Graph, meta: Mapping[str, str]) -> None:
    """No slot and no chunk has a number that was never given out."""
    _hold(max(graph.slots, default=0) <= int(meta["slot"]), f"a slot lies above the counter {meta['slot']}")
    _hold(
        max(graph.chunks, default=0) <= int(meta["chunk"]), f"a chunk lies above the counter {meta['chunk']}"
    )


def _check_links(graph: _Graph, homes: Mapping[bytes, int], keyring: Keyring) -> None:
    """A link's handle is that of its keys, which are distinct, ascending, present, and of one entity."""
    for handle, link in graph.links.items():
        where = f"link {handle.hex()}"
        _hold(
            list(link.keys) == sorted(set(link.keys)) and bool(link.keys),
            f"{where}: keys are not a sorted set",
        )
        _hold(keyring.handle(b"".join(link.keys)) == handle, f"{where}: is not the handle of its keys")
        _hold(all(key in graph.nodes for key in link.keys), f"{where}: names an identifier that is not there")
        _hold(
            len({homes[key] for key in link.keys}) == 1, f"{where}: its identifiers are of several entities"
        )
        _hold(int.from_bytes(link.first[:6], "big") <= link.last_ms, f"{where}: ends before it begins")


def _check_nodes(graph: _Graph, homes: Mapping[bytes, int], keyring: Keyring) -> None:
    """A node's key is that of its name, and it lists exactly the links that hold it."""
    held: dict[bytes, list[bytes]] = defaultdict(list)
    for handle, link in graph.links.items():
        for key in link.keys:
            held[key].append(handle)
    for key, node in graph.nodes.items():
        where = f"node {key.hex()}"
        kind: EntityType = graph.slots[homes[key]].entity_type
        name = unpack_name(node.name)
        _hold(
            keyring.key(Identifier(kind, name.type, name.value)) == key,
            f"{where}: is not the key of its name",
        )
        listed = sorted(graph.listed(node.links, node.older))
        _hold(listed == sorted(held[key]), f"{where}: lists {len(listed)} links, {len(held[key])} hold it")


def _check_entities(graph: _Graph, homes: Mapping[bytes, int]) -> None:
    """An entity lists its identifiers once each, knows their number, and is called after the oldest."""
    members: dict[int, list[bytes]] = defaultdict(list)
    for key, slot in homes.items():
        members[slot].append(key)
    oldest: dict[int, tuple[bytes, bytes]] = {}
    for link in graph.links.values():
        slot, age = homes[link.keys[0]], (link.first, link.keys[0])
        oldest[slot] = min(age, oldest.get(slot, age))
    for slot, entity in graph.slots.items():
        if entity.moved_to:
            continue
        where = f"entity in slot {slot}"
        listed = Counter(graph.listed(entity.members, entity.older))
        _hold(
            listed == Counter(members[slot]), f"{where}: lists other identifiers than those that point to it"
        )
        _hold(
            entity.size == len(members[slot]), f"{where}: says size {entity.size}, has {len(members[slot])}"
        )
        _hold(
            (entity.position, entity.senior) == oldest[slot],
            f"{where}: is not called after its oldest identifier",
        )


def _check_outbox(client: Any, keys: Keys, meta: Mapping[str, str]) -> None:
    """The numbers of a generation have no gaps, end at the counter, and what waits is counted."""
    waiting, expected = 0, None
    for entry_id, fields in client.xrange(keys.outbox):
        generation, number = (int(part) for part in entry_id.split(b"-"))
        _hold(expected in (None, number) or number == 1, f"outbox: {number} follows where {expected} should")
        waiting += int(fields[b"count"])
        expected = number + int(fields[b"count"])
        is_last = generation == int(meta["generation"])
        _hold(
            not is_last or expected <= int(meta["number"]) + 1,
            "outbox: holds numbers that were never given out",
        )
    _hold(
        waiting == int(meta["pending"]), f"outbox: {waiting} transitions wait, {meta['pending']} are counted"
    )
