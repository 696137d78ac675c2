"""What the store remembers of an entity id: its last twenty identity changes, of absorbed ids as well."""

import pytest

from resolver.store import Change
from schemas.identifiers import entity_id, identifier
from tests.resolver.histories import KEYRING, Pair, command, event


def key(value: str) -> bytes:
    """The key of a user id."""
    return KEYRING.key(identifier("person", "user_id", value))


def name(value: str) -> str:
    """The entity id made from a user id."""
    return entity_id("person", key(value))


def told(pair: Pair, value: str) -> list[tuple[str, str, int]]:
    """The changes of the id made from a user id: what, with whom, how many moved."""
    return [(one.what, one.other_id, one.moved) for one in pair.store.history("person", key(value))]


def test_nothing_happened(pair: Pair) -> None:
    """An entity that only grew has no changes of its id."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=a", "user_id=b"))])
    assert told(pair, "a") == []


def test_both_sides_of_a_merge(pair: Pair) -> None:
    """The survivor remembers whom it absorbed, the absorbed where it went, with the event that did it."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b", "user_id=c"))])
    pair.learn([event(3, ("user_id=a", "user_id=c"), ms=33)])
    assert told(pair, "a") == [("absorbed", name("b"), 2)]
    assert told(pair, "b") == [("merged into", name("a"), 2)]
    generation, number = pair.store.sequence()
    assert pair.store.history("person", key("a")) == [
        Change("absorbed", name("b"), 2, generation, number, "test", "e3", 33)
    ]


def test_renamed(pair: Pair) -> None:
    """An older identifier that comes to light late renames the entity, and both ids know of each other."""
    pair.learn([event(5, ("user_id=a",))])
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    senior, junior = sorted("ab", key=key)
    if junior == "a":
        assert told(pair, "a") == [("renamed to", name(senior), 0)]
        assert told(pair, "b") == [("renamed from", name("a"), 0)]
    else:
        assert told(pair, "a") == []


def test_both_sides_of_a_split(pair: Pair) -> None:
    """Who keeps the id remembers what came off, the part where it came from, with the operator event."""
    pair.learn(
        [event(1, ("user_id=a", "email=a@b.test")), event(2, ("user_id=b",)), event(3, ("user_id=c",))]
    )
    pair.learn([event(4, ("email=a@b.test", "user_id=b")), event(5, ("user_id=b", "user_id=c"))])
    pair.operate(command("apart", "user_id=b", "email=a@b.test", ms=10))
    senior = pair.store.history("person", key("b"))[-1].other_id
    assert told(pair, "b")[-1] == ("split from", senior, 2)
    assert told(pair, "b")[0][0] == "merged into"
    first = key("a") if senior == name("a") else KEYRING.key(identifier("person", "email", "a@b.test"))
    split = pair.store.history("person", first)[-1]
    assert (split.what, split.other_id, split.moved) == ("split into", name("b"), 2)
    assert (split.source, split.event_id, split.ingested_at_ms) == ("operator", "o0010", 10)


def test_out_of_the_graph_and_back(pair: Pair) -> None:
    """An identifier remembers that it was taken out of which entity, and that it came back to which."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=a", "user_id=b"))])
    pair.operate(command("block", "user_id=b", ms=10))
    assert told(pair, "b") == [("quarantined", name("a"), 1)]
    pair.operate(command("unblock", "user_id=b", ms=11))
    assert told(pair, "b") == [("quarantined", name("a"), 1), ("released", name("a"), 1)]
    assert told(pair, "a") == []


def test_what_is_erased_is_forgotten(pair: Pair) -> None:
    """The id made from an erased identifier has no history."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b",)), event(3, ("user_id=a", "user_id=b"))])
    assert told(pair, "b") == [("merged into", name("a"), 1)]
    pair.operate(command("erase", "user_id=a", "user_id=b", ms=10))
    assert told(pair, "a") == told(pair, "b") == []


@pytest.mark.parametrize("batch", [1, 7, 60])
def test_twenty_are_kept(pair: Pair, batch: int) -> None:
    """Of thirty merges the last twenty are told, in order, however they were cut into batches."""
    pair.learn([event(1, ("user_id=a",))])
    events = []
    for n in range(30):
        events += [event(10 + n, (f"user_id=x{n}",)), event(100 + n, ("user_id=a", f"user_id=x{n}"))]
    events.sort(key=lambda one: one.ingested_at_ms)
    for start in range(0, len(events), batch):
        pair.learn(events[start : start + batch])
    assert told(pair, "a") == [("absorbed", name(f"x{n}"), 1) for n in range(10, 30)]
    assert told(pair, "x3") == [("merged into", name("a"), 1)]


def test_every_id_answers_for_ever(pair: Pair) -> None:
    """The id made from any identifier answers with the entity that holds it now."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b",)), event(3, ("user_id=c", "user_id=d"))])
    pair.learn([event(4, ("user_id=a", "user_id=b")), event(5, ("user_id=b", "user_id=d"))])
    found = [pair.store.entity(key(value)) for value in "abcd"]
    assert {one.entity_id for one in found if one is not None} == {name("a")}
    assert pair.store.entity(key("nobody")) is None
