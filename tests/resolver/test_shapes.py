"""Graphs of a known shape, small and large, sorted and shuffled, whole and taken apart."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from schemas.events import Event
from schemas.identifiers import identifier
from schemas.rules import Rules
from schemas.transitions import (
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    Snapshot,
)
from tests.resolver.histories import KEYRING, Pair, chain, command, event, key_of

SEED = 20260105


def star(leaves: int) -> list[Event]:
    """One value that every event names together with one of its own."""
    return [event(n, ("user_id=hub", f"email=leaf{n}@b.test")) for n in range(leaves)]


def diamonds(count: int) -> list[Event]:
    """Four values a piece, each tied to the next and the last to the first."""
    corners = [[f"user_id=d{n}c{corner}" for corner in range(4)] for n in range(count)]
    return [event(4 * n + i, (one[i], one[(i + 1) % 4])) for n, one in enumerate(corners) for i in range(4)]


def tournament(rounds: int) -> list[Event]:
    """Pairs are merged, then pairs of pairs, until one is left: merges of merges."""
    size = 2**rounds
    events: list[Event] = []
    for step in range(rounds):
        width = 2**step
        for left in range(0, size, 2 * width):
            events.append(event(len(events), (f"user_id=p{left}", f"user_id=p{left + width}")))
    return events


def islands(count: int) -> list[Event]:
    """Values that nothing ties."""
    return [event(n, (f"user_id=i{n}",)) for n in range(count)]


def dense(values: int) -> list[Event]:
    """Every set of some values is a link of its own: each value is in half of them."""
    events = []
    for mask in range(1, 2**values):
        names = [f"user_id=v{n}" for n in range(values) if mask >> n & 1]
        events.append(event(mask, names))
    return events


SHAPES = {
    "dense": dense(8),
    "chain": chain(10_000),
    "star": star(3_000),
    "diamonds": diamonds(300),
    "tournament": tournament(10),
    "islands": islands(1_000),
}


def learn(pair: Pair, events: Sequence[Event], batch: int = 500) -> None:
    """Give the events in batches."""
    for start in range(0, len(events), batch):
        pair.learn(events[start : start + batch])


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shape(pair: Pair, shape: str, order: str) -> None:
    """Whatever the order of arrival, the shape resolves to what the reference says."""
    events = list(SHAPES[shape])
    if order == "reversed":
        events.reverse()
    if order == "shuffled":
        random.Random(SEED).shuffle(events)
    learn(pair, events)
    pair.agree()


def test_chain_is_one_entity(pair: Pair) -> None:
    """A shuffled chain of ten thousand is one entity, called after its oldest identifier."""
    events = chain(10_000)
    random.Random(SEED).shuffle(events)
    learn(pair, events)
    entity = pair.store.entity(KEYRING.key(identifier("person", "user_id", "u005000")), limit=20_000)
    assert entity is not None
    assert (entity.size, len(entity.members)) == (10_001, 10_001)
    assert entity.first_seen == event(0, ("user_id=u000000",)).position


def test_large_batch(pair: Pair) -> None:
    """A batch that names more than seven thousand of everything goes in as any other."""
    learn(pair, [event(n, (f"user_id=a{n}", f"email=a{n}@b.test")) for n in range(8_000)], batch=8_000)
    learn(pair, [event(n, (f"user_id=a{n}", f"email=a{n + 1}@b.test")) for n in range(8_000)], batch=8_000)
    pair.agree()


def test_cost_of_a_hub(pair: Pair) -> None:
    """An event for a value with ten thousand neighbours makes the calls and reads the bytes of any other."""
    learn(pair, star(64))
    small = cost(pair, [event(1_000_001, ("user_id=hub", "email=one@b.test"))])
    learn(pair, star(10_000)[64:])
    large = cost(pair, [event(1_000_002, ("user_id=hub", "email=two@b.test"))])
    assert abs(large[0] - small[0]) <= 2  # a chunk is written once in 32 events, and the counter of chunks
    assert large[1] <= small[1] + 1_200  # bytes: at most one list of 32 more than before


def test_cost_of_a_large_merge(pair: Pair) -> None:
    """To merge two entities of five thousand takes the calls of merging two of a hundred."""
    costs = []
    for name, size in (("small", 100), ("large", 5_000)):
        for side in "ab":
            hub = f"user_id={name}{side}"
            learn(pair, [event(n, (hub, f"email={name}{side}{n}@b.test")) for n in range(size)])
        costs.append(cost(pair, [event(9_000_000, (f"user_id={name}a", f"user_id={name}b"))]))
    assert abs(costs[0][0] - costs[1][0]) <= 1
    assert costs[1][1] <= costs[0][1] + 1_200


# taken apart


def tied(*groups: str) -> list[Event]:
    """User ids of one letter, each first seen alone, in the order of the alphabet, then in these groups."""
    named = [*sorted(set("".join(groups))), *groups]
    return [event(n, [f"user_id={value}" for value in group]) for n, group in enumerate(named, 1)]


def parts(pair: Pair) -> list[str]:
    """The values of each entity, in a row."""
    members: dict[str, str] = {}
    for one, name in pair.answered().items():
        members[name] = members.get(name, "") + one.identifier_value
    return sorted("".join(sorted(values)) for values in members.values())


def block(pair: Pair, value: str, ms: int = 1_000) -> list[type[object]]:
    """Block a user id, and see that all agree; the kinds of transitions that this made."""
    return operate(pair, "block", value, ms=ms)


def operate(pair: Pair, kind: Any, *values: str, ms: int) -> list[type[object]]:
    """An operator event about user ids, after which all agree; the kinds of transitions that it made."""
    pair.told.clear()
    pair.operate(command(kind, *(f"user_id={value}" for value in values), ms=ms))
    pair.agree()
    return [type(one) for one in pair.told]


def kinds(*kinds: type[object]) -> list[type[object]]:
    """Kinds of transitions, in order."""
    return list(kinds)


def test_simple(pair: Pair) -> None:
    """Two that one event names are one; without the one, the other remains, under its own id."""
    learn(pair, tied("ab"))
    assert parts(pair) == ["ab"]
    assert block(pair, "a") == [IdentifierQuarantined, EntityRelabelled]
    assert parts(pair) == ["b"]


def test_alone(pair: Pair) -> None:
    """An entity whose only identifier leaves is no more; it is the same one when it comes back."""
    learn(pair, tied("a"))
    before = pair.answered()
    assert block(pair, "a") == [IdentifierQuarantined]
    assert parts(pair) == []
    assert operate(pair, "unblock", "a", ms=2_000) == [IdentifierReleased]
    assert pair.answered() == before


def test_chain_that_is_cut(pair: Pair) -> None:
    """A chain without its middle is two; the half that has the oldest keeps the id."""
    learn(pair, tied("ab", "bc", "cd", "de"))
    assert block(pair, "c") == [IdentifierQuarantined, EntitySplit]
    assert parts(pair) == ["ab", "de"]
    (_, split) = pair.told
    assert isinstance(split, EntitySplit)
    assert (split.part, split.parts) == (1, 2)
    assert {one.value for one in split.identifiers} == {"d", "e"}


def test_fan_in(pair: Pair) -> None:
    """Many events that end in one value fall apart without it, each for itself."""
    learn(pair, tied("ax", "bx", "cx", "dx"))
    assert parts(pair) == ["abcdx"]
    assert block(pair, "x") == [IdentifierQuarantined, EntitySplit, EntitySplit, EntitySplit]
    assert parts(pair) == ["a", "b", "c", "d"]


def test_fan_out(pair: Pair) -> None:
    """What one event names together stays together, whoever of them leaves."""
    learn(pair, tied("abcdx", "ae"))
    assert block(pair, "a") == [IdentifierQuarantined, EntitySplit, EntitySplit]
    assert parts(pair) == ["bcdx", "e"]


def test_diamond(pair: Pair) -> None:
    """A diamond holds by either side, and not by none."""
    learn(pair, tied("ab", "ac", "bd", "cd"))
    assert block(pair, "b", ms=1_000) == [IdentifierQuarantined]
    assert parts(pair) == ["acd"]
    assert block(pair, "c", ms=2_000) == [IdentifierQuarantined, EntitySplit]
    assert parts(pair) == ["a", "d"]


def test_disjoint(pair: Pair) -> None:
    """What happens to one entity is none of the others' business."""
    learn(pair, tied("ab", "cd", "ef"))
    before = {one: name for one, name in pair.answered().items() if one.identifier_value in "abef"}
    block(pair, "d")
    assert {one: name for one, name in pair.answered().items() if one.identifier_value in "abef"} == before
    assert [one.entity_id for one in pair.told if not isinstance(one, Snapshot)] == [
        f"per_{key_of('user_id=c').hex()}"
    ]


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_long_chain_that_is_cut(client: "redis.Redis", order: str) -> None:
    """A chain of ten thousand without its middle is two of five thousand, told in pieces of a thousand."""
    pair, events = Pair(client, one_call=100_000), chain(10_000)
    if order == "shuffled":
        random.Random(SEED).shuffle(events)
    learn(pair, events)
    assert block(pair, "u005000", ms=20_000) == [IdentifierQuarantined] + 5 * [EntitySplit]
    assert len(set(pair.answered().values())) == 2


