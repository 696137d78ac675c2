"""What is too large for one call is settled in bounded calls beside the stream, and visible at once."""

from collections.abc import Callable, Sequence

import pytest
import redis
from hypothesis import given, settings

from resolver.restructure import Restructuring
from schemas.events import Event
from schemas.identifiers import identifier
from tests.resolver.histories import KEYRING, RULES, Pair, Said, event, ruled_histories

STEPS = (
    "restructure-begin",
    "restructure-read",
    "restructure-prepared",
    "restructure-visible",
    "restructure-settled",
)
_FED_TO_PREPARED = 2  # at a third try events that touch the region would have to wait, and this is one thread


class Killed(Exception):
    """The process ends here."""


def between_steps(pair: Pair, feed: Callable[[], None]) -> None:
    """Let something happen at each step of the pair's restructurings."""
    prepared = 0

    def step(name: str) -> None:
        nonlocal prepared
        prepared = {"restructure-begin": 0, "restructure-prepared": prepared + 1}.get(name, prepared)
        if name != "restructure-prepared" or prepared <= _FED_TO_PREPARED:
            feed()

    pair.restructuring = Restructuring(pair.client, "test", pair.store, step)


@pytest.mark.parametrize("rules", RULES)
@settings(max_examples=30, print_blob=True)
@given(history=ruled_histories)
def test_random_histories(client: "redis.Redis", rules: str, history: list[list[Event] | Said]) -> None:
    """With nothing left to one call, they agree after every step of a random history."""
    pair = Pair(client, rules=RULES[rules], one_call=0)
    for one in history:
        pair.say(one) if isinstance(one, Said) else pair.learn(one)
        pair.settle()
        pair.agree()


@pytest.mark.parametrize("rules", RULES)
@settings(max_examples=30, print_blob=True)
@given(history=ruled_histories)
def test_the_stream_goes_on_meanwhile(
    client: "redis.Redis", rules: str, history: list[list[Event] | Said]
) -> None:
    """What comes between the steps of a restructuring is in the answer, as if it had come before."""
    pair, rest = Pair(client, rules=RULES[rules], one_call=0), list(history)

    def feed() -> None:
        if not rest:
            return
        one = rest.pop(0)
        if isinstance(one, Said) and one.kind == "erase":
            return  # what names the erased meanwhile is pending: tested by itself
        pair.say(one) if isinstance(one, Said) else pair.learn(one)

    between_steps(pair, feed)
    while rest:
        feed()
        pair.settle()
    pair.settle()
    pair.agree()


def star(leaves: int) -> list[Event]:
    """Persons whom one address makes one."""
    return [event(n, (f"user_id=u{n}", "email=hub@b.test")) for n in range(leaves)]


def test_a_large_component_is_split_while_events_for_it_arrive(client: "redis.Redis") -> None:
    """Readers see the old answer, with what is new in it, until they see the new one."""
    pair, sizes, number = Pair(client, one_call=500), [], 10_000
    for at in range(0, 3000, 500):
        pair.learn(star(3000)[at : at + 500])

    def feed() -> None:
        nonlocal number
        number += 1
        pair.learn([event(number, (f"user_id=u{number % 3000}", f"email=new{number}@b.test"))])
        entity = pair.store.entity(KEYRING.key(identifier("person", "user_id", "u1")), 0)
        assert entity is not None
        sizes.append(entity.size)

    between_steps(pair, feed)
    pair.say(Said("block", ("email=hub@b.test",), 1_000_000))
    assert pair.store.unsettled() == 1
    pair.settle()
    assert pair.store.unsettled() == 0
    assert sizes[:2] == [3002, 3003]  # begin, read: the star, and what came
    assert sizes[-2:] == [1, 1]
    assert all(size > 3000 or size == 1 for size in sizes)
    pair.agree()


@pytest.mark.parametrize("step", STEPS)
def test_another_process_takes_over(client: "redis.Redis", step: str) -> None:
    """Whoever comes after one that died at any step ends with the same answer, told once."""
    pair = Pair(client, one_call=10)
    for at in range(0, 60, 20):
        pair.learn(star(60)[at : at + 20])

    def die(name: str) -> None:
        if name == step:
            raise Killed

    pair.say(Said("block", ("email=hub@b.test",), 1_000_000))
    pair.restructuring = Restructuring(client, "test", pair.store, die)
    with pytest.raises(Killed):
        pair.settle()
    pair.learn([event(70, ("user_id=u1", "email=own@b.test"))])
    pair.restructuring = Restructuring(client, "test", pair.store)
    pair.settle()
    pair.agree()
    assert client.hgetall(pair.store._keys.moving) == {}
    assert client.llen(pair.store._keys.doomed) == 0


def test_two_do_not_settle_at_once(client: "redis.Redis") -> None:
    """The second sees that somebody is at it, and leaves it alone."""
    pair, done = Pair(client, one_call=10), list[int]()
    for at in range(0, 60, 20):
        pair.learn(star(60)[at : at + 20])
    pair.say(Said("block", ("email=hub@b.test",), 1_000_000))
    second = Restructuring(client, "test", pair.store)
    between_steps(pair, lambda: done.append(second.run()))
    pair.settle()
    assert set(done) == {0}
    pair.agree()


def test_what_is_split_again_before_it_is_settled(client: "redis.Redis") -> None:
    """Several causes are settled together, and what came in between them is not lost."""
    pair = Pair(client, one_call=10)
    events: Sequence[Event] = [
        event(n, (f"user_id=u{n}", f"email=left{n % 2}@b.test", "phone=+4930123456")) for n in range(40)
    ]
    for one in events:
        pair.learn([one])
    pair.say(Said("block", ("phone=+4930123456",), 1_000_000))
    pair.say(Said("apart", ("user_id=u1", "user_id=u3"), 1))
    pair.say(Said("block", ("email=left0@b.test",), 1))
    pair.learn([event(50, ("user_id=u2", "user_id=u4"))])
    pair.settle()
    pair.agree()


@pytest.mark.parametrize("step", STEPS)
def test_one_that_was_frozen_leaves_it_to_the_one_that_took_over(client: "redis.Redis", step: str) -> None:
    """Who wakes up after its lock has run out writes nothing more, and the answer is right."""
    pair = Pair(client, one_call=10)
    for at in range(0, 60, 20):
        pair.learn(star(60)[at : at + 20])
    pair.say(Said("block", ("email=hub@b.test",), 1_000_000))
    second = Restructuring(client, "test", pair.store)

    def freeze(name: str) -> None:
        if name == step:
            client.delete(pair.store._keys.worker)  # as if it had run out
            second.run()

    pair.restructuring = Restructuring(client, "test", pair.store, freeze)
    pair.settle()
    pair.agree()
    assert pair.store.unsettled() == 0


@pytest.mark.parametrize("named", [("user_id=a",), ("user_id=a", "user_id=b")])
@pytest.mark.parametrize("step", STEPS)
def test_whom_an_event_names_again_while_the_erasure_is_settled(
    client: "redis.Redis", step: str, named: tuple[str, ...]
) -> None:
    """The links that are about to go do not hide it: the event counts, for somebody new."""
    pair = Pair(client, one_call=0)
    pair.learn([event(1, ("user_id=a", "user_id=b")), event(2, ("user_id=a",))])
    pair.say(Said("erase", ("user_id=a",)))
    again = [event(3, named, ms=50)]

    def feed(name: str) -> None:
        if name == step and again:
            pair.learn([again.pop()])

    pair.restructuring = Restructuring(client, "test", pair.store, feed)
    pair.settle()
    pair.agree()
    assert not again
