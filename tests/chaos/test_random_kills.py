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

from demo_producer import Record
from schemas.operations import Kind
from tests.chaos.processes import Process, until
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, customers, person, seen
from tests.services import KafkaServer, RedisServer

SEED = "NEXUS_TEST_CHAOS_SEED"
KILLS = "NEXUS_TEST_CHAOS_KILLS"

PROCESSES = 2
EVENTS_PER_KILL = 80
DOWN_S = 0.3  # most seconds that a server stays away
WORKER, BROKER, STORE = "worker", "broker", "store"
FORMATS = ("segment", "stripe", "event")
CROWD = tuple(
    f"{kind}={number}" for kind, most in (("user_id", 8), ("anonymous_id", 5)) for number in range(most)
)
DECISIONS: dict[Kind, int] = {"together": 3, "apart": 3, "block": 3, "unblock": 3, "release": 2, "erase": 1}
ARCHIVED = {"NEXUS_WAREHOUSE__ENGINE": "duckdb"}
SHARES = {WORKER: 0.76, BROKER: 0.08, STORE: 0.16}


@dataclass
class Storm:
    """Two processes of two workers under load, restarted whenever they end, while everything is killed.

    A process that gives up because a server is away may do so, but must say so in one line.
    """

    world: World
    broker: KafkaServer | None  # None: it is not this storm's to kill
    store: RedisServer
    chance: random.Random
    running: list[Process] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)
    stream: Iterator[Record] = field(default_factory=lambda: iter(()))

    def rage(self, kills: int) -> None:
        """Kill so many times, then let everything come to rest."""
        self.stream = iter(customers(kills * EVENTS_PER_KILL, seed=self.chance.randrange(1_000)))
        self.running = [self._start() for _ in range(PROCESSES)]
        for _ in range(kills):
            self.come()
            time.sleep(self.chance.uniform(0.1, 2.0))
            self._kill(self.chance.choices(list(SHARES), list(SHARES.values()))[0])
            self._restart_who_ended()

    def come(self) -> None:
        """Let something come in before the next kill."""
        self.world.produce(record for record, _ in zip(self.stream, range(EVENTS_PER_KILL), strict=False))

    def is_done(self) -> bool:
        """Whether everything that came in is carried out, settled and published."""
        world = self.world
        is_applied = world.applied >= len(world.places) and world.carried_out >= world.said
        return is_applied and not world.is_due and not world.store.waiting()

    def rest(self) -> None:
        """Wait until all is done, and end everybody in order."""
        end = time.monotonic() + 60
        while not self.is_done():
            assert time.monotonic() < end, "it does not come to rest"
            self._restart_who_ended()
            time.sleep(0.2)
        for process in self.running:
            until("it has begun", _has_begun(process))
            process.send(signal.SIGTERM)
        for process in self.running:
            process.ends_well(10)

    def _start(self) -> Process:
        return self.world.start("run", "--workers", "2")

    def _kill(self, what: str) -> None:
        if what == WORKER:
            self.chance.choice(self.running).kill9()
            self.world.shorten_the_lock()
            return
        server = self.broker if what == BROKER and self.broker else self.store
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


def _has_begun(process: Process) -> Callable[[], bool]:
    """Whether it has said its first words; before, a signal would just end it."""
    return lambda: "namespace:" in process.stderr


@dataclass
class StormOfDecisions(Storm):
    """A storm over people who share devices, and operators who cannot make up their minds. No call may
    restructure anything: a thread of one of the processes does, until that is killed.
    """

    seen: int = 0

    def rest(self) -> None:
        """The same. An erasure may be carried out after events that came later than it: what they say of whom
        it erased only the event log can tell then, which is filled and asked.
        """
        super().rest()
        if self.world.store.pending():
            self.world.start("run", "archive", "--until-end", **ARCHIVED).ends_well()
            self.world.start("reconcile", **ARCHIVED).ends_well()

    def come(self) -> None:
        """Some events, and an operator event or two, of which few are erasures."""
        super().come()
        self.world.produce([self._event() for _ in range(6)])
        for _ in range(self.chance.randint(1, 2)):
            self._decide()

    def _event(self) -> Record:
        self.seen += 1
        return seen(self.seen, *self.chance.sample(CROWD, self.chance.randint(1, 3)))

    def _decide(self) -> None:
        kind = self.chance.choices(list(DECISIONS), list(DECISIONS.values()))[0]
        names = self.chance.sample(CROWD, 2 if kind in ("together", "apart") else 1)
        if kind != "erase" or self.world.store.entity(self.world.keyring.key(person(names[0]))):
            self.world.say(kind, *names)


@pytest.fixture
def decisions(tmp_path: Path, kafka: str) -> Iterator[StormOfDecisions]:
    """Give a storm on the shared broker over a redis-server of its own; the broker is not killed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(1 << 32))
    print(f"\n{SEED}={seed}")
    with (
        RedisServer(tmp_path / "own-redis") as store,
        World(tmp_path, kafka, store.url, formats=FORMATS, NEXUS_TEST_ONE_CALL="0") as world,
    ):
        world.finish()  # topics and store are there
        yield StormOfDecisions(world, None, store, random.Random(seed))


def go_on(storm: Storm, look_after: int) -> None:
    """Kill as often as the environment says, 300 times else, with a look at everything after so many."""
    left = int(os.environ.get(KILLS) or 300)
    while left > 0:
        storm.rage(min(left, look_after))
        left -= look_after
        storm.rest()
        assert_as_if_nothing_happened(storm.world)


@pytest.mark.services
@pytest.mark.timeout(300)  # about four seconds for each kill
def test_twenty_five_random_kills_change_nothing(storm: Storm) -> None:
    """Whatever was killed whenever, the end is what it would have been."""
    storm.rage(25)
    storm.rest()
    assert_as_if_nothing_happened(storm.world)


@pytest.mark.services
@pytest.mark.timeout(150)
def test_random_kills_while_restructurings_are_under_way_change_nothing(decisions: StormOfDecisions) -> None:
    """Workers and the redis-server die inside of restructurings, and the end is the reference's."""
    decisions.rage(4)
    decisions.rest()
    assert_as_if_nothing_happened(decisions.world)


@pytest.mark.soak
@pytest.mark.services
@pytest.mark.timeout(0)  # as long as it takes
def test_many_random_kills_of_restructurings_change_nothing(decisions: StormOfDecisions) -> None:
    """The same for as long as one likes, with a look at everything after every fifty kills."""
    go_on(decisions, 50)


@pytest.mark.soak
@pytest.mark.services
@pytest.mark.timeout(0)  # as long as it takes
def test_many_random_kills_change_nothing(storm: Storm) -> None:
    """The same for as long as one likes, with a look at everything after every hundred kills."""
    go_on(storm, 100)
