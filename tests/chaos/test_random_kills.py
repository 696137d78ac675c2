"""Kill -9 when chance will have it: workers mostly, the broker and the redis-server now and then.

    NEXUS_TEST_CHAOS_SEED=7 NEXUS_TEST_CHAOS_KILLS=1000 python -m pytest tests/chaos -m soak -s

A seed repeats who is killed, when, and what comes in; what the machine makes of that is its own.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.processes import Process
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, customers
from tests.services import KafkaServer, RedisServer

SEED = "NEXUS_TEST_CHAOS_SEED"
KILLS = "NEXUS_TEST_CHAOS_KILLS"

PROCESSES = 2
EVENTS_PER_KILL = 80
DOWN_S = 0.3  # most seconds that a server stays away
WORKER, BROKER, STORE = "worker", "broker", "store"
SHARES = {WORKER: 0.76, BROKER: 0.08, STORE: 0.16}


@dataclass
class Storm:
    """Two processes of two workers under load, restarted whenever they end, while everything is killed.

    A process that gives up because a server is away may do so, but must say so in one line.
    """

    world: World
    broker: KafkaServer
    store: RedisServer
    chance: random.Random
    running: list[Process] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)

    def rage(self, kills: int) -> None:
        """Kill so many times, then let everything come to rest."""
        stream = iter(customers(kills * EVENTS_PER_KILL, seed=self.chance.randrange(1_000)))
        self.running = [self._start() for _ in range(PROCESSES)]
        for _ in range(kills):
            self.world.produce(record for record, _ in zip(stream, range(EVENTS_PER_KILL), strict=False))
            time.sleep(self.chance.uniform(0.1, 2.0))
            self._kill(self.chance.choices(list(SHARES), list(SHARES.values()))[0])
            self._restart_who_ended()

    def rest(self) -> None:
        """Wait until all is done, and end everybody in order."""
        end = time.monotonic() + 60
        while self.world.applied < len(self.world.places) or self.world.store.waiting():
            assert time.monotonic() < end, "it does not come to rest"
            self._restart_who_ended()
            time.sleep(0.2)
        for process in self.running:
            process.send(signal.SIGTERM)
        for process in self.running:
            process.ends_well(10)

    def _start(self) -> Process:
        return self.world.start("run", "--workers", "2")

    def _kill(self, what: str) -> None:
        if what == WORKER:
            self.chance.choice(self.running).kill9()
            return
        server = self.broker if what == BROKER else self.store
        server.kill9()
        time.sleep(self.chance.uniform(0, DOWN_S))
        server.start()

    def _restart_who_ended(self) -> None:
        for index, process in enumerate(self.running):
            if process.running:
                continue
            assert process.code in (-9, 1), f"ended with {process.code}:\n{process.stderr}"
            if process.code == 1:
                assert process.last_words, process.stderr
                assert "Traceback" not in process.stderr, process.stderr
                self.gave_up.append(process.last_words)
            self.running[index] = self._start()


@pytest.fixture
def storm(tmp_path: Path, start_kafka: Callable[[], KafkaServer]) -> Iterator[Storm]:
    """Give a storm over servers of its own, from the seed in the environment or a new one; it is printed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    print(f"\n{SEED}={seed}")
    with (
        start_kafka() as broker,
        RedisServer(tmp_path / "own-redis") as store,
        World(tmp_path, broker.bootstrap, store.url) as world,
    ):
        yield Storm(world, broker, store, random.Random(seed))


def kills(otherwise: int) -> int:
    """How many times to kill."""
    return int(os.environ.get(KILLS) or otherwise)


@pytest.mark.services
@pytest.mark.timeout(300)  # about four seconds for each kill
def test_twenty_five_random_kills_change_nothing(storm: Storm) -> None:
    """Whatever was killed whenever, the end is what it would have been."""
    storm.rage(25)
    storm.rest()
    assert_as_if_nothing_happened(storm.world)


@pytest.mark.soak
@pytest.mark.services
@pytest.mark.timeout(0)  # as long as it takes
def test_many_random_kills_change_nothing(storm: Storm) -> None:
    """The same for as long as one likes, with a look at everything after every hundred kills."""
    left = kills(300)
    while left > 0:
        storm.rage(min(left, 100))
        left -= 100
        storm.rest()
        assert_as_if_nothing_happened(storm.world)
