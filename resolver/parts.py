"""The new answer of a region: who is in the graph, which entities there are, and what is told of it.

The same rules as `lua/leave.lua`, `lua/judge.lua`, `lua/rebuild.lua` and `lua/announce.lua`, for what is too
large for one call. Pure: it looks at a `Region` and computes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from resolver.judge import Conflict, Edge, Partition, judge
from resolver.packing import (
    ADDED,
    CREATED,
    ERASED,
    MERGED,
    QUARANTINED,
    RELABELLED,
    RELEASED,
    SPLIT,
    Caused,
    NodeRecord,
    QuarantineRecord,
    pack_count,
    pack_named,
    pack_reason,
    pack_type,
)
from resolver.region import Region
from schemas.events import log_position, parse_position
from schemas.identifiers import EntityType, Identifier
from schemas.rules import Limit, Rules

_CREATED_AT_ONCE, _TOLD_AT_ONCE = 64, 1000
_REMEMBERED = 1000  # of a split into more parts only the whole remembers
_KEPT = 20  # changes that a history keeps
_UNKNOWN = log_position(253_402_300_799_999, "", "")  # the last instant of the year 9999
_WHY = {"released": 1, "unblocked": 2, "rules": 3, "erased": 4}


@dataclass(frozen=True, slots=True)
class Wish:
    """How an identifier is to stand: its node's flags, the limits that it crossed, and what it counts."""

    is_erased: bool = False
    is_blocked: bool = False
    is_released: bool = False
    crossed: tuple[QuarantineRecord, ...] = ()
    partners: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict)

    @property
    def is_in(self) -> bool:
        """Whether it is to be in the graph."""
        return not (self.is_erased or self.is_blocked or self.crossed)

    def on(self, node: NodeRecord) -> NodeRecord:
        """The node as it is to be, in no slot: that is told later."""
        return node._replace(
            slot=0,
            is_released=self.is_released,
            is_quarantined=bool(self.crossed),
            is_blocked=self.is_blocked,
            partners=self.partners,
        )


@dataclass(slots=True)
class Piece:
    """What a part has of an entity that was."""

    slot: int
    keys: list[bytes] = field(default_factory=list)
    senior: bytes = b""


