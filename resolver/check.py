"""Every invariant of the Redis store, asserted. See `lua/` for the records and who makes them.

What the links, the marks and the rules say is computed anew, as the reference would, and compared with what
the store keeps of it: who is out of the graph and why, which entities there are, what they are called.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from resolver.check_profiles import Graph, Home, Stored, check_profiles, read_facts
from resolver.judge import Conflict, Edge, Partition, judge
from resolver.keys import Keys
from resolver.packing import (
    ChunkRecord,
    LinkRecord,
    Mark,
    NodeRecord,
    SlotRecord,
    pack_type,
    sixteens,
    unpack_chunk,
    unpack_link,
    unpack_marks,
    unpack_node,
    unpack_quarantine,
    unpack_slot,
)
from resolver.recent import MOST, event_key, pack_recent, texts_of
from schemas.errors import StoreCorrupt
from schemas.identifiers import Identifier, Keyring
from schemas.rules import Limit, Rules


@dataclass(frozen=True)
class _Graph:
    nodes: Mapping[bytes, NodeRecord]
    links: Mapping[bytes, LinkRecord]
    slots: Mapping[int, SlotRecord]
    chunks: Mapping[int, ChunkRecord]
    marks: Mapping[bytes, list[Mark]]
    synonyms: Mapping[bytes, bytes]
    quarantine: Mapping[bytes, bytes]
    suspended: Mapping[bytes, bytes]
    pending: Mapping[bytes, bytes]

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

    @cached_property
    def homes(self) -> Mapping[bytes, int]:
        """The slot of the entity of every identifier that has one."""
        return {key: self.home(node.slot) for key, node in self.nodes.items() if node.slot}

    @cached_property
    def names(self) -> Mapping[bytes, Identifier]:
        """Who the identifiers are."""
        return {key: node.identifier for key, node in self.nodes.items()}

    @cached_property
    def links_of(self) -> Mapping[bytes, list[bytes]]:
        """The handles of the links that hold each identifier."""
        held: dict[bytes, list[bytes]] = defaultdict(list)
        for handle, link in self.links.items():
            for key in link.keys:
                held[key].append(handle)
        return held

    @cached_property
    def partners(self) -> Mapping[bytes, Mapping[bytes, bytes]]:
        """The partners of each identifier, with the position of the oldest link that holds both."""
        found: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        for link in self.links.values():
            for key in link.keys:
                for other in link.keys:
                    if other != key:
                        found[key][other] = min(link.first, found[key].get(other, link.first))
        return found

    def counted(self, key: bytes, limit: Limit) -> list[tuple[bytes, bytes]]:
        """The partners that count towards a limit, oldest first: (position, key)."""
        return sorted(
            (position, other)
            for other, position in self.partners[key].items()
            if limit.partner_type in (None, self.names[other].identifier_type)
        )


def _hold(condition: bool, state: str) -> None:
    if not condition:
        raise StoreCorrupt(state)


def check_graph(client: Any, keys: Keys, keyring: Keyring, rules: Rules, *, is_settled: bool = True) -> None:
    """Raise StoreCorrupt with the first invariant that does not hold, and what was found in its place.

    While a restructuring is under way the answer is not yet what the links give: then (`is_settled` false)
    only what holds at any moment is looked at.
    """

    def read(key: str) -> dict[bytes, bytes]:
        return dict(client.hscan_iter(key, count=5000))

    graph = _Graph(
        {key: unpack_node(key, record) for key, record in read(keys.nodes).items()},
        {handle: unpack_link(handle, record) for handle, record in read(keys.links).items()},
        {int(slot): unpack_slot(record) for slot, record in read(keys.slots).items()},
        {int(chunk): unpack_chunk(record) for chunk, record in read(keys.chunks).items()},
        {key: unpack_marks(record) for key, record in read(keys.marks).items()},
        read(keys.synonyms),
        read(keys.quarantine),
        read(keys.suspended),
        read(keys.pending),
    )
    meta = {field.decode(): value.decode() for field, value in client.hgetall(keys.meta).items()}
    _check_counters(graph, meta)
    if is_settled:
        _check_links(graph, keyring)
        _check_nodes(graph, keyring)
        _check_guards(graph)
        _check_counts(graph, rules)
        _check_answer(graph, rules)
        _check_entities(graph)
        _check_facts(client, keys, graph, rules, int(meta.get("now", 0)))
        _check_recent(client, keys, graph)
    _check_outbox(client, keys, meta)


def _check_counters(graph: _Graph, meta: Mapping[str, str]) -> None:
    """No slot and no chunk has a number that was never given out."""
    _hold(max(graph.slots, default=0) <= int(meta["slot"]), f"a slot lies above the counter {meta['slot']}")
    _hold(
        max(graph.chunks, default=0) <= int(meta["chunk"]), f"a chunk lies above the counter {meta['chunk']}"
    )


def _check_links(graph: _Graph, keyring: Keyring) -> None:
    """A link's handle is that of its keys, which are distinct, ascending and present."""
    for handle, link in graph.links.items():
        where = f"link {handle.hex()}"
        _hold(
            list(link.keys) == sorted(set(link.keys)) and bool(link.keys),
            f"{where}: keys are not a sorted set",
        )
        _hold(keyring.handle(b"".join(link.keys)) == handle, f"{where}: is not the handle of its keys")
        _hold(all(key in graph.nodes for key in link.keys), f"{where}: names an identifier that is not there")
        _hold(int.from_bytes(link.first[:6], "big") <= link.last_ms, f"{where}: ends before it begins")


