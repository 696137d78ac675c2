"""Input that is no longer what the offsets are of."""

from __future__ import annotations

import pytest

from tests.chaos import topics
from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, customers, halves
from tests.services import make_topic

pytestmark = pytest.mark.services


def test_a_topic_that_was_made_again_is_refused(world: World) -> None:
    """Deleted and created under the same name, a topic is another one: code 1, and the remedy."""
    world.produce(customers(200))
    world.finish()
    topics.delete(world.kafka, world.inputs["segment"])
    make_topic(
        world.kafka, world.inputs["segment"], world.partitions, {"max.message.bytes": str(topics.LARGEST)}
    )
    world.produce(customers(400, seed=2))
    world.start("run", "--workers", "2").is_refused("deleted and created again", "--from-beginning")


def test_a_topic_that_is_deleted_under_running_workers_stops_them(world: World) -> None:
    """It does not go unnoticed that an input has vanished."""
    process = world.start("run", "--workers", "2", NEXUS_CONSUMER__TOPIC_METADATA_REFRESH_INTERVAL_MS="500")
    world.produce(customers(200))
    world.wait_until_done()
    topics.delete(world.kafka, world.inputs["segment"])
    process.is_refused(world.inputs["segment"], "topic")


def test_expired_offsets_stop_the_stream(world: World) -> None:
    """Messages were deleted that nobody had read: the stream does not jump over them, but ends with 1."""
    first, second = halves(600)
    world.produce(first)
    world.finish()
    assert_as_if_nothing_happened(world)
    world.produce(second)
    for topic in world.inputs.values():
        topics.delete_records(world.kafka, topic)
    before = world.applied
    world.start("run", "--workers", "2").is_refused("no longer there", "messages are lost")
    assert world.applied == before


def test_messages_that_expired_behind_the_offsets_are_not_missed(world: World) -> None:
    """Retention may take what was read; the stream goes on."""
    first, second = halves(600)
    world.produce(first)
    world.finish()
    for topic in world.inputs.values():
        topics.delete_records(world.kafka, topic)
    world.produce(second)
    world.finish()
    assert world.applied == len(world.places)
