"""Why two identifiers are one, or are not.

Of two that are one: the shortest chain of what says so, and the smallest set of it without which they would
not be. Of two that are not: what breaks the shortest chain that there would be without guards. Entities may
be large and the question is asked by people, so there is a bound on what is read, and an answer that was cut
short says so.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from resolver.judge import Conflict, Edge
from resolver.paths import Neighbours, Region, Step, TooFar, separating, shortest
from resolver.store import Standing
from schemas.errors import StoreUnavailable

LIMIT: Final = 100_000
"""How many identifiers are read for one answer, unless told otherwise."""

_TRIES = 3
_MOST_LINKS = 10_000


class Graph(Neighbours, Protocol):
    """What an explanation reads of the store."""

    def standing(self, key: bytes) -> Standing:
        """How an identifier stands."""

    def conflict(self, edge: Edge) -> Conflict | None:
        """Why an edge is suspended, None for one that is not."""

    def is_apart(self, a: bytes, b: bytes) -> bool:
        """Whether an operator said that these two are not one."""


class Outside(NamedTuple):
    """A guard: an identifier that is not in the graph, and how it stands instead."""

    key: bytes
    standing: Standing


class Suspended(NamedTuple):
    """A guard: an edge that unites nothing, and why; None where that changed while it was asked."""

    edge: Edge
    conflict: Conflict | None


@dataclass(frozen=True, slots=True)
class Why:
    """Why the identifiers with the keys `a` and `b` are one, or are not.

    `chain` leads from a to b: of two that are one the shortest, of two that are not the shortest that there
    would be without guards; None when there is none. `separating` are the fewest edges without which two that
    are one would not be; None where that was not computed. `guards` are what breaks the chain of two that are
    not one, in its order. `is_apart`: an operator said that they are not one. `is_cut_short`: more would have
    had to be read than the limit allows, and what is None is not known.
    """

    a: bytes
    b: bytes
    is_one: bool
    chain: tuple[Step, ...] | None = None
    separating: tuple[Edge, ...] | None = None
    guards: tuple[Outside | Suspended, ...] = ()
    is_apart: bool = False
    is_cut_short: bool = False

    @property
    def keys(self) -> Collection[bytes]:
        """The keys of all identifiers that this speaks of."""
        groups = [step.edge.keys for step in self.chain or ()]
        groups += [edge.keys for edge in self.separating or ()]
        for guard in self.guards:
            if isinstance(guard, Suspended) and guard.conflict is not None:
                groups.append(guard.conflict.apart or ())
        return dict.fromkeys([self.a, self.b, *(key for group in groups for key in group)])


def why(graph: Graph, a: bytes, b: bytes, limit: int = LIMIT) -> Why:
    """Explain two identifiers, given by their keys, from at most `limit` others.

    Raises StoreUnavailable when the answer changed under it again and again.
    """
    for _ in range(_TRIES):
        homes = graph.homes([a, b])
        is_one = homes.get(a) is not None and homes.get(a) == homes.get(b)
        found = _one(graph, a, b, limit) if is_one else _two(graph, a, b, limit)
        if found is not None:
            return found
    raise StoreUnavailable("the entities changed while they were read, three times: ask again")


def _one(graph: Graph, a: bytes, b: bytes, limit: int) -> Why | None:
    """Why two are one; None when they no longer were while it was asked."""
    region = Region(graph, limit, is_guarded=True)
    try:
        chain = shortest(region, a, b)
    except TooFar:
        return Why(a, b, is_one=True, is_cut_short=True)
    if chain is None:
        return None
    cut = separating(region, a, b) if chain else ()
    return Why(a, b, is_one=True, chain=chain, separating=cut, is_cut_short=cut is None)


def _two(graph: Graph, a: bytes, b: bytes, limit: int) -> Why | None:
    """Why two are not one; None when they had become it while it was asked."""
    is_apart = graph.is_apart(a, b)
    try:
        chain = shortest(Region(graph, limit, is_guarded=False), a, b)
    except TooFar:
        ends = tuple(_outside(graph, (a, b)))
        return Why(a, b, is_one=False, guards=ends, is_apart=is_apart, is_cut_short=True)
    guards = tuple(_guards(graph, a, b, chain or ()))
    if chain and not guards:
        return None
    return Why(a, b, is_one=False, chain=chain, guards=guards, is_apart=is_apart)


def _guards(graph: Graph, a: bytes, b: bytes, chain: tuple[Step, ...]) -> Iterator[Outside | Suspended]:
    """What breaks a chain, from a to b; without a chain what there is to say of its ends."""
    if not chain:
        yield from _outside(graph, dict.fromkeys((a, b)))
        return
    yield from _outside(graph, (a,))
    for step in chain:
        entities = {home for home in graph.homes(step.edge.keys).values() if home is not None}
        if len(entities) > 1:
            yield Suspended(step.edge, graph.conflict(step.edge))
        yield from _outside(graph, (step.to,))


def _outside(graph: Graph, keys: Collection[bytes]) -> Iterator[Outside]:
    homes = graph.homes(keys)
    return (Outside(key, graph.standing(key)) for key in keys if homes.get(key) is None)


class Glued(NamedTuple):
    """How many entities an identifier would make one; of a hub only so many links are looked at."""

    entities: int
    is_at_least: bool


def glued(graph: Graph, key: bytes, most_links: int = _MOST_LINKS) -> Glued:
    """Count the entities of the partners of an identifier that is out of the graph."""
    partners: set[bytes] = set()
    links = 0
    for page in graph.edges([key]):
        named = [edge for edge in page if edge.kind == "event"]
        links += len(named)
        partners.update(other for edge in named for other in edge.keys)
        if links > most_links:
            break
    homes = graph.homes(partners)
    entities = {home for home in homes.values() if home is not None}
    return Glued(len(entities), links > most_links)
