"""Chains and cuts, against plain answers that try everything."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resolver.judge import Edge
from resolver.paths import Region, Step, TooFar, separating, shortest
from tests.resolver.neighbourhoods import (
    InMemory,
    edge,
    graphs,
    key,
    reached,
    shortest_ways,
    smallest_cuts,
)

A, B = key(0), key(1)


def region(*graph: Edge, limit: int = 100, is_guarded: bool = True, **home: int | None) -> Region:
    """Give a region of a graph; `_3=None` says that identifier 3 is not in it."""
    homes = {key(int(name[1:])): at for name, at in home.items()}
    return Region(InMemory(graph, homes), limit, is_guarded=is_guarded)


def numbers(chain: tuple[Step, ...] | None) -> list[int] | None:
    """Give the identifiers that a chain leads to."""
    return None if chain is None else [int.from_bytes(step.to, "big") for step in chain]


def cut(graph: tuple[Edge, ...], page: int = 2) -> tuple[Edge, ...] | None:
    """Give the edges that separate the first two identifiers."""
    read = Region(InMemory(graph, page=page), 100, is_guarded=True)
    shortest(read, A, B)
    return separating(read, A, B)


@given(graphs(), st.integers(1, 4))
@settings(max_examples=300)
def test_the_chain_is_the_first_of_the_shortest(graph: tuple[Edge, ...], page: int) -> None:
    """Fewest edges; then, step by step from the one that is asked first, older evidence and smaller keys."""
    found = shortest(Region(InMemory(graph, page=page), 100, is_guarded=True), A, B)
    ways = shortest_ways(graph, A, B)
    first = min(ways, key=lambda way: [(one.position, one.keys, to) for one, to in way], default=None)
    assert found == (None if first is None else first)


@given(graphs(most=8), st.integers(1, 4))
@settings(max_examples=300)
@example((edge(0, 0, 2), edge(0, 2, 3), edge(0, 3, 1), edge(0, 0, 3), edge(0, 2, 1)), 1)
def test_the_cut_is_the_smallest_nearest_to_the_first(graph: tuple[Edge, ...], page: int) -> None:
    """As small as the smallest of all sets that separate two; of those the one that leaves least with a."""
    found = cut(graph, page)
    cuts = smallest_cuts(graph, A, B)
    nearest = min(cuts, key=lambda one: len(reached([each for each in graph if each not in one], A)))
    assert found is not None
    assert frozenset(found) == nearest
    assert list(found) == sorted(found, key=lambda one: (one.position, one.keys))


def test_many_edges_between_two_are_all_in_the_cut() -> None:
    """Also when there are more of them than a search would find one by one."""
    graph = (*(edge(n, 0, 1, 10 + n) for n in range(60)), edge(99, 0, 5), edge(98, 5, 1))
    assert len(cut(graph) or ()) == 61


def test_an_identifier_is_its_own_chain() -> None:
    """No edge leads from an identifier to itself."""
    assert shortest(region(edge(1, 0, 2)), A, A) == ()


def test_what_is_not_in_the_graph_carries_no_chain() -> None:
    """A quarantined identifier ties nobody, though its links are kept; without guards it does."""
    graph = (edge(1, 0, 3), edge(2, 3, 1), edge(3, 0, 4), edge(4, 4, 5), edge(5, 5, 1))
    assert numbers(shortest(region(*graph, _3=None), A, B)) == [4, 5, 1]
    assert numbers(shortest(region(*graph, _3=None, is_guarded=False), A, B)) == [3, 1]


def test_a_suspended_edge_carries_no_chain() -> None:
    """It is one over several entities; without guards it does."""
    graph = (edge(1, 0, 3), edge(2, 3, 1))
    assert shortest(region(*graph, _1=2), A, B) is None
    assert numbers(shortest(region(*graph, _1=2, is_guarded=False), A, B)) == [3, 1]


def test_what_no_event_names_carries_no_chain() -> None:
    """An operator may tie what nobody has named yet: it is not in the graph, with guards or without."""

    class Unnamed(InMemory):
        """A graph in which identifier 3 is named by operators alone."""

        def homes(self, keys: object) -> dict[bytes, int | None]:
            """Leave it out."""
            return {A: 1, B: 1}

    graph = (edge(1, 0, 3), edge(2, 3, 1))
    for is_guarded in (True, False):
        assert shortest(Region(Unnamed(graph), 100, is_guarded=is_guarded), A, B) is None


def test_a_near_pair_is_found_without_reading_the_hub() -> None:
    """Two that a value with ten thousand links ties: some pages are read, and the cut is known, too."""
    graph = (edge(1, 0, 2), edge(2, 2, 1), *(edge(9, 2, n) for n in range(10, 10_010)))
    source = InMemory(graph, page=100)
    read = Region(source, 100_000, is_guarded=True)
    assert numbers(shortest(read, A, B)) == [2, 1]
    assert separating(read, A, B) == (edge(1, 0, 2),)
    assert source.reads < 1_000


def test_too_far_is_said() -> None:
    """What would take more than the limit is not computed."""
    chain = tuple(edge(n, 2 + n, 3 + n) for n in range(50))
    ends = (edge(90, 0, 2), edge(91, 52, 1))
    with pytest.raises(TooFar):
        shortest(region(*chain, *ends, limit=20), A, B)


def test_where_only_one_end_is_small_the_cut_is_nearest_to_it() -> None:
    """The surroundings of a are beyond the limit, those of b are not: there is one answer still."""
    hub = tuple(edge(9, 0, n) for n in range(10, 200))
    graph = (edge(1, 0, 2), edge(2, 2, 1), *hub)
    read = Region(InMemory(graph), 50, is_guarded=True)
    assert numbers(shortest(read, A, B)) == [2, 1]
    assert separating(read, A, B) == (edge(2, 2, 1),)


def test_where_both_ends_are_large_there_is_no_cut() -> None:
    """None says that it was not computed."""
    around = [edge(9, end, 10 + 2 * n + end) for n in range(200) for end in (0, 1)]
    read = region(edge(1, 0, 2), edge(2, 2, 1), *around, limit=100)
    with pytest.raises(TooFar):
        shortest(read, A, B)
    assert separating(region(edge(1, 0, 2), edge(2, 2, 1), *around, limit=100), A, B) is None
