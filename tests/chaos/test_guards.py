"""Kill -9 around the batch that merges, splits, quarantines or erases, and inside what settles it.

Four courses, each a world of its own in which one thing after the other happens to the same few people.
Around each of them the process is killed: once before and once after the call, or, where no call may
restructure anything, at every step of the thread that does so instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos.conftest import MakeWorld
from tests.chaos.rewound import Rewound
from tests.chaos.verdict import assert_as_if_nothing_happened, assert_told, reference
from tests.chaos.world import World, customers, seen
from tests.services import RedisServer

pytestmark = pytest.mark.services

FORMATS = ("segment", "stripe", "event")

BEFORE = (
    seen(1, "user_id=ada", "email=ada@acme.example"),
    seen(2, "user_id=ada", "anonymous_id=kiosk"),
    seen(3, "user_id=bo", "email=bo@acme.example", "anonymous_id=laptop"),
    seen(4, "user_id=bo", "anonymous_id=kiosk"),
    seen(5, "user_id=cy", "email=cy@acme.example"),
    seen(6, "user_id=di", "email=di@acme.example", "anonymous_id=phone"),
)
"""Ada and Bo, one person by the device that they share; Cy; Di."""

Happening = Callable[[World], None]


def comes(number: int, *names: str) -> Happening:
    """An event comes in."""
    return lambda world: world.produce([seen(number, *names)])


HAPPENINGS: Mapping[str, Happening] = {
    "merge": comes(11, "user_id=di", "email=cy@acme.example"),
    "quarantine": comes(12, "user_id=cy", "anonymous_id=kiosk"),
    "release": lambda world: world.say("release", "anonymous_id=kiosk"),
    "erase": lambda world: world.say("erase", "user_id=bo"),
    "return": comes(13, "user_id=bo", "email=bo@acme.example", "user_id=ada"),
    "together": lambda world: world.say("together", "user_id=ada", "user_id=di"),
    "apart": lambda world: world.say("apart", "user_id=ada", "user_id=bo"),
    "block": lambda world: world.say("block", "user_id=di"),
    "unblock": lambda world: world.say("unblock", "user_id=di"),
}

CALL = ("before-apply", "after-apply")
RESTRUCTURING = tuple(f"restructure-{step}" for step in ("begin", "read", "prepared", "visible", "settled"))
COURSES = (
    (CALL, ("merge", "quarantine", "release", "erase", "return")),
    (CALL, ("together", "apart", "block", "unblock")),
    (RESTRUCTURING, ("quarantine", "erase")),
    (RESTRUCTURING, ("apart", "block", "unblock")),
)


def go(world: World, points: tuple[str, ...], happenings: tuple[str, ...]) -> World:
    """Let it all happen, and be killed at each point of each."""
    world.produce([*customers(40), *BEFORE])
    world.finish()
    is_one_call = points == CALL
    more = {} if is_one_call else {"NEXUS_TEST_ONE_CALL": "0"}
    for name in happenings:
        before = reference(world)
        HAPPENINGS[name](world)
        after = reference(world)
        assert before != after, f"{name}: nothing happened"
        for point in points:
            victim = world.start("run", "--workers", "2", NEXUS_TEST_CRASH_AT=point, **more)
            assert victim.wait() == -9, f"{name}: {point} was not reached: {victim.stderr}"
            world.shorten_the_lock(0)
            answer = assert_told(world)
            if point in ("before-apply", "after-apply"):
                assert answer == (before if point == "before-apply" else after), f"{name}, {point}"
                world.store.check()
            elif point in ("restructure-visible", "restructure-settled"):
                assert answer == after, f"{name}, {point}"
    world.finish()
    return world


@pytest.fixture(scope="module")
def gone(
    request: pytest.FixtureRequest,
    kafka: str,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[World]]]:
    """Give the world at the end of each course that was asked for; they go at the same time."""
    chosen = {each.name for each in request.session.items}
    folder = tmp_path_factory.mktemp("guards")

    def one(points: tuple[str, ...], happenings: tuple[str, ...]) -> World:
        with World(folder, kafka, redis_server.url, formats=FORMATS) as world:
            return go(world, points, happenings)

    with ThreadPoolExecutor(len(COURSES)) as pool:
        yield {
            _name(course): pool.submit(one, *course)
            for course in COURSES
            if any(f"[{_name(course)}]" in name for name in chosen)
        }


def _name(course: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    points, happenings = course
    return f"{'-'.join(happenings)}, {'in one call' if points == CALL else 'restructured'}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("course", [_name(course) for course in COURSES])
def test_a_crash_around_a_decision_changes_nothing(gone: Mapping[str, Future[World]], course: str) -> None:
    """After every crash a consumer knows the store's answer, which is that from before or that from after;
    and started again, the run ends with what it would have ended with.
    """
    world = gone[course].result()
    assert_as_if_nothing_happened(world)
    world.start("check").ends_well()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "point", ["restructure-prepared", pytest.param("restructure-visible", marks=pytest.mark.soak)]
)
def test_a_store_that_falls_back_into_a_restructuring_is_replayed(
    make_world: MakeWorld, tmp_path: Path, point: str
) -> None:
    """The older copy is from the middle of a restructuring; its flags and what it had prepared do no harm."""
    with RedisServer(tmp_path / "own-redis") as server:
        world = make_world(server.url, formats=FORMATS, NEXUS_TEST_ONE_CALL="0")
        world.produce([*customers(40), *BEFORE])
        world.finish()
        HAPPENINGS["quarantine"](world)
        assert world.start("run", "--workers", "2", NEXUS_TEST_CRASH_AT=point).wait() == -9
        rewound = Rewound(world, server)
        rewound.copy()
        world.shorten_the_lock(0)
        HAPPENINGS["apart"](world)
        HAPPENINGS["merge"](world)
        world.finish()
        rewound.restore()
        world.shorten_the_lock(0)
        world.finish()
        assert_as_if_nothing_happened(world, generations=2)
