"""What is read of the store when somebody asks why, against the reference and on named shapes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import redis
from hypothesis import given, settings

from resolver.explain import Outside, Suspended, Why, glued, why
from resolver.judge import Conflict, Edge
from resolver.neighbours import RedisNeighbours
from resolver.reference import Answer
from schemas.events import Event
from schemas.identifiers import Identifier, identifier
from schemas.rules import Rules
from tests.resolver.histories import KEYRING, RULES, Pair, Said, event, ruled_histories
from tests.resolver.neighbourhoods import distance

ONE_USER = Rules.from_data({"identifiers": {"user_id": {"unique": True}}})
NAMES = [f"{kind}={value}" for kind in ("user_id", "anonymous_id", "previous_id") for value in "ab"]


def person(name: str) -> Identifier:
    """Give an identifier of a person, from `type=value`."""
    kind, _, value = name.partition("=")
    return identifier("person", kind, value)


def key(name: str) -> bytes:
    """Give the key of an identifier of a person."""
    return KEYRING.key(person(name))


def neighbours(pair: Pair) -> RedisNeighbours:
    """Give what surrounds the identifiers of a store."""
    return RedisNeighbours(pair.client, "test", pair.store)


def asked(pair: Pair, a: str, b: str) -> Why:
    """Ask why two are one or are not."""
    return why(neighbours(pair), key(a), key(b))


def chain(pair: Pair, a: str, b: str) -> list[str] | None:
    """Give the kinds of edges and the values of the chain between two."""
    graph, found = neighbours(pair), asked(pair, a, b)
    if found.chain is None:
        return None
    names = graph.names(found.keys)
    return [f"{step.edge.kind} {names[step.to].value}" for step in found.chain]


# against the reference


@pytest.mark.parametrize("rules", RULES)
@settings(max_examples=40)
@given(history=ruled_histories)
def test_random_histories(client: redis.Redis, rules: str, history: list[list[Event] | Said]) -> None:
    """Whatever happened: two are one when the reference says so, the chain is as short as can be, and every
    guard that is told is one of the reference's.
    """
    pair = Pair(client, rules=RULES[rules])
    for one in history:
        if isinstance(one, Said):
            pair.say(one)
        else:
            pair.learn(one)
    answer, graph = pair.reference.answer(), neighbours(pair)
    home = {graph.living(KEYRING.key(one)): name for one, name in answer.entity_of.items()}
    for a in NAMES:
        for b in NAMES[:2]:
            agree(graph, answer, home, why(graph, graph.living(key(a)), graph.living(key(b))))


def agree(graph: RedisNeighbours, answer: Answer, home: Mapping[bytes, str], found: Why) -> None:
    """Assert that an explanation says what the reference says."""
    suspended = {(edge.kind, edge.keys): conflict for edge, conflict in answer.suspended.items()}
    assert found.is_one == (found.a in home and home[found.a] == home.get(found.b))
    if found.is_one:
        edges = {edge for page in graph.edges(list(home)) for edge in page}
        admitted = [each_in(edge, home) for edge in edges if (edge.kind, edge.keys) not in suspended]
        assert len(found.chain or ()) == distance(admitted, found.a, found.b)
    else:
        assert found.chain is None or found.guards
    for guard in found.guards:
        if isinstance(guard, Suspended):
            assert guard.conflict == suspended[guard.edge.kind, guard.edge.keys]
        else:
            assert guard.key not in home
            assert (guard.standing.state == "quarantined") == (guard.key in answer.quarantined)


def each_in(edge: Edge, home: Mapping[bytes, str]) -> Edge:
    """Give an edge without what is not in the graph."""
    return edge._replace(keys=tuple(key for key in edge.keys if key in home))


# named shapes


def test_a_chain_is_told_with_its_evidence(pair: Pair) -> None:
    """Each step names the first event that said so, whatever came later."""
    pair.learn([event(1, ("user_id=a", "user_id=b")), event(2, ("user_id=b", "user_id=c"))])
    pair.learn([event(3, ("user_id=b", "user_id=c"))])
    found = asked(pair, "user_id=a", "user_id=c")
    assert [step.edge.position[-2:] for step in found.chain or ()] == [b"e1", b"e2"]
    assert [edge.position[-2:] for edge in found.separating or ()] == [b"e1"]


def test_what_ties_besides_links_is_told(pair: Pair) -> None:
    """An alias, and what an operator put together."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("previous_id=a", "user_id=b")), event(3, ("user_id=c",))])
    pair.say(Said("together", ("user_id=b", "user_id=c")))
    assert chain(pair, "user_id=a", "user_id=c") == ["synonym a", "event b", "together c"]


