"""A Redis that went back in time, and one that forgot everything."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from schemas.mapping import EntityMapping
from schemas.transitions import SnapshotStarted, Transition
from tests.chaos.conftest import MakeWorld
from tests.chaos.processes import until
from tests.chaos.rewound import Rewound
from tests.chaos.verdict import (
    assert_as_if_nothing_happened,
    follow,
    reference,
    transition,
    transitions_of,
)
from tests.chaos.world import World, customers, halves
from tests.services import RedisServer

pytestmark = pytest.mark.services


@pytest.fixture
def rewound(make_world: MakeWorld, tmp_path: Path) -> Iterator[Rewound]:
    """Give a world whose store knows the first half of the stream in a copy, and all of it in the server."""
    with RedisServer(tmp_path / "own-redis") as server:
        world = make_world(server.url)
        first, second = halves(700)
        world.produce(first)
        world.finish()
        rewound = Rewound(world, server)
        rewound.copy()
        world.produce(second)
        yield rewound


def test_a_restored_redis_is_replayed_under_a_new_generation(rewound: Rewound) -> None:
    """A consumer that follows, and one that begins with nothing, see the same mapping, before and after a
    snapshot; so does one that begins at the snapshot.
    """
    world = rewound.world
    world.finish()
    generation = world.store.sequence().generation
    rewound.restore()
    world.finish()
    assert world.store.sequence().generation > generation
    assert_as_if_nothing_happened(world, generations=2)
    world.start("publish", "--snapshot").ends_well()
    assert_as_if_nothing_happened(world, generations=2)
    assert follow(transitions_of(world)).as_dict() == reference(world)
    assert from_snapshot(world).as_dict() == reference(world)


def from_snapshot(world: World) -> EntityMapping:
    """A consumer that reads the last snapshot and what came after its start, and nothing from before."""
    published = transitions_of(world)
    started = [each for message in published if isinstance(each := transition(message), SnapshotStarted)]
    first = max(map(_at, started))
    return follow(message for message in published if _at(transition(message)) >= first)


def _at(transition: Transition) -> tuple[int, int]:
    return transition.generation, transition.number


def test_a_crash_while_a_fall_is_noticed_raises_one_generation(rewound: Rewound) -> None:
    """Killed as soon as the new generation is there, and started again: it stays the same generation."""
    world = rewound.world
    world.finish()
    generation = world.store.sequence().generation
    rewound.restore()
    process = world.start("run", "--workers", "2", NEXUS_BATCH="1")
    store = world.store
    until("a new generation", lambda: store.sequence().generation > generation, every=0.001)
    process.kill9()
    raised = store.sequence().generation
    world.finish()
    assert world.store.sequence().generation == raised
    assert_as_if_nothing_happened(world, generations=2)


def test_a_redis_that_falls_back_under_running_workers_is_replayed(rewound: Rewound) -> None:
    """A failover to an older state while the processes live: they notice, raise the generation and go on."""
    world = rewound.world
    running = [world.start("run", "--workers", "2") for _ in range(2)]
    world.wait_until_done()
    generation = world.store.sequence().generation
    rewound.restore()
    world.produce(customers(300, seed=2))
    world.wait_until_done()
    assert world.store.sequence().generation > generation
    for process in running:
        process.send(signal.SIGTERM)
    for process in running:
        process.ends_well(10)
    assert_as_if_nothing_happened(world, generations=2)


def test_a_snapshot_that_was_cut_off_does_not_spoil_the_next(world: World) -> None:
    """Killed in the middle of a snapshot; the answer changes; the snapshot is sent again, and is right."""
    first, second = halves(600)
    world.produce(first)
    world.finish()
    process = world.start("publish", "--snapshot", NEXUS_TEST_CRASH_AT="within-send")
    assert process.wait() == -9
    world.produce(second)
    world.finish()
    assert_as_if_nothing_happened(world)
    assert_one_snapshot_message_each(world)
    assert from_snapshot(world).as_dict() == reference(world)


def assert_one_snapshot_message_each(world: World) -> None:
    """No transition_id ever means two things."""
    meaning: dict[str, bytes | None] = {}
    for message in transitions_of(world):
        assert meaning.setdefault(transition(message).transition_id, message.value) == message.value


def test_an_emptied_redis_is_refused_with_the_remedy(make_world: MakeWorld, tmp_path: Path) -> None:
    """The stream does not begin anew by itself; told to, it does, and ends with the same answer."""
    with RedisServer(tmp_path / "own-redis") as server:
        world = make_world(server.url)
        first, second = halves(600)
        world.produce(first)
        world.finish()
        redis.Redis.from_url(server.url).flushall()
        world.produce(second)
        world.start("run", "--workers", "2").is_refused("is empty", "--from-beginning")
        world.finish("--from-beginning")
        assert_as_if_nothing_happened(world, generations=2)


def test_a_redis_that_is_emptied_under_running_workers_stops_them(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    """The workers end with 1 and say what to do, and do not make up half an answer."""
    with RedisServer(tmp_path / "own-redis") as server:
        world = make_world(server.url)
        first, second = halves(600)
        process = world.start("run", "--workers", "2")
        world.produce(first)
        world.wait_until_done()
        redis.Redis.from_url(server.url).flushall()
        world.produce(second)
        process.is_refused("--from-beginning")
        world.finish("--from-beginning")
        assert_as_if_nothing_happened(world, generations=2)