@dataclass(slots=True)
class Part:
    """An entity of the new answer: its identifiers, the pieces it comes from, and who is new in it."""

    keys: list[bytes]
    senior: bytes
    pieces: list[Piece]
    fresh: list[bytes]
    is_tied: bool = False
    is_apart: bool = False
    values: Mapping[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """A change that an id's history remembers: `what` as in `lua/history.lua`; `at` counts transitions."""

    what: int
    key: bytes
    other: bytes
    moved: int
    cause: bytes
    at: int


class Answer:
    """The new answer of a region, once what is in `unsettled` (key -> position of the cause) is settled."""

    def __init__(
        self, region: Region, unsettled: Mapping[bytes, bytes], rules: Rules, ruled_by: bytes | None = None
    ) -> None:
        self.region, self.unsettled, self.rules, self.ruled_by = region, unsettled, rules, ruled_by
        self.transitions: list[bytes] = []
        self.history: list[Told] = []
        self._steps: list[tuple[EntityType, bytes, bytes | None]] = []  # an id is another now, or ended

    # who is in the graph

    @cached_property
    def marks(self) -> Mapping[bytes, Mapping[str, bytes]]:
        """What operators said of the identifiers to be settled: a letter each, and the log position."""
        return self.region.marks_of(self.unsettled)

    @cached_property
    def erased(self) -> frozenset[bytes]:
        """Identifiers that go, with their links."""
        return frozenset(key for key in self.unsettled if "e" in self.marks[key] and key in self.region.nodes)

    @cached_property
    def ruled(self) -> frozenset[bytes]:
        """Identifiers that the rules block now. They go, and their links with them: what these say of others
        is said by smaller links. Those are written before the operator event that brought the rules is given
        as the cause (`rescan`).
        """
        ruled = (key for key, cause in self.unsettled.items() if cause == self.ruled_by)
        there = (key for key in ruled if key in self.region.nodes and key not in self.erased)
        return frozenset(key for key in there if self.rules.blocked(self.names[key]) is not None)

    @cached_property
    def dropped(self) -> frozenset[bytes]:
        """The handles of the links that go with them."""
        return frozenset(handle for key in self.erased | self.ruled for handle in self.region.links_of[key])

    @cached_property
    def pending(self) -> Mapping[bytes, bytes]:
        """Whom a link named that goes with an erased identifier although it was seen after the erasure: only
        the log can tell what it says. Each with the log position of the erasure.
        """
        found: dict[bytes, bytes] = {}
        for key in self.erased:
            position = self.marks[key]["e"]
            erased_ms = parse_position(position).ingested_at_ms
            for link in map(self.region.links.__getitem__, self.region.links_of[key]):
                if link.last_ms >= erased_ms:
                    found |= dict.fromkeys(link.keys, position)
        return found

    @cached_property
    def vanished(self) -> frozenset[bytes]:
        """Identifiers that no link names any more."""
        others = (self.bereft | self.unsettled.keys() & self.region.nodes.keys()) - self.erased - self.ruled
        return frozenset(key for key in others if not self.region.links_of[key] - self.dropped)

    @cached_property
    def bereft(self) -> frozenset[bytes]:
        """Whom the links name that go: they are counted anew."""
        return frozenset(key for handle in self.dropped for key in self.region.links[handle].keys)

    @property
    def unread(self) -> frozenset[bytes]:
        """Identifiers out of the graph that are to be counted anew: the region does not reach them."""
        return (self.bereft & self.region.nodes.keys()) - self.region.walked

    @cached_property
    def wishes(self) -> Mapping[bytes, Wish]:
        """How those stand that are to be settled, or counted anew since links go."""
        asked = [key for key in {*self.unsettled, *self.bereft} if key in self.region.nodes]
        gone = self.erased | self.vanished | self.ruled
        return {key: Wish(is_erased=True) if key in gone else self.wish(key) for key in asked}

    def wish(self, key: bytes) -> Wish:
        """How an identifier is to stand that is not to go."""
        node = self.region.nodes[key]
        said = self.marks.get(key)
        is_blocked = node.is_blocked if said is None else "b" in said
        is_released = node.is_released if said is None else "r" in said
        if is_blocked or is_released:
            return Wish(is_blocked=is_blocked, is_released=is_released)
        crossed, partners = [], {}
        for limit in self.rules.limits:
            if limit.identifier_type == node.identifier.identifier_type:
                counted = self._counted(key, limit)
                if len(counted) > limit.most:
                    oldest = tuple((other, position) for position, other in counted[: limit.most + 1])
                    crossed.append(QuarantineRecord(limit, oldest))
                elif counted:
                    kind = b"" if limit.partner_type is None else pack_type(limit.partner_type)
                    partners[kind] = tuple(other for _, other in counted)
        return Wish(crossed=tuple(crossed), partners=partners)

    def _counted(self, key: bytes, limit: Limit) -> list[tuple[bytes, bytes]]:
        """The partners that count towards a limit: (position, key), oldest first. Who is lost, until a
        repair, counts for nobody.
        """
        ages: dict[bytes, bytes] = {}
        for handle in self.region.links_of[key] - self.dropped:
            link = self.region.links[handle]
            for other in link.keys:
                if other != key and other in self.region.nodes:
                    ages[other] = min(link.first, ages.get(other, link.first))
        names = self.names
        return sorted(
            (position, other)
            for other, position in ages.items()
            if limit.partner_type in (None, names[other].identifier_type)
        )

    @cached_property
    def names(self) -> "_Names":
        """Who the identifiers are."""
        return _Names(self.region)

    def is_in(self, key: bytes) -> bool:
        """Whether an identifier is in the graph of the new answer."""
        wish = self.wishes.get(key)
        if wish is not None:
            return wish.is_in
        node = self.region.nodes.get(key)
        return node is not None and not node.is_blocked and not node.is_quarantined

    # the entities

    @cached_property
    def links(self) -> Mapping[bytes, tuple[bytes, tuple[bytes, ...]]]:
        """The links that stay: first evidence and keys, by handle."""
        return {
            handle: (link.first, link.keys)
            for handle, link in self.region.links.items()
            if handle not in self.dropped
        }

    @cached_property
    def judged(self) -> tuple[Partition, Mapping[Edge, Conflict]]:
        """The parts, and what is suspended."""
        apart = {
            key: [other for other, _ in ties.apart] for key, ties in self.region.ties.items() if ties.apart
        }
        partition = Partition(self._unique_type, apart, self.rules.unique)
        for key in self.region.walked:
            if self.is_in(key):
                partition.add(key)
        if not apart and not self.rules.unique:
            for edge in self._edges():
                partition.judge(key for key in edge.keys if key in partition)
            return partition, {}
        return partition, judge(self._edges(), partition)

    def _unique_type(self, key: bytes) -> str | None:
        if not self.rules.unique:
            return None
        kind = self.names[key].identifier_type
        return kind if kind in self.rules.unique else None

    def _edges(self) -> Iterator[Edge]:
        ties = set()  # what came while the region was read may be known from one side only
        for key, tied in self.region.ties.items():
            ties |= {Edge("together", position, _pair(key, other)) for other, position in tied.together}
            ties |= {Edge("synonym", b"", _pair(key, other)) for other in tied.synonyms}
        yield from ties
        for first, keys in self.links.values():
            yield Edge("event", first, keys)

    @cached_property
    def ages(self) -> Mapping[bytes, bytes]:
        """Each identifier's lowest log position. Whose links are all lost, until a repair, is youngest."""
        ages: dict[bytes, bytes] = {}
        for first, keys in self.links.values():
            for key in keys:
                if key not in ages or first < ages[key]:
                    ages[key] = first
        for key in self.region.walked:
            ages.setdefault(key, _UNKNOWN)
        return ages

    def _senior(self, keys: Iterable[bytes]) -> bytes:
        ages = self.ages
        return min((ages[key], key) for key in keys)[1]

    @cached_property
    def wiped(self) -> Mapping[int, list[bytes]]:
        """Of entities that held erased identifiers, those: what remains is told anew."""
        found: dict[int, list[bytes]] = defaultdict(list)
        for key in self.erased | self.vanished:
            if key in self.region.homes:
                found[self.region.homes[key]].append(key)
        return found

    @cached_property
    def parts(self) -> list[Part]:
        """The entities of the new answer."""
        partition, suspended = self.judged
        tied = {partition.root(key) for edge in suspended for key in edge.keys if key in partition}
        parts = []
        for keys in partition.parts:
            root = partition.root(keys[0])
            part = self._part(keys)
            part.is_tied = root in tied
            values, part.is_apart = partition.held(root)
            part.values = {pack_type(kind): key for kind, key in values.items()}
            parts.append(part)
        return parts

    @property
    def changed(self) -> int:
        """How many entities are not what they were: old ones, and new ones that come from none."""
        alike = sum(self._is_alike(part) for part in self.parts)
        born = sum(not part.pieces for part in self.parts)
        return len(set(self.region.homes.values())) - alike + born

    def _is_alike(self, part: Part) -> bool:
        if len(part.pieces) != 1 or part.fresh:
            return False
        entity = self.region.entities[part.pieces[0].slot]
        return entity.size == len(part.keys) and entity.senior == part.senior

    def _part(self, keys: list[bytes]) -> Part:
        pieces: dict[int, Piece] = {}
        fresh = []
        for key in keys:
            slot = self.region.homes.get(key)
            if slot is None or slot in self.wiped:
                fresh.append(key)
            else:
                pieces.setdefault(slot, Piece(slot)).keys.append(key)
        for piece in pieces.values():
            piece.senior = self._senior(piece.keys)
        return Part(keys, self._senior(keys), list(pieces.values()), fresh)

    # what is suspended

    def field(self, edge: Edge) -> bytes:
        """Under which field the store says why an edge is suspended."""
        pair = b"".join(edge.keys)
        if edge.kind == "event":
            return self.region.store.keyring.handle(pair)
        return {"together": b"t", "synonym": b"s"}[edge.kind] + pair

    def reason(self, why: Conflict) -> bytes:
        """Why an edge is suspended, as the store says it."""
        return b"u" + pack_type(why.unique) if why.unique else b"a" + b"".join(why.apart or ())

    # what is told

    def tell(self) -> None:
        """Make the transitions, in the order of docs/consuming.md, and the history."""
        self._tell_left()
        pieces: dict[int, list[Piece]] = defaultdict(list)
        for part in self.parts:
            for piece in part.pieces:
                pieces[piece.slot].append(piece)
        slots = dict.fromkeys(self.region.homes.values())
        for slot in slots:
            self._tell_old(slot, pieces[slot])
        for part in self.parts:
            self._tell_part(part)

    def known(self) -> Mapping[bytes, int]:
        """By the key of an id, after what is told: the slot whose facts consumers know under it."""
        known = {self.region.entities[slot].senior: slot for slot in set(self.region.homes.values())}
        for _, gone, now in self._steps:
            slot = known.pop(gone, None)
            if now is not None and slot is not None:
                known[now] = slot
        return known

    @property
    def groups_out(self) -> Iterator[bytes]:
        """Identifiers of groups that are there and in no entity."""
        for key in self.region.walked:
            node = self.region.nodes.get(key)
            if node is not None and node.entity_type == "group" and not self.is_in(key):
                yield key

    @property
    def group_steps(self) -> bytes:
        """What is told of the ids of groups: 16 bytes of one that is gone, 16 of what it is now, or zeros."""
        return b"".join(gone + (now or bytes(16)) for kind, gone, now in self._steps if kind == "group")

    @property
    def cause(self) -> bytes:
        """The log position of what is given as the cause of most of it."""
        return self._first_cause

    def _cause(self, key: bytes) -> Caused:
        return Caused(self.unsettled.get(key, self._first_cause), self.region.nodes[key].entity_type)

    @cached_property
    def _first_cause(self) -> bytes:
        return min(self.unsettled.values())

    def _tell_left(self) -> None:
        for key, wish in self.wishes.items():
            node = self.region.nodes[key]
            was_in = not node.is_blocked and not node.is_quarantined
            is_out = wish.is_blocked or wish.crossed or key in self.ruled
            if not is_out or not (was_in or (wish.crossed and node.is_blocked)):
                continue
            slot = self.region.homes.get(key)
            owner = self.region.entities[slot].senior if slot is not None else key
            reason = pack_reason(wish.crossed[0] if wish.crossed else None)
            self._emit(self._cause(key), QUARANTINED, owner, pack_named(key, node.name) + reason)
            self._remember(9, key, owner, 1)

    def _emit(self, cause: Caused, kind: int, key: bytes, rest: bytes) -> None:
        self.transitions.append(cause.emit(kind, key, rest))
        if kind in (MERGED, RELABELLED):
            self._steps.append((cause.entity_type, rest[:16], key if kind == RELABELLED else None))
        elif kind in (ERASED, CREATED):  # an id that is created begins anew, whatever was known under it
            self._steps.append((cause.entity_type, key, None))
        self._told_by = cause.position

    def _remember(self, what: int, key: bytes, other: bytes, moved: int) -> None:
        self.history.append(Told(what, key, other, moved, self._told_by, len(self.transitions)))

    def _tell_old(self, slot: int, pieces: list[Piece]) -> None:
        entity = self.region.entities[slot]
        cause = Caused(self._first_cause, entity.entity_type)
        if slot in self.wiped:
            keys = self.wiped[slot]
            for at in range(0, len(keys), _TOLD_AT_ONCE):
                some = keys[at : at + _TOLD_AT_ONCE]
                self._emit(cause, ERASED, entity.senior, pack_count(len(some), 2) + b"".join(some))
            return
        told = 0
        for piece in pieces:
            if piece.senior == entity.senior:
                continue
            if len(pieces) == 1:
                self._relabelled(cause, piece.senior, entity.senior)
            else:
                told += 1
                self._split(cause, entity.senior, piece, told, len(pieces))

    def _relabelled(self, cause: Caused, now: bytes, former: bytes) -> None:
        self._emit(cause, RELABELLED, now, former)
        self._remember(4, now, former, 0)
        self._remember(6, former, now, 0)

    def _split(self, cause: Caused, whole: bytes, piece: Piece, part: int, parts: int) -> None:
        head = piece.senior + pack_count(part, 4) + pack_count(parts, 4)
        for at in range(0, len(piece.keys), _TOLD_AT_ONCE):
            some = piece.keys[at : at + _TOLD_AT_ONCE]
            self._emit(cause, SPLIT, whole, head + pack_count(len(some), 2) + self._named(some))
        if parts <= _REMEMBERED or part <= _KEPT:
            self._remember(7, whole, piece.senior, len(piece.keys))
        if parts <= _REMEMBERED:
            self._remember(8, piece.senior, whole, len(piece.keys))

    def _named(self, keys: Iterable[bytes]) -> bytes:
        nodes = self.region.nodes
        return b"".join(pack_named(key, nodes[key].name) for key in keys)

    def _tell_part(self, part: Part) -> None:
        if len(part.pieces) == 1 and not part.fresh and part.pieces[0].senior == part.senior:
            return
        cause = Caused(self._first_cause, self.region.nodes[part.senior].entity_type)
        back = [key for key in part.fresh if self._is_back(key)]
        new = [key for key in part.fresh if not self._is_back(key)]
        name = part.senior
        if part.pieces:
            name = self._tell_pieces(part, cause)
        elif new:
            some = new[:_CREATED_AT_ONCE]
            self._emit(cause, CREATED, name, pack_count(len(some), 1) + self._named(some))
            new = new[_CREATED_AT_ONCE:]
        for key in new:
            self._emit(cause, ADDED, name, self._named([key]))
        for key in back:
            why = _WHY[self._why_back(key)]
            self._emit(self._cause(key), RELEASED, name, self._named([key]) + pack_count(why, 1))
            self._remember(10, key, name, 1)
        if name != part.senior:
            self._relabelled(cause, part.senior, name)

    def _is_back(self, key: bytes) -> bool:
        node = self.region.nodes[key]
        return node.is_blocked or node.is_quarantined

    def _why_back(self, key: bytes) -> str:
        node, wish = self.region.nodes[key], self.wishes[key]
        if node.is_blocked:
            return "unblocked"
        return "released" if wish.is_released else "erased" if self.erased else "rules"

    def _tell_pieces(self, part: Part, cause: Caused) -> bytes:
        ages = self.ages
        oldest = min(part.pieces, key=lambda piece: (ages[piece.senior], piece.senior))
        for piece in part.pieces:
            if piece is not oldest:
                moved = len(piece.keys)
                self._emit(cause, MERGED, oldest.senior, piece.senior + pack_count(moved, 4))
                self._remember(3, oldest.senior, piece.senior, moved)
                self._remember(5, piece.senior, oldest.senior, moved)
        return oldest.senior


def _pair(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    return (one, other) if one < other else (other, one)


class _Names(dict[bytes, Identifier]):
    """Who the identifiers of a region are, found out when asked."""

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region

    def __missing__(self, key: bytes) -> Identifier:
        self[key] = identifier = self._region.nodes[key].identifier
        return identifier
