"""Why two are one, or are not, and what an identifier would have glued together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.explain import Outside, Suspended, glued, why
from resolver.judge import Conflict, Edge
from resolver.store import Standing
from schemas.errors import StoreUnavailable
from tests.resolver.neighbourhoods import InMemory, edge, graphs, key, reached

A, B, C, D = (key(number) for number in range(4))
TWO_USERS = Conflict("user_id", None)


@dataclass
class Guarded(InMemory):
    """A graph whose identifiers stand somewhere, and whose suspended edges have their reasons."""

    standings: Mapping[bytes, Standing] = field(default_factory=dict)
    conflicts: Mapping[Edge, Conflict] = field(default_factory=dict)
    apart: frozenset[frozenset[bytes]] = frozenset()

    def standing(self, asked: bytes) -> Standing:
        """Give how it stands; without more it is in the graph, or unnamed."""
        state = Standing(None, "in" if self.homes([asked]) else "unnamed", None, ())
        return self.standings.get(asked, state)

    def conflict(self, asked: Edge) -> Conflict | None:
        """Give why it is suspended."""
        return self.conflicts.get(asked)

    def is_apart(self, a: bytes, b: bytes) -> bool:
        """Give whether an operator said so."""
        return frozenset((a, b)) in self.apart


QUARANTINED = Standing(None, "quarantined", None, ())


def test_two_that_are_one_have_a_chain_and_a_cut() -> None:
    """The chain leads from the first to the second, the cut is nearest to the first."""
    graph = Guarded((edge(1, 0, 2), edge(2, 2, 1), edge(3, 2, 3)))
    found = why(graph, A, B)
    assert found.is_one
    assert [step.to for step in found.chain or ()] == [C, B]
    assert found.separating == (edge(1, 0, 2),)
    assert found.guards == ()
    assert set(found.keys) == {A, B, C}


def test_what_is_quarantined_breaks_the_chain() -> None:
    """The identifier that would tie the two is named, with how it stands."""
    graph = Guarded((edge(1, 0, 2), edge(2, 2, 1)), {A: 1, B: 2, C: None}, standings={C: QUARANTINED})
    found = why(graph, A, B)
    assert not found.is_one
    assert [step.to for step in found.chain or ()] == [C, B]
    assert found.guards == (Outside(C, QUARANTINED),)
    assert found.separating is None


def test_a_suspended_link_breaks_the_chain() -> None:
    """The link that would tie the two is named, with the rule that it would break."""
    link = edge(1, 0, 1)
    graph = Guarded((link,), {A: 1, B: 2}, conflicts={link: TWO_USERS})
    assert why(graph, A, B).guards == (Suspended(link, TWO_USERS),)


def test_all_that_breaks_the_chain_is_told_in_its_order() -> None:
    """An end that is out of the graph, a link that is suspended, an identifier between."""
    link = edge(2, 2, 3)
    graph = Guarded(
        (edge(1, 0, 2), link, edge(3, 3, 1)), {A: None, C: 1, D: 2, B: None},
        standings={A: QUARANTINED, B: QUARANTINED}, conflicts={link: TWO_USERS},
    )  # fmt: skip
    assert why(graph, A, B).guards == (
        Outside(A, QUARANTINED), Suspended(link, TWO_USERS), Outside(B, QUARANTINED)
    )  # fmt: skip


def test_two_that_nothing_ties() -> None:
    """There is no chain, and of an end that no event names that is said."""
    graph = Guarded((edge(1, 0, 2),), {A: 1, C: 1})
    found = why(graph, A, B)
    assert (found.is_one, found.chain, found.is_cut_short) == (False, None, False)
    assert found.guards == (Outside(B, Standing(None, "unnamed", None, ())),)


def test_what_an_operator_set_apart_is_told() -> None:
    """Also where nothing would tie the two."""
    graph = Guarded((edge(1, 0, 2), edge(2, 1, 3)), {B: 2, D: 2}, apart=frozenset({frozenset((A, B))}))
    found = why(graph, A, B)
    assert found.is_apart
    assert found.chain is None


def test_one_and_the_same_needs_nothing() -> None:
    """An identifier is itself; out of the graph it is told how it stands."""
    graph = Guarded((edge(1, 0, 2),))
    found = why(graph, A, A)
    assert (found.is_one, found.chain, found.separating) == (True, (), ())
    lost = why(Guarded((edge(1, 0, 2),), {A: None}, standings={A: QUARANTINED}), A, A)
    assert (lost.is_one, lost.guards) == (False, (Outside(A, QUARANTINED),))


@pytest.mark.parametrize("home", [1, 2])
def test_an_answer_that_is_cut_short_says_so(home: int) -> None:
    """Of two that are one as of two that are not."""
    chain = tuple(edge(n, 2 + n, 3 + n) for n in range(50))
    graph = Guarded((*chain, edge(90, 0, 2), edge(91, 52, 1)), {B: home})
    found = why(graph, A, B, limit=20)
    assert (found.is_one, found.chain, found.is_cut_short) == (home == 1, None, True)


def test_entities_that_change_again_and_again_are_no_answer() -> None:
    """They are one, and no chain says so: the stream went on between two reads, and asking again helps."""
    with pytest.raises(StoreUnavailable):
        why(Guarded((edge(1, 0, 2), edge(1, 1, 3))), A, B)


@given(graphs(), st.lists(st.integers(0, 6), max_size=3, unique=True))
def test_the_guards_are_exactly_what_breaks_the_chain(graph: tuple[Edge, ...], taken: list[int]) -> None:
    """Whatever is quarantined: two are one when a chain avoids it; else the chain that is told has some."""
    out = {key(number) for number in taken}
    left = [Edge("event", one.position, tuple(each for each in one.keys if each not in out)) for one in graph]
    named = {each for one in graph for each in one.keys}
    home = {each: None if each in out else min(reached(left, each))[-1] for each in named}
    found = why(Guarded(graph, home), A, B)
    assert found.is_one == (A in named - out and B in reached(left, A))
    chain = {A, *(step.to for step in found.chain or ())}
    if found.is_one:
        assert not chain & out
    else:
        told = {guard.key for guard in found.guards if isinstance(guard, Outside)}
        assert told == ((chain & out) if found.chain else ({A, B} - (named - out)))
        assert (found.chain is not None) == (A in named and B in named and B in reached(graph, A))


def test_what_would_have_been_glued_is_counted_by_entity() -> None:
    """Partners of one entity count once, partners out of the graph not at all."""
    graph = Guarded(
        (edge(1, 0, 1), edge(2, 0, 2), edge(3, 0, 3, 4), edge(4, 1, 2)),
        {A: None, B: 1, C: 1, D: None, key(4): 2},
    )
    assert glued(graph, A) == (2, False)


def test_of_a_hub_only_so_many_links_are_looked_at() -> None:
    """Then the count says that it is the least that it can be."""
    graph = Guarded(
        tuple(edge(1, 0, n) for n in range(1, 40)), {A: None, **{key(n): n for n in range(1, 40)}}
    )
    found = glued(graph, A, most_links=10)
    assert found.is_at_least
    assert 10 <= found.entities < 20
