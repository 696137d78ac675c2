"""Kill -9 at every boundary between Kafka, Redis, outbox and sink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos.verdict import assert_as_if_nothing_happened
from tests.chaos.world import World, halves
from tests.services import RedisServer

pytestmark = pytest.mark.services

STEPS = ("decode", "bury", "link", "apply", "commit", "send", "advance")
POINTS = (
    *(f"{when}-{step}" for step in STEPS for when in ("before", "after")),
    "within-bury",
    "within-send",
)
LATER = {"send": 1, "advance": 1}  # parcels may be few; of all other things there are at least a dozen

AT_ONCE = 4  # most of the time is waiting: for the group to notice, for the publisher's lock to end


def crash_and_restart(world: World, point: str) -> World:
    """Work off half of a stream, be killed at the point in the other half, start again and finish."""
    first, second = halves(600)
    world.produce(first)
    world.finish()
    world.produce(second)
    nth = LATER.get(point.partition("-")[2], 2)
    victim = world.start("run", "--workers", "2", NEXUS_TEST_CRASH_AT=f"{point}:{nth}")
    assert victim.wait() == -9, f"{point} was not reached: {victim.stderr}"
    world.finish()
    return world


@pytest.fixture(scope="module")
def crashed(
    request: pytest.FixtureRequest,
    kafka: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[World]]]:
    """Give the world after its crash of each point that was asked for; some are made at the same time."""
    chosen = {each.name for each in request.session.items}
    points = [point for point in POINTS if any(f"[{point}]" in name for name in chosen)]
    folder = tmp_path_factory.mktemp("crashed")

    def crash(point: str) -> World:
        with World(folder, kafka, redis_server.url) as world:
            return crash_and_restart(world, point)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {point: pool.submit(crash, point) for point in points}


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_a_point_changes_nothing(crashed: Mapping[str, Future[World]], point: str) -> None:
    """Killed at the point and started again, the run ends with what it would have ended with."""
    assert_as_if_nothing_happened(crashed[point].result())
