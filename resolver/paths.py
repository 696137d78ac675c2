"""Chains and cuts in the graph of identifiers and links, of which as little is read as will do.

The graph has two kinds of vertices: identifiers, and what says that identifiers are one (`Edge`: a link of
events, a synonym, a pair that an operator put together). A chain goes from identifier to edge to identifier.

1. *Search from both ends.* Levels of equal distance grow around both, and the two sides take turns by pages,
   so that the side with fewer links grows faster: a near pair is found without reading all the links of a
   hub that stands between them. Where complete levels meet, the shortest chains are.
2. *Cut.* Of the sets of edges that separate the two, one is smallest (Menger): as many edges as there are
   chains that share none. Each edge lets one chain through; the same search, which may take back what an
   earlier chain took, finds another until there is none (Ford and Fulkerson, with the shortest chains first,
   as Edmonds and Karp do; all that meet at once are taken at once). What can then be reached from `a` ends at
   the smallest set that is nearest to `a`, whichever chains were found.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from resolver.judge import Edge

_LINKS_PER_IDENTIFIER = 4  # read at most, over all; entities have one to two
_STEPS_PER_IDENTIFIER = 100  # a search may be repeated for each edge of the cut


class Neighbours(Protocol):
    """What a search reads. Each read sees whole batches; the stream may go on between two of them."""

    def edges(self, keys: Sequence[bytes]) -> Iterator[Collection[Edge]]:
        """All edges that name one of these identifiers, in pages of bounded size; may name one twice."""

    def homes(self, keys: Collection[bytes]) -> Mapping[bytes, int | None]:
        """The entity each identifier is in, by a number; None for one that is not in the graph.

        An identifier that no event names is left out.
        """


class Step(NamedTuple):
    """One step of a chain: the edge that is passed, and the identifier that it leads to."""

    edge: Edge
    to: bytes


class TooFar(Exception):
    """More would have to be read than was allowed."""


class _Link:
    """An edge as it was read. A chain that was found comes in at one identifier and leaves by another."""

    __slots__ = ("comes", "edge", "leaves", "members")

    def __init__(self, edge: Edge, members: Sequence[bytes]) -> None:
        self.edge, self.members = edge, members
        self.comes: bytes | None = None
        self.leaves: bytes | None = None


class Region:
    """What was read of the graph: nothing is read twice.

    `is_guarded`: only identifiers in the graph carry a chain, and edges that are not suspended. Else all that
    events name. Raises TooFar when there would be more than `limit` identifiers, or four times as many edges.
    """

    def __init__(self, source: Neighbours, limit: int, *, is_guarded: bool) -> None:
        self._source, self._limit, self._is_guarded = source, limit, is_guarded
        self._links: dict[Edge, _Link] = {}
        self._met: set[bytes] = set()
        self._complete: set[bytes] = set()
        self._homes: dict[bytes, int | None] = {}
        self._steps = 0
        self.at: dict[bytes, list[_Link]] = defaultdict(list)

    def read(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Read, page by page, all edges of some identifiers."""
        wanted = [key for key in keys if key not in self._complete]
        if wanted:
            for page in self._source.edges(wanted):
                self._learn(page)
                yield
        self._complete.update(wanted)

    def count(self, steps: int) -> None:
        """Keep account of the work, which is bounded too."""
        self._steps += steps
        if self._steps > _STEPS_PER_IDENTIFIER * self._limit:
            raise TooFar

    def _learn(self, page: Iterable[Edge]) -> None:
        fresh = {edge for edge in page if edge not in self._links}
        new = {key for edge in fresh for key in edge.keys} - self._met
        self._met |= new
        if len(self._met) > self._limit:
            raise TooFar
        self._homes.update(self._source.homes(new))
        for edge in fresh:
            link = self._links[edge] = _Link(edge, self._passable(edge))
            for key in link.members:
                self.at[key].append(link)
        if len(self._links) > _LINKS_PER_IDENTIFIER * self._limit:
            raise TooFar

    def _passable(self, edge: Edge) -> Sequence[bytes]:
        """The identifiers between which an edge carries a chain; none for a suspended one, which is what an
        edge over several entities is.
        """
        named = [key for key in edge.keys if key in self._homes]
        if not self._is_guarded:
            return named
        inside = [key for key in named if self._homes[key] is not None]
        return inside if len({self._homes[key] for key in inside}) == 1 else ()

    def flow(self) -> Iterator[_Link]:
        """The edges that carry a chain."""
        return (link for link in self._links.values() if link.leaves is not None)


class _Side:
    """A search from one end: the identifiers reached, by complete levels, and from where.

    Backwards it is the same search in the mirror: a chain comes in where it leaves.
    """

    def __init__(self, region: Region, start: bytes, *, is_forward: bool) -> None:
        self._region, self._is_forward = region, is_forward
        self.level = {start: 0}
        self.came: dict[bytes, tuple[_Link, bytes]] = {}
        self.outermost = [start]
        self._reading = region.read(self.outermost)
        self._passed: set[_Link] = set()

    def advance(self) -> bool:
        """Read one more page; True when that has completed a level."""
        for _ in self._reading:
            return False
        self.outermost = self._next_level()
        self._reading = self._region.read(self.outermost)
        return True

    def finish(self) -> None:
        """Go on until all is reached that can be."""
        while self.outermost:
            self.advance()

    def _next_level(self) -> list[bytes]:
        found: list[bytes] = []
        for key in self.outermost:
            self._region.count(len(self._region.at[key]))
            for link in self._region.at[key]:
                for other in self._beyond(link, key):
                    if other not in self.level:
                        self.level[other] = self.level[key] + 1
                        self.came[other] = (link, key)
                        found.append(other)
        return found

    def _beyond(self, link: _Link, key: bytes) -> Sequence[bytes]:
        """Where an edge leads from an identifier, when it may take back the chain that it carries."""
        comes, leaves = (link.comes, link.leaves) if self._is_forward else (link.leaves, link.comes)
        if leaves is not None and leaves != key:
            assert comes is not None
            return (comes,)
        if link in self._passed:
            return ()
        self._passed.add(link)
        self._region.count(len(link.members))
        return link.members

    def cut(self) -> tuple[Edge, ...]:
        """The edges at which a search that has reached all it can ends: the smallest set, nearest to here."""
        ends = []
        for link in self._region.flow():
            beyond = link.leaves if self._is_forward else link.comes
            if beyond not in self.level and any(key in self.level for key in link.members):
                ends.append(link.edge)
        return tuple(sorted(ends, key=_age))


