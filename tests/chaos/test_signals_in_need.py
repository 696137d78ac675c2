"""SIGTERM while a server is away: what is in hand cannot be finished, and the process has to end anyway."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeWorld
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, halves
from tests.services import KafkaServer, RedisServer
from tests.services.server import Server

pytestmark = pytest.mark.services

GONE = pytest.mark.parametrize("gone", [Server.kill9, Server.pause], ids=["killed", "frozen"])


@GONE
def test_a_signal_while_redis_is_away(
    make_world: MakeWorld, tmp_path: Path, gone: Callable[[Server], None]
) -> None:
    """Two workers with a batch in hand, and Redis does not answer: code 0, and the next run goes on."""
    first, second = halves(400)
    with RedisServer(tmp_path / "own-redis") as server:
        world = make_world(server.url)
        process = world.start("run", "--workers", "2")
        world.produce(first)
        world.wait_until_done()
        gone(server)
        world.produce(second)
        process.send(signal.SIGTERM)
        process.ends_well(10)
        server.resume()
        server.start()
        world.finish()
        assert_as_if_nothing_happened(world)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Give a broker that may be killed."""
    with KafkaServer(tmp_path_factory.mktemp("own-kafka")) as server:
        yield server


@GONE
def test_a_signal_while_the_broker_is_away(
    own_kafka: KafkaServer, redis_server: RedisServer, tmp_path: Path, gone: Callable[[Server], None]
) -> None:
    """Two workers and a publisher with work in hand, and the broker does not answer: the same."""
    first, second = halves(400)
    with World(tmp_path, own_kafka.bootstrap, redis_server.url, NEXUS_BATCH="2") as world:
        world.produce(first)
        process = world.start("run", "--workers", "2")
        world.wait_until_applied(20)
        gone(own_kafka)
        process.send(signal.SIGTERM)
        try:
            process.ends_well(10)
        finally:
            own_kafka.resume()
            own_kafka.start()
        world.produce(second)
        world.finish()
        assert_as_if_nothing_happened(world)
