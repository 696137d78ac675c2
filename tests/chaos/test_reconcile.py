"""The warehouse has the last word on real servers: streams, archive and reconciliation, each a process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from resolver.keys import Keys
from tests.chaos.conftest import MakeWorld
from tests.chaos.processes import Process
from tests.chaos.rewound import Rewound
from tests.chaos.verdict import (
    assert_as_if_nothing_happened,
    differing,
    follow,
    reference,
    transitions_of,
)
from tests.chaos.world import World, halves
from tests.services import RedisServer

pytestmark = pytest.mark.services


def archived(make_world: MakeWorld, redis_url: str | None = None) -> World:
    """A namespace with a folder for its event log."""
    return make_world(redis_url, NEXUS_WAREHOUSE__ENGINE="duckdb", NEXUS_WAREHOUSE__EVERY_S="0.3")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Give a namespace on the shared servers."""
    return archived(make_world)


def working(world: World) -> list[Process]:
    """Two streams and an archive that work side by side."""
    return [world.start(*words) for words in (("run", "resolve"), ("run", "resolve"), ("run", "archive"))]


def end(processes: list[Process]) -> None:
    """Tell those that still run to end."""
    for process in processes:
        if process.running:
            process.send(signal.SIGTERM)
            process.ends_well(15)


def report(world: World, *options: str) -> dict[str, Any]:
    """What a reconciliation says."""
    (found,) = world.told("reconcile", "--json", *options)
    return dict(found)


def harm(world: World) -> None:
    """Lose entities, pointers to them, and what is known of some."""
    with redis.Redis.from_url(world.redis_url) as client:
        for key in (Keys(world.namespace).slots, Keys(world.namespace).profiles):
            fields: Any = client.hkeys(key)
            client.hdel(key, *sorted(fields)[::7])


def test_drift_is_repaired_beside_streams_of_which_one_is_killed(world: World) -> None:
    """What was lost comes back, what comes meanwhile stays, and afterwards nothing differs."""
    first, second = halves(800)
    processes = working(world)
    world.produce(first)
    world.wait_until_applied(len(first))
    harm(world)
    world.produce(second)
    processes[0].kill9()
    assert report(world)["repaired"] > 0
    assert report(world)["drift"] == {}
    end(processes)
    world.finish()
    assert report(world, "--thorough")["drift"] == {}
    world.store.check()
    assert differing(world.exported, reference(world)) == {}


@pytest.fixture
def rewound(make_world: MakeWorld, tmp_path: Path) -> Iterator[Rewound]:
    """Give a world whose store knows half of the stream in a copy."""
    with RedisServer(tmp_path / "own-redis") as server:
        world = archived(make_world, server.url)
        first, second = halves(800)
        world.produce(first)
        world.finish()
        rewound = Rewound(world, server)
        rewound.copy()
        world.produce(second)
        world.finish()
        yield rewound


def test_a_restored_redis_does_not_differ_when_it_has_caught_up(rewound: Rewound) -> None:
    """The event log is ahead of the store that went back: that is no drift, and nothing is repaired by it."""
    world = rewound.world
    rewound.restore()
    processes = working(world)
    found = report(world)
    assert (found["drift"], found["pending"]) == ({}, 0)
    end(processes)
    world.finish()
    assert report(world, "--fail-on-drift")["drift"] == {}
    assert_as_if_nothing_happened(world, generations=2)


def test_an_emptied_redis_is_filled_again(world: World) -> None:
    """It refuses to go on, is rebuilt from the event log, and goes on with what came since."""
    first, second = halves(800)
    world.produce(first)
    world.finish()
    before = world.exported
    with redis.Redis.from_url(world.redis_url) as client:
        names: Any = list(client.scan_iter(f"nexus:{{{world.namespace}}}:*"))
        client.delete(*names)
    world.produce(second)
    refused = world.start("run", "resolve", "--until-end")  # archive might take in the second
    assert refused.wait() == 1
    assert "nexus rebuild" in refused.last_words
    (done,) = world.told("rebuild", "--json")
    assert int(done["events"]) > 0
    assert world.exported == before
    world.finish()
    expected = reference(world)
    assert (differing(world.exported, expected), report(world)["drift"]) == ({}, {})
    consumer = follow(transitions_of(world))
    assert (differing(consumer.as_dict(), expected), consumer.missing) == ({}, ())