class _Meeting(NamedTuple):
    """Two searches that have met in these identifiers, or have not, and never will."""

    forward: _Side
    backward: _Side
    met: Sequence[bytes]


def _search(region: Region, a: bytes, b: bytes) -> _Meeting:
    """Search from both ends until complete levels meet, or one end is exhausted."""
    forward, backward = _Side(region, a, is_forward=True), _Side(region, b, is_forward=False)
    while True:
        for side, other in ((forward, backward), (backward, forward)):
            if side.advance():
                met = [key for key in side.outermost if key in other.level]
                if met or not side.outermost:
                    return _Meeting(forward, backward, met)


# the shortest chain


def shortest(region: Region, a: bytes, b: bytes) -> tuple[Step, ...] | None:
    """The shortest chain from a to b, None when there is none; to be asked before `separating`.

    Of several the one that takes, at the first step that differs, the older evidence, then the smaller link
    key, then the smaller identifier key.
    """
    if a == b:
        return ()
    meeting = _search(region, a, b)
    return tuple(_walk(region, a, meeting)) if meeting.met else None


def _walk(region: Region, a: bytes, meeting: _Meeting) -> Iterator[Step]:
    """Step by step, each to an identifier that some shortest chain passes."""
    before = list(_inwards(region, meeting.forward, meeting.met))[::-1]
    levels = [*before, set(meeting.met), *_inwards(region, meeting.backward, meeting.met)]
    key = a
    for level in levels[1:]:
        step = min((step for step in _steps(region, key) if step.to in level), key=_preference)
        yield step
        key = step.to


def _inwards(region: Region, side: _Side, met: Iterable[bytes]) -> Iterator[set[bytes]]:
    """The identifiers on shortest chains from where the searches met to where this one started."""
    level = set(met)
    for distance in range(side.level[next(iter(level))] - 1, -1, -1):
        beside = (step.to for key in level for step in _steps(region, key))
        level = {key for key in beside if side.level.get(key) == distance}
        yield level


def _steps(region: Region, key: bytes) -> Iterator[Step]:
    return (Step(link.edge, other) for link in region.at[key] for other in link.members)


def _preference(step: Step) -> tuple[bytes, tuple[bytes, ...], bytes]:
    return (*_age(step.edge), step.to)


def _age(edge: Edge) -> tuple[bytes, tuple[bytes, ...]]:
    return edge.position, edge.keys


# the smallest cut


def separating(region: Region, a: bytes, b: bytes) -> tuple[Edge, ...] | None:
    """The smallest set of edges without which no chain leads from a to b, by age.

    Of several the one nearest to a; nearest to b where a is surrounded by more than may be read, and b is
    not. None where both are, or when the work is too much.
    """
    try:
        meeting = _search(region, a, b)
        _take_direct(region, a, b)
        while meeting.met:
            meeting = _search(region, a, b)
            _augment(meeting)
    except TooFar:
        return None
    try:
        meeting.forward.finish()
        return meeting.forward.cut()
    except TooFar:
        return None if meeting.backward.outermost else meeting.backward.cut()


def _take_direct(region: Region, a: bytes, b: bytes) -> None:
    """Every edge that names both is in every set that separates them."""
    for link in region.at[a]:
        if b in link.members:
            link.comes, link.leaves = a, b


def _augment(meeting: _Meeting) -> None:
    """Take the chains that were found, as far as they share no edge."""
    taken: set[_Link] = set()
    for chain in _chains(meeting):
        links = {link for _, link, _ in chain}
        if not links & taken:
            taken |= links
            _take(chain)


_Chain = list[tuple[bytes, _Link, bytes]]


def _chains(meeting: _Meeting) -> Iterator[_Chain]:
    """One chain for each identifier where the searches met."""
    for key in sorted(meeting.met):
        chain: _Chain = []
        at = key
        while at in meeting.forward.came:
            link, before = meeting.forward.came[at]
            chain.append((before, link, at))
            at = before
        chain.reverse()
        at = key
        while at in meeting.backward.came:
            link, after = meeting.backward.came[at]
            chain.append((at, link, after))
            at = after
        yield chain


def _take(chain: _Chain) -> None:
    """Let a chain through, and take back what it takes back of earlier ones: decided by what was before it,
    since it may pass an edge twice.
    """
    before = {link: (link.comes, link.leaves) for _, link, _ in chain}
    for key, link, to in chain:
        comes, leaves = before[link]
        if leaves is None:
            link.comes, link.leaves = key, to
        elif key == leaves and to == comes:
            link.comes = link.leaves = None
        elif key == leaves:
            link.leaves = to
        else:
            link.comes = key
