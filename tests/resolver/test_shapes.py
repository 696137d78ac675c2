"""Graphs of a known shape, small and large, sorted and shuffled."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.events import Event
from schemas.identifiers import identifier
from tests.resolver.histories import KEYRING, Pair, chain, event

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
    assert abs(large[0] - small[0]) <= 1  # a chunk is written once in 32 events
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
