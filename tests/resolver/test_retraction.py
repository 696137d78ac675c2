"""A retracted event is taken out of the answer for ever: by the stream, the reference and the warehouse."""

import random

import pytest
import redis

from resolver.links import Linker
from resolver.rebuild import Rebuild
from resolver.reconcile import LogInWarehouse
from resolver.redis_store import Durability, RedisStore
from resolver.reference import Reference
from resolver.repair import Repair
from resolver.restructure import Restructuring
from resolver.store import Applied, Batch, Command, Cut, Retracted
from schemas.errors import StoreUnavailable
from schemas.events import Event, EventKey, log_position
from tests.resolver.histories import KEYRING, Pair, event, key_of
from tests.resolver.test_facts import said, who
from tests.resolver.test_reconcile import HISTORIES, World, a_small_world, a_world
from tests.resolver.test_repair import replay

FIRST = event(1, ("user_id=a", "email=a@b.test"))
WRONG = event(2, ("user_id=a", "user_id=b"))


def retraction(of: Event, ms: int = 1) -> Command:
    """The operator event that takes an event out."""
    return Command("retract", "person", log_position(ms, "operator", "o1"), (), event=of.key)


def test_the_answer_is_that_of_a_log_without_it() -> None:
    """Links, facts and ids are as if it had never been sent, whatever the position of the operator event."""
    draw = random.Random(3)
    history = [
        said(n, who(f"user_id={draw.choice('abc')}", f"email={draw.choice('xy')}@b.test")) for n in range(9)
    ]
    for gone in history:
        retracted, without = Reference(KEYRING), Reference(KEYRING)
        retracted.add(history)
        retracted.operate([retraction(gone, ms=draw.randrange(2_000_000))])
        without.add(one for one in history if one is not gone)
        assert retracted.answer() == without.answer()


def test_nothing_more_is_taken_from_it(client: "redis.Redis") -> None:
    """What it did is pending; copies that come later, also with other content, do nothing."""
    pair = Pair(client)
    pair.learn([FIRST])
    pair.retract(WRONG)
    assert pair.pending() == {key_of("user_id=a")}
    before = pair.answered()
    pair.learn([WRONG])
    pair.learn([event(2, ("user_id=a", "user_id=c"), ms=7)])
    pair.learn([event(3, ("user_id=d",))])
    assert {one.identifier_value for one in pair.answered().keys() - before.keys()} == {"d"}
    pair.agree()


def test_who_does_not_know_of_it_is_refused(client: "redis.Redis") -> None:
    """A batch that was made before the operator event was read changes nothing, and is made again."""
    pair = Pair(client)
    pair.learn([FIRST])
    late = Linker(KEYRING)
    batch = late.batch([WRONG])
    pair.retract(WRONG)
    sent = Batch((), batch.evidence, facts=batch.facts, retracted=batch.retracted)
    assert pair.store.apply(sent) == Retracted()
    late.leave_out(pair.store.retracted())
    again = late.batch([WRONG])
    assert again.evidence == ()
    assert pair.store.apply(Batch((), again.evidence, retracted=again.retracted)) == Applied(0)
    assert late.under(late.rules).batch([WRONG]).evidence == ()


def test_twice_is_once(client: "redis.Redis") -> None:
    """A second operator event about the same event changes nothing."""
    pair = Pair(client)
    pair.learn([FIRST, WRONG])
    pair.retract(WRONG)
    pair.retract(WRONG)
    assert pair.store.retracted() == {KEYRING.event_handle(*WRONG.key)}
    pair.store.check()


def test_handles_tell_events_apart() -> None:
    """A separator in a name makes no two events one."""
    assert KEYRING.event_handle("a:b", "c") != KEYRING.event_handle("a", "b:c")
    assert KEYRING.event_handle("a", "b") != KEYRING.event_handle("b", "a")


# with the warehouse


def test_what_rested_on_it_is_repaired(client: "redis.Redis") -> None:
    """The next reconcile parts what it united; that is no drift, and the one after finds nothing."""
    world = a_small_world(client)
    wrong = said(3, who("user_id=a", "user_id=b", traits={"name": "Nobody"}))
    world.learn([wrong])
    world.pair.retract(wrong)
    report = world.reconcile()
    assert (report.drift, report.pending > 0, world.pair.pending()) == ({}, True, set())
    world.is_right()


def test_the_first_evidence_goes(client: "redis.Redis") -> None:
    """Of a link that others say as well the next oldest counts, and with it the id may be another one."""
    world = World(Pair(client))
    names = ("user_id=a", "email=a@b.test")
    junior = max(names, key=key_of)
    first = event(1, (junior,))
    world.learn([first, event(2, names), event(3, (junior,))])
    before = world.pair.answered()
    world.pair.retract(first)
    world.reconcile()
    world.is_right()
    assert set(world.pair.answered()) == set(before)
    assert set(world.pair.answered().values()) != set(before.values())


def test_random_histories(client: "redis.Redis") -> None:
    """With all rules on, and copies before and after: after a reconcile all three agree, drift is none."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 5):
        draw = random.Random(seed)
        world = a_world(client, draw)
        with replay(seed):
            for gone in draw.sample(world.all, min(len(world.all), draw.choice([1, 1, 3]))):
                world.pair.retract(gone, *(one for one in world.all if one.key == gone.key))
                if draw.random() < 0.5:
                    world.learn([draw.choice(world.all)])
            report = world.reconcile()
            assert report.drift == {}
            world.is_right()


def test_a_rebuild_leaves_it_out(client: "redis.Redis") -> None:
    """An empty store is filled without it, and takes nothing more from it either."""
    world = a_small_world(client)
    wrong = said(3, who("user_id=a", "user_id=b"))
    world.learn([wrong])
    world.pair.retract(wrong)
    world.reconcile()
    before = world.pair.answered()
    world.reach(Cut({}, world.pair.store.sequence(), 0, world.pair.rules.version))
    client.flushall()
    store = RedisStore(client, "test", KEYRING, Durability(ephemeral=True), rules=world.pair.rules)
    log = LogInWarehouse(world)
    Rebuild(store, log, Restructuring(client, "test", store)).run({("t", 0): 9, ("control", 0): 9})
    assert dict(store.mapping("person")) | dict(store.mapping("group")) == before
    linker = Linker(KEYRING, world.pair.rules)
    batch = linker.batch([wrong])
    assert store.apply(Batch((), batch.evidence, retracted=batch.retracted)) == Retracted()


def test_a_repair_does_not_outrun_it(client: "redis.Redis") -> None:
    """A repair ends when an event is retracted meanwhile, and the next one leaves that out."""
    world = a_small_world(client)
    wrong = said(3, who("user_id=a", "user_id=b"))
    world.learn([wrong])
    pair = world.pair
    repair = Repair(client, "test", pair.store, world, pair.restructuring)
    world.meanwhile = lambda: pair.retract(wrong)
    with pytest.raises(StoreUnavailable, match="retracted"):
        repair.run([key_of("user_id=a")], log_position(2_000_000, "nexus", "reconcile"))
    world.reconcile()
    world.is_right()


def test_recent_events_are_without_it(client: "redis.Redis") -> None:
    """People who look at somebody do not see it any more, at once."""
    pair = Pair(client, recent_events=5)
    pair.learn([FIRST, WRONG])
    pair.retract(WRONG)
    found = pair.store.recent_events(key_of("user_id=a"))
    assert [EventKey(one.source, one.event_id) for one in found.events] == [FIRST.key]