def _check_nodes(graph: _Graph, keyring: Keyring) -> None:
    """A node's key is that of its name, and it lists the links that hold it; others it lists were dropped."""
    for key, node in graph.nodes.items():
        where = f"node {key.hex()}"
        _hold(
            keyring.key(node.identifier) == key or _is_reborn(graph, keyring, key, node),
            f"{where}: is not the key of its name",
        )
        listed = sorted(handle for handle in graph.listed(node.links, node.older) if handle in graph.links)
        held = sorted(graph.links_of[key])
        _hold(listed == held, f"{where}: lists {len(listed)} links, {len(held)} hold it")
        _hold(bool(held), f"{where}: no link holds it")


def _is_reborn(graph: _Graph, keyring: Keyring, key: bytes, node: NodeRecord) -> bool:
    """Whether a key is that of a name that was erased and came back."""
    born = keyring.key(node.identifier)
    while erased := [mark for mark in graph.marks.get(born, ()) if mark.what == "e"]:
        born = keyring.reborn(born, erased[0].position)
    return born == key


def _check_guards(graph: _Graph) -> None:
    """What operators said is known to the node; who is out of the graph has no entity, everybody else has."""
    for key, node in graph.nodes.items():
        where, said = f"node {key.hex()}", {mark.what for mark in graph.marks.get(key, ())}
        _hold("e" not in said, f"{where}: was erased and is there")
        _hold(node.is_blocked == ("b" in said), f"{where}: blocked {node.is_blocked}, said {sorted(said)}")
        _hold(node.is_released == ("r" in said), f"{where}: released {node.is_released}, said {sorted(said)}")
        is_out = node.is_blocked or node.is_quarantined
        _hold(is_out == (node.slot == 0), f"{where}: is out of the graph {is_out}, and in slot {node.slot}")
        _hold(
            node.is_quarantined == (key in graph.quarantine),
            f"{where}: is quarantined {node.is_quarantined}, and its record is not",
        )
    _hold(graph.quarantine.keys() <= graph.nodes.keys(), "quarantine: holds an identifier that is not there")


def _check_counts(graph: _Graph, rules: Rules) -> None:
    """Partners are counted, and those that are too many are known, the oldest of them with their age."""
    for key, node in graph.nodes.items():
        where, kind = f"node {key.hex()}", graph.names[key].identifier_type
        record = unpack_quarantine(graph.quarantine.get(key, b"\0"), kind)
        crossed = {one.limit: one.oldest for one in record}
        for limit in rules.limits:
            if limit.identifier_type != kind or node.is_blocked or node.is_released:
                continue
            counted = graph.counted(key, limit)
            if len(counted) > limit.most:
                oldest = [(position, other) for other, position in crossed.get(limit, ())]
                _hold(oldest == counted[: limit.most + 1], f"{where}: the oldest partners of {limit} differ")
            else:
                packed = b"" if limit.partner_type is None else pack_type(limit.partner_type)
                _hold(
                    set(node.partners.get(packed, ())) == {other for _, other in counted},
                    f"{where}: counts other partners than its links for {limit}",
                )
                _hold(limit not in crossed, f"{where}: is said to have crossed {limit}")


def judged(graph: _Graph, rules: Rules) -> tuple[Partition, Mapping[Edge, Conflict]]:
    """The partition that links, marks and synonyms give, and the edges that are suspended."""

    def unique_type(key: bytes) -> str | None:
        kind = graph.names[key].identifier_type
        return kind if kind in rules.unique else None

    apart = {
        key: [mark.other for mark in marks if mark.what == "a"]
        for key, marks in graph.marks.items()
        if any(mark.what == "a" for mark in marks)
    }
    partition = Partition(unique_type, apart, rules.unique)
    for key, node in graph.nodes.items():
        if not node.is_blocked and not node.is_quarantined:
            partition.add(key)
    return partition, judge(_edges(graph), partition)


def _edges(graph: _Graph) -> Iterator[Edge]:
    for key, marks in graph.marks.items():
        for mark in marks:
            if mark.what == "t" and key < mark.other:
                yield Edge("together", mark.position, (key, mark.other))
    for key, others in graph.synonyms.items():
        for at in range(0, len(others), 16):
            if key < others[at : at + 16]:
                yield Edge("synonym", b"", (key, others[at : at + 16]))
    for link in graph.links.values():
        yield Edge("event", link.first, link.keys)