def test_a_device_of_many_is_named(pair: Pair) -> None:
    """What would tie two strangers is quarantined, and the event that was one too many is known."""
    pair.learn([event(n, ("anonymous_id=a", f"user_id={n}")) for n in range(1, 4)])
    found = asked(pair, "user_id=1", "user_id=3")
    (guard,) = found.guards
    assert isinstance(guard, Outside)
    assert guard.key == key("anonymous_id=a")
    assert guard.standing.reason is not None
    assert guard.standing.reason.brought_by is not None
    assert guard.standing.reason.brought_by.event_id == "e3"
    assert glued(neighbours(pair), key("anonymous_id=a")) == (3, False)


def test_what_an_operator_blocked_is_named(pair: Pair) -> None:
    """It stays in its links, and ties nobody."""
    pair.learn([event(1, ("email=a@b.test", "user_id=a")), event(2, ("email=a@b.test", "user_id=b"))])
    pair.say(Said("block", ("email=a@b.test",)))
    (guard,) = asked(pair, "user_id=a", "user_id=b").guards
    assert isinstance(guard, Outside)
    assert guard.standing.state == "blocked"


def test_a_suspended_link_is_named_with_its_reason(client: redis.Redis) -> None:
    """It would give one person two values of a unique type."""
    pair = Pair(client, rules=ONE_USER)
    pair.learn([event(1, ("user_id=a", "email=a@b.test")), event(2, ("user_id=b", "email=a@b.test"))])
    (guard,) = asked(pair, "user_id=a", "user_id=b").guards
    assert isinstance(guard, Suspended)
    assert guard.conflict == Conflict("user_id", None)
    assert guard.edge.position[-2:] == b"e2"


def test_what_is_apart_is_named(pair: Pair) -> None:
    """An operator said so: the link that says otherwise is suspended."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    pair.say(Said("apart", ("user_id=a", "user_id=b")))
    found = asked(pair, "user_id=a", "user_id=b")
    assert found.is_apart
    (guard,) = found.guards
    assert isinstance(guard, Suspended)
    assert guard.conflict == Conflict(None, (min(found.keys), max(found.keys)))


def test_who_comes_back_after_an_erasure_is_another(pair: Pair) -> None:
    """The key that was erased stays erased; by the name the new one is found, once an event names it."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    pair.say(Said("erase", ("user_id=a",)))
    graph = neighbours(pair)
    assert graph.living(key("user_id=a")) == key("user_id=a")
    assert graph.standing(key("user_id=a")).state == "erased"
    pair.learn([event(9, ("user_id=a", "user_id=c"), ms=99)])
    assert graph.living(key("user_id=a")) != key("user_id=a")
    assert why(graph, graph.living(key("user_id=a")), key("user_id=c")).is_one
    (guard,) = why(graph, key("user_id=a"), key("user_id=c")).guards
    assert isinstance(guard, Outside)
    assert guard.standing.state == "erased"


def test_long_lists_are_read_whole(pair: Pair) -> None:
    """All links of a value with thousands of them, across the pieces that the store keeps them in."""
    pair.learn([event(n, ("user_id=hub", f"email=m{n}@b.test")) for n in range(2_500)])
    graph = neighbours(pair)
    pages = list(graph.edges([key("user_id=hub")]))
    assert max(map(len, pages)) <= 1_000
    assert len({edge for page in pages for edge in page}) == 2_500
    assert graph.homes([edge.keys[0] for edge in pages[-1]]).keys() == {edge.keys[0] for edge in pages[-1]}


def test_moved_entities_are_followed(pair: Pair) -> None:
    """After merges of merges all identifiers are in one entity."""
    pair.learn([event(n, (f"user_id=u{n}",)) for n in range(16)])
    for step in (1, 2, 4, 8):
        pairs = [(f"user_id=u{n}", f"user_id=u{n + step}") for n in range(0, 16, 2 * step)]
        pair.learn([event(100 + step, *pairs)])
    homes = neighbours(pair).homes([key(f"user_id=u{n}") for n in range(16)])
    assert len(set(homes.values())) == 1


def test_ids_with_a_life_behind_them_are_found(pair: Pair) -> None:
    """Of an entity's identifiers those whose ids have been through something."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b", "user_id=c"))])
    pair.learn([event(3, ("user_id=a", "user_id=b"))])
    keys = [key(f"user_id={value}") for value in "abc"]
    lived = neighbours(pair).with_history(keys)
    assert set(lived) <= set(keys)
    assert {key("user_id=a"), min(key("user_id=b"), key("user_id=c"))} <= set(lived)
