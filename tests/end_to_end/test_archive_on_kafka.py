"""The event log of a namespace on real Kafka: each row once, whoever is killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo_producer import records
from schemas.decode import decode
from schemas.erasures import Erasures
from schemas.log_rows import LogRows, Rows, add_transition
from schemas.operations import decode_operation
from schemas.tables import tables
from schemas.transitions import Change, from_json
from tests.chaos import topics
from tests.chaos.processes import until
from tests.chaos.world import World
from tests.services import RedisServer
from tests.sinks.warehouse.reading import in_order, read_all

pytestmark = pytest.mark.services

SEED = 20_260_105
POINTS = ("before-load", "within-load-segment", "within-load-manifest", "after-load")


@pytest.fixture
def world(kafka: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[World]:
    """Give a namespace with a folder for its event log."""
    world = World(
        tmp_path, kafka, redis_server.url, NEXUS_WAREHOUSE__ENGINE="duckdb", NEXUS_WAREHOUSE__EVERY_S="0.3"
    )
    with world:
        yield world


def events(world: World) -> Path:
    """Where the event log is."""
    return Path(world.settings["NEXUS_DATA"]) / world.namespace / "events"


def expected(world: World) -> Rows:
    """What the topics have to give; of transitions, the copy under the entity itself."""
    rows, erasures = Rows(), Erasures(world.keyring)
    maker = LogRows(world.keyring, erasures)
    for message in topics.read(world.kafka, world.control):
        operation = decode_operation(message, world.namespace)
        assert operation is not None
        erasures.learn(operation.erased, operation.position(message.ingested_at_ms))
        maker.add_operation(rows, message, operation)
    for format_name, topic in world.inputs.items():
        for message in topics.read(world.kafka, topic):
            maker.add_events(rows, message, decode(message, format_name).events)
    for message in topics.read(world.kafka, world.transitions):
        if message.value is not None:
            change = from_json(message.value)
            if isinstance(change, Change) and (message.key or b"").decode() == change.entity_id:
                add_transition(rows, change)
    return rows


def agree(world: World) -> None:
    """The event log has exactly the rows that the topics give."""
    assert read_all(events(world)) == in_order(expected(world))


def produce(world: World, count: int, seed: int = SEED) -> None:
    """Send some of the demo's events, with every fault."""
    print(f"seed {seed}")
    world.produce(records(seed=seed, count=count, faults="duplicates=5,late=5,shuffled=5,junk=3,malformed=6"))


def has(world: World, events_at_least: int) -> Callable[[], bool]:
    """Whether so many events are archived."""

    def holds() -> bool:
        is_there = (events(world) / "manifest.json").exists()
        found = read_all(events(world), (tables()["nexus_events"],)) if is_there else {}
        return len(found.get("nexus_events", [])) >= events_at_least

    return holds


def test_topics_are_archived_beside_the_stream(world: World) -> None:
    """An archive beside the stream has everything when both have ended, operator events too."""
    produce(world, 600)
    world.say("together", "user_id=one", "user_id=other")
    archive = world.start("run", "archive")
    world.finish()
    until("the events are archived", has(world, 400))
    produce(world, 300, SEED + 1)
    archive.send(signal.SIGTERM)
    archive.ends_well(10)
    world.finish()
    world.start("run", "archive", "--until-end").ends_well()
    agree(world)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_loses_nothing(world: World, point: str) -> None:
    """Killed at the point, and once more, the next archive ends with each row once."""
    produce(world, 600)
    world.start("run", "--until-end", NEXUS_WAREHOUSE__ENGINE="none").ends_well()
    for nth in (2, 1):
        victim = world.start(
            "run", "archive", NEXUS_TEST_CRASH_AT=f"{point}:{nth}", NEXUS_WAREHOUSE__BATCH="100"
        )
        assert victim.wait() == -signal.SIGKILL, victim.stderr
    world.start("run", "archive", "--until-end").ends_well()
    agree(world)


def test_another_archive_takes_over(world: World) -> None:
    """Of two archives one waits; when the first is killed, the second goes on."""
    produce(world, 300)
    first = world.start("run", "archive")
    until("the first one archives", has(world, 200))
    second = world.start("run", "archive")
    first.kill9()
    produce(world, 300, SEED + 1)
    until("the second one goes on", has(world, 450))
    second.send(signal.SIGTERM)
    second.ends_well(10)
    world.finish()
    agree(world)
