"""The outbox: one publisher at a time, and a stream that waits when there is none."""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos import topics
from tests.chaos.conftest import MakeWorld
from tests.chaos.processes import until
from tests.chaos.verdict import assert_as_if_nothing_happened, transition, transitions_of
from tests.chaos.world import World, customers

pytestmark = pytest.mark.services

LOCK_S = 10.0  # after which a publisher that was killed is replaced
SLACK_S = 3.0


def repeated(world: World) -> int:
    """How many messages of the transitions topic were there before, under the same key."""
    published = transitions_of(world)
    return len(published) - len({(message.key, transition(message).transition_id) for message in published})


def test_a_publisher_that_is_killed_is_replaced_within_the_locks_time(world: World) -> None:
    """Two publish by turns and never both; kill the one that does, and the other goes on."""
    stream = customers(900)
    resolving = world.start("run", "resolve")
    holder = world.start("publish")
    world.produce(stream[:300])
    world.wait_until_done()
    other = world.start("publish")
    until("a second publisher", lambda: "transitions:" in other.stderr)
    time.sleep(1)  # it says where it will publish a little before it could
    world.produce(stream[300:600])
    world.wait_until_done()
    assert repeated(world) == 0
    holder.kill9()
    world.produce(stream[600:])
    world.wait_until_applied(len(world.places))
    until("published", lambda: world.store.waiting() == 0, LOCK_S + SLACK_S)
    for process in (resolving, other):
        process.send(signal.SIGTERM)
        process.ends_well(10)
    assert_as_if_nothing_happened(world)


def test_a_frozen_publisher_that_comes_back_changes_nothing(world: World) -> None:
    """Frozen for longer than its lock lives, replaced and continued, it publishes nothing new."""
    stream = customers(900)
    frozen = world.start("run")
    world.produce(stream[:300])
    world.wait_until_applied(50)
    frozen.send(signal.SIGSTOP)
    other = world.start("run")
    world.produce(stream[300:600])
    world.wait_until_done(LOCK_S + 20)
    frozen.send(signal.SIGCONT)
    world.produce(stream[600:])
    world.wait_until_done()
    for process in (frozen, other):
        process.send(signal.SIGTERM)
        process.ends_well(10)
    assert_as_if_nothing_happened(world)


def test_a_full_outbox_makes_the_stream_wait(make_world: MakeWorld) -> None:
    """Without a publisher the stream stops at the limit, stays in its group, and goes on when one comes."""
    limit, batch = 60, 20
    world = make_world(
        NEXUS_OUTBOX_LIMIT=str(limit), NEXUS_BATCH=str(batch), NEXUS_CONSUMER__MAX_POLL_INTERVAL_MS="4000"
    )
    resolving = world.start("run", "resolve", "--workers", "2")
    world.produce(customers(600))
    until("a full outbox", lambda: world.store.waiting() >= limit)
    time.sleep(1)
    waiting, applied = world.store.waiting(), world.applied
    assert applied < len(world.places), "the stream did not wait"
    members = set(topics.members(world.kafka, world.group))
    time.sleep(7)  # a member that does not poll for so long is put out of the group
    assert (world.store.waiting(), world.applied) == (waiting, applied)
    assert set(topics.members(world.kafka, world.group)) == members
    publishing = world.start("publish")
    world.wait_until_done()
    for process in (resolving, publishing):
        process.send(signal.SIGTERM)
        process.ends_well(10)
    assert_as_if_nothing_happened(world)


def test_a_stream_that_waits_for_the_outbox_can_be_stopped(make_world: MakeWorld) -> None:
    """A signal ends it with 0; what it had in hand is read again by the next."""
    world = make_world(NEXUS_OUTBOX_LIMIT="60", NEXUS_BATCH="20")
    resolving = world.start("run", "resolve", "--workers", "2")
    world.produce(customers(600))
    until("a full outbox", lambda: world.store.waiting() >= 60)
    resolving.send(signal.SIGTERM)
    resolving.ends_well(10)
    world.finish()
    assert_as_if_nothing_happened(world)