def _check_answer(graph: _Graph, rules: Rules) -> None:
    """Entities are what the links give, and links that unite nothing are known as suspended."""
    partition, suspended = judged(graph, rules)
    of_slot: dict[int, set[bytes]] = defaultdict(set)
    for key, slot in graph.homes.items():
        of_slot[slot].add(key)
    _hold(
        sorted(map(sorted, of_slot.values())) == sorted(map(sorted, partition.parts)),
        f"{len(of_slot)} entities are not the {len(partition.parts)} that the links give",
    )
    expected = set()
    for edge in suspended:
        pair = b"".join(edge.keys)
        expected.add({"together": b"t" + pair, "synonym": b"s" + pair}.get(edge.kind, pair))
        for key in edge.keys:
            entity = graph.slots.get(graph.homes.get(key, 0))
            where = f"node {key.hex()}"
            _hold(entity is None or entity.is_tied, f"{where}: a suspended link ties its entity, unnoted")
    known = {b"".join(graph.links[field].keys) if len(field) == 16 else field for field in graph.suspended}
    _hold(known == expected, f"{len(known)} links are said to be suspended, {len(expected)} are")


def _check_entities(graph: _Graph) -> None:
    """An entity lists its identifiers once each, knows their number, and is called after the oldest."""
    members: dict[int, list[bytes]] = defaultdict(list)
    for key, slot in graph.homes.items():
        members[slot].append(key)
    oldest: dict[int, tuple[bytes, bytes]] = {}
    for link in graph.links.values():
        for key in link.keys:
            slot, age = graph.homes.get(key, 0), (link.first, key)
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


def _check_facts(client: Any, keys: Keys, graph: _Graph, rules: Rules, now_ms: int) -> None:
    staff = dict(client.hscan_iter(keys.staff, count=5000))
    lists = {key: (sixteens(record[4:]), int.from_bytes(record[:4], "big")) for key, record in staff.items()}
    lines = dict(client.hscan_iter(keys.timelines, count=5000))
    stored = Stored(
        read_facts(dict(client.hscan_iter(keys.said, count=5000)), lines),
        {
            int(slot): one
            for slot, one in read_facts(dict(client.hscan_iter(keys.profiles, count=5000)), lines).items()
        },
        {key: set(graph.listed(*one)) for key, one in lists.items()},
        {int(slot): int(instant) for slot, instant in client.zscan_iter(keys.timers, count=5000)},
        now_ms,
        {int(chunk) for chunk in lines},
    )
    homes = {
        slot: Home(entity.entity_type, entity.senior)
        for slot, entity in graph.slots.items()
        if not entity.moved_to
    }
    links = {handle: link.keys for handle, link in graph.links.items()}

    def priority(key: bytes) -> int:
        return rules.priority(graph.names[key].identifier_type)

    erased = {key for key, marks in graph.marks.items() if any(mark.what == "e" for mark in marks)}
    check_profiles(stored, Graph(links, graph.homes, homes, priority, erased), rules, _hold)


def _check_recent(client: Any, keys: Keys, graph: _Graph) -> None:
    """Recent events hang on links that are there: no more than may be asked for; each once and in order,
    but for those that came last.
    """
    for field, record in client.hscan_iter(keys.recent, count=5000):
        where, texts = f"recent events of link {field.hex()}", texts_of(record)
        _hold(field[:16] in graph.links, f"{where}: there is no such link")
        _hold(record == pack_recent(texts), f"{where}: the record is cut off")
        _hold(0 < len(texts) <= MOST, f"{where}: there are {len(texts)}")
        if field[16:]:
            _hold(texts == sorted(texts), f"{where}: are not in order")
            _hold(len(set(map(event_key, texts))) == len(texts), f"{where}: hold an event twice")


def _check_outbox(client: Any, keys: Keys, meta: Mapping[str, str]) -> None:
    """The numbers of a generation have no gaps, end at the counter, and what waits is counted."""
    waiting, expected = 0, None
    entries = {_sequence(entry_id): int(fields[b"count"]) for entry_id, fields in client.xrange(keys.outbox)}
    cursor = {field: int(value) for field, value in client.hgetall(keys.cursor).items()}
    published = (cursor.get(b"generation", 0), cursor.get(b"number", 0))
    for entry_id, redacted in client.hgetall(keys.redacted).items():
        if _sequence(entry_id) > published:
            entries[_sequence(entry_id)] = redacted.count(b"\n")
    for (generation, number), count in sorted(entries.items()):
        _hold(expected in (None, number) or number == 1, f"outbox: {number} follows where {expected} should")
        waiting += count
        expected = number + count
        is_last = generation == int(meta["generation"])
        _hold(
            not is_last or expected <= int(meta["number"]) + 1,
            "outbox: holds numbers that were never given out",
        )
    _hold(
        waiting == int(meta["pending"]), f"outbox: {waiting} transitions wait, {meta['pending']} are counted"
    )


def _sequence(entry_id: bytes) -> tuple[int, int]:
    generation, number = entry_id.split(b"-")
    return int(generation), int(number)
