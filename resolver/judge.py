"""Guard 4: which links may unite, when an entity may hold one value of a type, or a pair must stay apart.

Links are judged whole, one after the other: a link is admitted if afterwards no entity holds two values of a
unique type, or both of an `apart` pair; else it is suspended and unites nothing. The order is part of the
rule, since the first of two links that exclude each other wins:

1. `together` links of operators, newest first: a person who looked knows better than an event;
2. synonyms, by their keys;
3. links of events, by (first log position, link key).

A suspended link is one whose identifiers ended in several entities: had other links united them later, the
union that was refused would stand. So whether a link is suspended can be seen from the partition alone.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["together", "synonym", "event"]


class Edge(NamedTuple):
    """What says that identifiers are one: its kind, its log position (bytes), all its identifier keys,
    ascending.
    """

    kind: Kind
    position: bytes
    keys: tuple[bytes, ...]


class Conflict(NamedTuple):
    """Why an edge is suspended: a unique type of which an entity would hold two values, or an apart pair."""

    unique: str | None
    apart: tuple[bytes, bytes] | None


@dataclass(slots=True)
class Partition:
    """Identifier keys in disjoint sets, each of which knows what it may not be united with."""

    unique_type: Callable[[bytes], str | None]
    apart: Mapping[bytes, Collection[bytes]]
    order: tuple[str, ...]  # of the unique types
    _parent: dict[bytes, bytes] = field(default_factory=dict)
    _members: dict[bytes, list[bytes]] = field(default_factory=dict)
    _values: dict[bytes, dict[str, bytes]] = field(default_factory=dict)
    _apart: dict[bytes, list[bytes]] = field(default_factory=dict)

    def add(self, key: bytes) -> None:
        """An identifier of its own, if it is not there yet."""
        if key in self._parent:
            return
        self._parent[key], self._members[key] = key, [key]
        kind = self.unique_type(key)
        self._values[key] = {} if kind is None else {kind: key}
        self._apart[key] = [key] if key in self.apart else []

    def __contains__(self, key: bytes) -> bool:
        return key in self._parent

    def root(self, key: bytes) -> bytes:
        """The set that holds an identifier."""
        parent = self._parent
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def judge(self, keys: Iterable[bytes]) -> Conflict | None:
        """Unite the sets of these identifiers, or say why that may not be."""
        roots = list(dict.fromkeys(self.root(key) for key in keys))
        if len(roots) < 2:
            return None
        conflict = self._conflict(roots)
        if conflict is None:
            self._unite(roots)
        return conflict

    def _conflict(self, roots: list[bytes]) -> Conflict | None:
        for kind in self.order:
            values = {self._values[root][kind] for root in roots if kind in self._values[root]}
            if len(values) > 1:
                return Conflict(kind, None)
        held = {key for root in roots for key in self._apart[root]}
        pairs = [(one, other) for one in held for other in self.apart[one] if other in held and one < other]
        return Conflict(None, min(pairs)) if pairs else None

    def _unite(self, roots: list[bytes]) -> None:
        host = max(roots, key=lambda root: len(self._members[root]))
        for root in roots:
            if root != host:
                self._parent[root] = host
                self._members[host] += self._members.pop(root)
                self._values[host] |= self._values.pop(root)
                self._apart[host] += self._apart.pop(root)

    def held(self, root: bytes) -> tuple[Mapping[str, bytes], bool]:
        """What a set may not be united with: its values of unique types; whether it holds one of a pair."""
        return self._values[root], bool(self._apart[root])

    @property
    def parts(self) -> list[list[bytes]]:
        """The sets, in no order."""
        return list(self._members.values())


def order_of(edge: Edge) -> tuple[int, tuple[int, ...] | bytes, tuple[bytes, ...]]:
    """The order in which edges are judged."""
    if edge.kind == "together":
        return 0, (*(255 - byte for byte in edge.position), 256), edge.keys
    return (1, b"", edge.keys) if edge.kind == "synonym" else (2, edge.position, edge.keys)


def judge(edges: Iterable[Edge], partition: Partition) -> dict[Edge, Conflict]:
    """Unite what the edges unite; the suspended ones, each with its reason.

    An edge speaks for those of its identifiers that are in the partition: the others are guarded.
    """
    suspended: dict[Edge, Conflict] = {}
    for edge in sorted(edges, key=order_of):
        conflict = partition.judge(key for key in edge.keys if key in partition)
        if conflict is not None:
            suspended[edge] = conflict
    return suspended
