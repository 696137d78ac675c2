"""Small made-up graphs of identifiers and edges, in memory, and plain answers about them to compare with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from hypothesis import strategies as st

from resolver.judge import Edge


def key(number: int) -> bytes:
    """Give the key of identifier number so and so."""
    return number.to_bytes(16, "big")


def edge(position: int, *numbers: int) -> Edge:
    """Give a link of these identifiers, first named at this position."""
    return Edge("event", position.to_bytes(6, "big"), tuple(key(number) for number in sorted(set(numbers))))


@dataclass
class InMemory:
    """A graph that is read as the store is: `page` edges at a time. `reads` counts the edges handed out.

    An identifier that `home` does not name is in entity 1.
    """

    graph: Sequence[Edge]
    home: Mapping[bytes, int | None] = field(default_factory=dict)
    page: int = 2
    reads: int = 0

    def edges(self, keys: Sequence[bytes]) -> Iterator[Collection[Edge]]:
        """Give the edges that name one of these."""
        wanted = set(keys)
        found = [one for one in self.graph if wanted & set(one.keys)]
        for start in range(0, len(found), self.page):
            self.reads += len(found[start : start + self.page])
            yield found[start : start + self.page]

    def homes(self, keys: Collection[bytes]) -> Mapping[bytes, int | None]:
        """Give the entity of each."""
        named = {each for one in self.graph for each in one.keys}
        return {each: self.home.get(each, 1) for each in keys if each in named}


@st.composite
def graphs(draw: st.DrawFn, identifiers: int = 7, most: int = 9) -> tuple[Edge, ...]:
    """Few identifiers, few edges, few positions, so that there are ties and several ways."""
    members = st.lists(st.integers(0, identifiers - 1), min_size=1, max_size=3, unique=True)
    found = draw(st.lists(members, min_size=1, max_size=most, unique_by=lambda one: tuple(sorted(one))))
    return tuple(edge(draw(st.integers(0, 2)), *numbers) for numbers in found)


def reached(graph: Collection[Edge], start: bytes) -> set[bytes]:
    """Give all identifiers that hang together with this one."""
    found, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        beside = {other for one in graph if at in one.keys for other in one.keys} - found
        found |= beside
        waiting += beside
    return found


def distance(graph: Collection[Edge], a: bytes, b: bytes) -> int | None:
    """Give how many edges the shortest chain has."""
    seen, steps = {a}, 0
    while b not in seen:
        beside = {other for one in graph if seen & set(one.keys) for other in one.keys} | seen
        if beside == seen:
            return None
        seen, steps = beside, steps + 1
    return steps


Way = tuple[tuple[Edge, bytes], ...]


def shortest_ways(graph: Collection[Edge], a: bytes, b: bytes) -> list[Way]:
    """Give every shortest chain: all chains of a length, then of the next."""
    ways: list[Way] = [()]
    for _ in range(len(graph) + 1):
        arrived = [way for way in ways if (way[-1][1] if way else a) == b]
        if arrived or not ways:
            return arrived
        ways = [
            (*way, (one, to))
            for way in ways
            for one in graph
            if (way[-1][1] if way else a) in one.keys and one not in {passed for passed, _ in way}
            for to in one.keys
            if to not in {a, *(there for _, there in way)}
        ]
    return []


def smallest_cuts(graph: Collection[Edge], a: bytes, b: bytes) -> list[frozenset[Edge]]:
    """Give every smallest set of edges that separates two: all sets of a size, then of the next."""
    for size in range(len(graph) + 1):
        found = [
            frozenset(cut)
            for cut in combinations(graph, size)
            if b not in reached([one for one in graph if one not in cut], a)
        ]
        if found:
            return found
    raise AssertionError("an edge for each of them separates any two")
