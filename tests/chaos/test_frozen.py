"""Processes that stop without ending, and processes that join and vanish."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.chaos import topics
from tests.chaos.conftest import MakeWorld
from tests.chaos.processes import until
from tests.chaos.proxy import RedisProxy
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, customers, halves
from tests.services import RedisServer

pytestmark = pytest.mark.services


def test_a_frozen_process_that_comes_back_changes_nothing(world: World) -> None:
    """Stopped in the middle of its work, replaced, and continued: both go on, and both end with 0."""
    first, second = halves(1_600)
    frozen = world.start("run", "--workers", "2", NEXUS_BATCH="10")
    until("members", lambda: len(topics.members(world.kafka, world.group)) == 2)
    world.produce(first)
    world.wait_until_applied(100)
    frozen.send(signal.SIGSTOP)
    other = world.start("run", "--workers", "2")
    world.wait_until_applied(len(world.places))
    frozen.send(signal.SIGCONT)
    world.produce(second)
    world.wait_until_done()
    for process in (frozen, other):
        process.send(signal.SIGTERM)
    for process in (frozen, other):
        process.ends_well(10)
    assert_as_if_nothing_happened(world)


def test_a_batch_that_a_zombie_still_holds_is_refused(
    make_world: MakeWorld, redis_server: RedisServer
) -> None:
    """A call that is on its way while another process takes the partitions over comes too late: no effect."""
    on_its_way, release = threading.Event(), threading.Event()

    def hold(_number: int, sha: str) -> None:
        if armed.is_set() and sha == apply and not on_its_way.is_set():
            on_its_way.set()
            release.wait(60)

    armed = threading.Event()
    first, second = halves(800)
    later = customers(400, seed=2)
    with RedisProxy(redis_server.url, before=hold) as proxy:
        world = make_world()
        world.produce(first)
        world.finish()
        apply = world.store.apply_sha  # the one call that is to be held
        armed.set()
        zombie = world.start("run", "resolve", NEXUS_REDIS__URL=proxy.url, NEXUS_BATCH="1")
        world.produce(second)
        until("a batch on its way", on_its_way.is_set)
        zombie.send(signal.SIGSTOP)
        world.produce(later)
        world.finish()
        zombie.send(signal.SIGCONT)
        release.set()
        until("the refusal", lambda: "a batch was refused" in zombie.stderr)
        zombie.send(signal.SIGTERM)
        zombie.ends_well(10)
        assert_as_if_nothing_happened(world)


def test_a_process_that_joins_takes_partitions_over_and_gives_them_back(world: World) -> None:
    """The members of a second process own partitions while it lives; then they are the first one's again."""

    def owners() -> dict[str, set[tuple[str, int]]]:
        return topics.members(world.kafka, world.group)

    everything = {(topic, each) for topic in world.inputs.values() for each in range(world.partitions)}
    everything.add((world.control, 0))

    def are_shared_by(count: int) -> bool:
        shares = owners()
        whole = set().union(*shares.values()) == everything
        return len(shares) == count and whole and all(shares.values())

    stream = customers(1_500)
    staying = world.start("run", "--workers", "2")
    until("two members share all", lambda: are_shared_by(2))
    stayed = set(owners())
    world.produce(stream[:500])
    joining = world.start("run", "--workers", "2")
    until("four members share all", lambda: are_shared_by(4))
    assert stayed < set(owners())
    world.produce(stream[500:1_000])
    world.wait_until_applied(700)
    joining.kill9()
    world.produce(stream[1_000:])
    until("two members share all again", lambda: are_shared_by(2))
    assert set(owners()) == stayed
    world.wait_until_done()
    staying.send(signal.SIGTERM)
    staying.ends_well(10)
    assert_as_if_nothing_happened(world)