def test_star_that_crosses_its_threshold(client: "redis.Redis") -> None:
    """A value with as many partners as allowed holds them together; with one more it holds nobody."""
    pair = Pair(client, rules=Rules.from_data({"identifiers": {"email": {"limits": {"user_id": 100}}}}))
    star_of = [event(n, ("email=x@b.test", f"user_id=u{n}")) for n in range(1, 102)]
    learn(pair, [event(0, ("user_id=u1",)), *star_of[:100]])
    assert len(set(pair.answered().values())) == 1
    pair.told.clear()
    learn(pair, star_of[100:])
    pair.agree()
    assert len(set(pair.answered().values())) == 101
    assert [type(one) for one in pair.told] == [EntityCreated, IdentifierQuarantined] + 99 * [EntitySplit]


def test_bridge_that_is_removed(pair: Pair) -> None:
    """The bridge between two halves is taken away: they are what they were before it."""
    learn(pair, tied("ab", "cd"))
    before = pair.answered()
    learn(pair, [event(13, ("user_id=b", "user_id=x")), event(14, ("user_id=x", "user_id=c"))])
    assert parts(pair) == ["abcdx"]
    assert block(pair, "x") == [IdentifierQuarantined, EntitySplit]
    assert pair.answered() == before


def test_bridge_that_is_quarantined(pair: Pair) -> None:
    """A device of two is a bridge; seen with a third, it is none, and it says so before they part."""
    for n, value in enumerate("abc"):
        learn(pair, [event(n, (f"user_id={value}", f"email={value}@b.test"))])
    before = pair.answered()
    learn(pair, [event(10 + n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("ab")])
    assert len(set(pair.answered().values())) == 2
    pair.told.clear()
    learn(pair, [event(20, ("anonymous_id=k", "user_id=c"))])
    pair.agree()
    assert [type(one) for one in pair.told] == [IdentifierQuarantined, EntitySplit]
    assert pair.answered() == before


def test_two_bridges(pair: Pair) -> None:
    """Of two bridges one is enough."""
    learn(pair, tied("ab", "cd", "ax", "xc", "by", "yd"))
    assert block(pair, "x", ms=1_000) == [IdentifierQuarantined]
    assert parts(pair) == ["abcdy"]
    assert block(pair, "y", ms=2_000) == [IdentifierQuarantined, EntitySplit]
    assert parts(pair) == ["ab", "cd"]


def test_link_between_two_that_are_kept_apart(pair: Pair) -> None:
    """A bridge that is a link goes when its ends are to be apart, and comes back."""
    learn(pair, tied("ab", "cd", "bc"))
    before = pair.answered()
    assert operate(pair, "apart", "b", "c", ms=1_000) == [EntitySplit]
    assert parts(pair) == ["ab", "cd"]
    assert operate(pair, "together", "b", "c", ms=2_000) == [EntitiesMerged]
    assert pair.answered() == before


def test_merge_of_merges_that_is_taken_apart(pair: Pair) -> None:
    """Sixty-four that became one by merges of merges come apart without the first, at every depth."""
    learn(pair, tournament(6))
    assert len(set(pair.answered().values())) == 1
    block(pair, "p0")
    sizes = sorted(len(values) for values in members(pair))
    assert sizes == [1, 2, 4, 8, 16, 32]


def members(pair: Pair) -> list[list[str]]:
    """The values of each entity."""
    names = set(pair.answered().values())
    return [
        [one.identifier_value for one, name in pair.answered().items() if name == wanted] for wanted in names
    ]


def test_split_of_split_parts(pair: Pair) -> None:
    """Parts come apart like anything else."""
    learn(pair, tied("ab", "bc", "cd", "de", "ef", "fg"))
    for ms, value, expected in (
        (1_000, "d", ["abc", "efg"]),
        (1_001, "b", ["a", "c", "efg"]),
        (1_002, "f", ["a", "c", "e", "g"]),
    ):
        assert block(pair, value, ms=ms) == [IdentifierQuarantined, EntitySplit]
        assert parts(pair) == expected


def test_split_and_merge_again(pair: Pair) -> None:
    """What is unblocked is back as if it had never been away, ids included, and can be taken out again."""
    learn(pair, tied("ab", "bc", "cd"))
    before = pair.answered()
    for round_ in range(3):
        assert block(pair, "b", ms=1_000 + 2 * round_) == [IdentifierQuarantined, EntitySplit]
        back = operate(pair, "unblock", "b", ms=1_001 + 2 * round_)
        assert back == kinds(EntitiesMerged, IdentifierReleased)
        assert pair.answered() == before


def test_pieces_that_change_hands(pair: Pair) -> None:
    """A piece of an entity goes to another in one step: first it is split off, then merged."""
    learn(pair, tied("ab", "bc", "xy", "cx"))
    assert operate(pair, "apart", "a", "x", ms=1_000) == [EntitySplit]
    assert parts(pair) == ["abc", "xy"]
    assert operate(pair, "together", "c", "x", ms=2_000) == [EntitySplit, EntitiesMerged]
    assert parts(pair) == ["ab", "cxy"]


def test_the_oldest_leaves(pair: Pair) -> None:
    """An entity that holds together without its oldest goes on under the id of the next."""
    learn(pair, tied("abc"))
    assert block(pair, "a") == [IdentifierQuarantined, EntityRelabelled]
    assert parts(pair) == ["bc"]


def test_what_an_erasure_leaves(pair: Pair) -> None:
    """The entity of an erased value ends; what others name of it goes on, created anew."""
    learn(pair, tied("ab", "bc", "bd", "cd"))
    assert operate(pair, "erase", "a", "b", ms=1_000) == kinds(EntityErased, EntityCreated)
    assert parts(pair) == ["cd"]
    erased = pair.told[0]
    assert isinstance(erased, EntityErased)
    assert set(erased.erased_ids) == {f"per_{key_of(f'user_id={value}').hex()}" for value in "ab"}


def test_newcomers_of_a_restructuring_come_last(pair: Pair) -> None:
    """An entity that comes apart by what brings somebody new: who leaves, what splits, then who is added."""
    for n, value in enumerate("abc"):
        learn(pair, [event(n, (f"user_id={value}",))])
    learn(pair, [event(10 + n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("ab")])
    operate(pair, "together", "a", "c", ms=1_000)
    pair.told.clear()
    learn(pair, [event(20, ("anonymous_id=k", "user_id=c", "email=c@b.test"))])
    pair.agree()
    assert [type(one) for one in pair.told] == [IdentifierQuarantined, EntitySplit, IdentifierAdded]


def cost(pair: Pair, events: Sequence[Event]) -> tuple[int, int]:
    """Commands that the script ran for one batch, and the bytes of their arguments."""
    client: Any = pair.client
    with client.monitor() as monitor:
        pair.learn(events)
        pair.client.echo("that was all")
        commands: list[str] = []
        for heard in monitor.listen():
            if "that was all" in heard["command"]:
                return len(commands), sum(map(len, commands))
            if heard["client_type"] == "lua":
                commands.append(heard["command"])
    raise AssertionError("the end of the batch was not heard")
