"""The Redis store gives the reference's answer, whatever arrives, in whatever order."""

import pytest
import redis
from hypothesis import given, settings

from schemas.events import Event
from tests.resolver.histories import Pair, agree_in_every_order, batches, event

SHAPES = {
    "late bridge": [
        event(5, ("user_id=a", "email=a@b.test")),
        event(4, ("user_id=b", "email=b@b.test")),
        event(1, ("user_id=a", "user_id=b")),
        event(2, ("user_id=c",)),
        event(2, ("user_id=c", "user_id=b")),
        event(9, ("email=a@b.test",)),
    ],
    "same instant": [
        event(n, [f"user_id={value}" for value in pair], ms=7)
        for n, pair in enumerate(["ab", "bc", "cd", "xa", "dx", "ya"])
    ],
    "two entities in one event": [
        event(1, ("user_id=a",), ("user_id=b",)),
        event(2, ("user_id=b", "user_id=c"), ("user_id=d", "user_id=e")),
        event(3, ("user_id=a", "user_id=e")),
        event(0, ("user_id=e",)),
        event(4, ("user_id=c", "user_id=a"), ("user_id=c", "user_id=a")),
        event(5, ("user_id=null", "user_id=f")),
    ],
    "ids that begin alike": [
        event(1, ("user_id=a", "user_id=b"), ms=7),
        event(10, ("user_id=a", "user_id=b"), ms=7),
        event(100, ("user_id=b", "user_id=c"), ms=7),
        event(11, ("user_id=c", "user_id=d"), ms=7),
        event(10, ("user_id=d",), ms=7),
        event(1, ("user_id=e", "user_id=c"), ms=7),
    ],
    "aliases": [
        event(1, ("user_id=a", "anonymous_id=x")),
        event(2, ("user_id=b", "previous_id=x")),
        event(3, ("user_id=c", "previous_id=a")),
        event(4, ("anonymous_id=a",)),
        event(5, ("previous_id=b",), ("user_id=d", "previous_id=d")),
        event(6, ("user_id=x", "email=x@b.test")),
    ],
    "the same event, earlier and later": [
        event(1, ("user_id=a", "user_id=b"), ms=5),
        event(1, ("user_id=a", "user_id=b"), ms=1),
        event(1, ("user_id=a", "user_id=c"), ms=5),
        event(2, ("user_id=c",), ms=3),
        event(2, ("user_id=d",), ms=3),
        event(3, ("user_id=d", "user_id=b"), ms=2),
    ],
}


@settings(max_examples=150, print_blob=True)
@given(batches)
def test_random_histories(client: "redis.Redis", history: list[list[Event]]) -> None:
    """After every batch of a random history, store, reference and consumer agree."""
    pair = Pair(client)
    for batch in history:
        pair.learn(batch)
        pair.agree()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_order(client: "redis.Redis", shape: str) -> None:
    """In each of the orders in which six events can arrive, they agree after every event."""
    agree_in_every_order(Pair(client), SHAPES[shape])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_split_into_batches(client: "redis.Redis", shape: str) -> None:
    """However six events are cut into batches, they agree."""
    history = SHAPES[shape]
    for cuts in range(2 ** (len(history) - 1)):
        pair, batch = Pair(client), []
        for place, one in enumerate(history):
            batch.append(one)
            if cuts >> place & 1 or place == len(history) - 1:
                pair.learn(batch)
                batch = []
        pair.agree()
