"""The stream is compared with the warehouse's answer, and repaired until there is nothing to repair.

The warehouse is DuckDB in memory; its event log holds what a test's history held.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from resolver.reconcile import SOURCE, Busy, Extent, Kind, Reconciliation, Report
from resolver.redis_store import ONE_CALL
from resolver.restructure import Restructuring
from resolver.store import Batch, Command, Cut
from schemas.errors import StartRefused
from schemas.events import Event, log_position
from schemas.transitions import EntitiesMerged, TraitChanged
from sinks.warehouse.duckdb import DuckDB
from tests.resolver.event_log import EventLog
from tests.resolver.histories import Pair, Said, event, key_of
from tests.resolver.profile_histories import STATED, Tick, a_history
from tests.resolver.test_facts import said, who
from tests.resolver.test_repair import HARMS, Kept, replay

HISTORIES = int(os.environ.get("NEXUS_TEST_HISTORIES", "50"))


class World(Kept):
    """A stream, its reference and consumer, and a warehouse whose log has all of it when it is asked."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.engine = DuckDB(Path(":memory:"))
        self.log = EventLog(self.engine, pair.rules)

    def reach(self, cut: Cut) -> None:
        """Something may come meanwhile; the log has it already, behind the cut."""
        count = len(self.all)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        commands = sorted(self.pair.reference.commands, key=lambda one: one.position)
        self.log.write(self.all, commands)
        assert isinstance(cut.offsets, dict)
        cut.offsets["t", 0] = count  # the log counts events, and the store may have missed some

    def reconcile(self, *, is_dry: bool = False, extent: Extent = "full") -> Report:
        """One run."""
        pair = self.pair
        reconciliation = Reconciliation(pair.client, "test", pair.store, self, pair.restructuring)
        report = reconciliation.run(is_dry=is_dry, extent=extent)
        pair.settle()
        return report

    def is_right(self) -> None:
        """All agree; another run finds nothing and tells nothing."""
        self.pair.agree()
        told = len(self.pair.told)
        report = self.reconcile()
        assert (report.drift, report.busy, report.repaired, report.pending) == ({}, 0, 0, 0)
        assert self.pair.told[told:] == []
        self.pair.agree()


def a_world(client: "redis.Redis", draw: random.Random) -> World:
    """A random history that all have learned."""
    rules, steps = a_history(draw, 0.15)
    world = World(Pair(client, rules=rules))
    for step in steps:
        if isinstance(step, Said):
            world.pair.say(step)
        elif isinstance(step, Tick):
            world.pair.tick(step.until_ms)
        else:
            world.learn(step)
    return world


def test_a_healthy_stream_has_no_drift(client: "redis.Redis") -> None:
    """Random histories with all rules on: nothing differs, nothing is told."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 5):
        world = a_world(client, random.Random(seed))
        with replay(seed):
            world.is_right()


@pytest.mark.parametrize("harm", HARMS)
def test_whatever_is_wrong_is_found_and_set_right(client: "redis.Redis", harm: str) -> None:
    """Something gets lost, or comes from nowhere: whatever the answer is, it is the log's afterwards."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 10):
        draw = random.Random(seed)
        world = a_world(client, draw)
        HARMS[harm](world, draw)
        with replay(seed):
            world.reconcile()
            assert world.pair.answered() == world.pair.reference.answer(world.pair.now_ms).entity_of
            if harm in ("an event that nobody sent", "an event that never came"):
                assert world.reconcile().drift == {}


@pytest.mark.parametrize("harm", HARMS)
def test_a_thorough_run_mends_what_no_answer_shows(
    client: "redis.Redis", harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was lost, afterwards every invariant of the store holds and all is the log's, page by page."""
    monkeypatch.setattr("resolver.reconcile._AT_ONCE", 3)
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 25):
        draw = random.Random(seed)
        world = a_world(client, draw)
        for _ in range(2):
            HARMS[harm](world, draw)
        with replay(seed):
            world.reconcile(extent="thorough")
            world.pair.store.check()
            world.is_right()


# by hand

RULES = STATED["the defaults"]


def a_small_world(client: "redis.Redis") -> World:
    """Two persons, one of them in a group, with a trait and a state each."""
    world = World(Pair(client, rules=RULES))
    world.learn(
        [
            said(
                1,
                who("user_id=a", "email=a@x.test", ref="p", traits={"name": "Ada"}),
                who("domain=x.test", entity_type="group", ref="g"),
                memberships=[{"person": "p", "group": "g", "role": "owner"}],
                states=[{"of": "p", "state_name": "paying", "state_value": "yes"}],
            ),
            said(2, who("user_id=b", traits={"name": "Bo"})),
        ]
    )
    return world


def unlogged(world: World, *batch: Event) -> None:
    """The stream takes in what the log does not know of."""
    linker = world.pair._linker
    world.pair._apply(lambda: Batch((), linker.evidence(batch), facts=linker.facts(batch)))
    world.pair.settle()


def unread(world: World, *batch: Event) -> None:
    """The log has what the stream never took in."""
    world.all += batch
    world.pair.reference.add(batch)


def _junior(*names: str) -> str:
    """Of identifiers that one event named the one that does not lend the entity its id."""
    return max(names, key=key_of)


PAYING = {"of": "p", "state_name": "paying"}
DRIFTS: dict[str, tuple[Callable[[World], object], set[Kind]]] = {
    "a lost union": (
        lambda world: unread(world, said(3, who("user_id=a", "user_id=b"))),
        {"identifier_elsewhere"},
    ),
    "a wrong union": (
        lambda world: unlogged(world, said(3, who("user_id=a", "user_id=b"))),
        {"identifier_elsewhere"},
    ),
    "a missing identifier": (
        lambda world: unread(world, said(3, who("user_id=a", "anonymous_id=new"))),
        {"identifier_missing"},
    ),
    "an identifier that nobody named": (
        lambda world: unlogged(world, said(3, who("user_id=a", "anonymous_id=new"))),
        {"identifier_extra"},
    ),
    "an older identifier": (
        lambda world: unread(world, said(0, who(_junior("user_id=a", "email=a@x.test")), at=0)),
        {"id_differs"},
    ),
    "a stale trait": (
        lambda world: unread(world, said(3, who("user_id=b", traits={"name": "Bob"}))),
        {"trait"},
    ),
    "a wrong interval": (
        lambda world: unlogged(
            world, said(3, who("user_id=a", ref="p"), states=[{**PAYING, "state_value": "late"}])
        ),
        {"state"},
    ),
    "a lost pointer": (
        lambda world: world.pair.client.delete(world.pair.keys.slots),
        {"identifier_missing"},
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_each_kind_of_drift_is_named_and_repaired(client: "redis.Redis", drift: str) -> None:
    """What is wrong is counted under its kind, with an example; the second run finds nothing."""
    world = a_small_world(client)
    harm, kinds = DRIFTS[drift]
    harm(world)
    looked = world.reconcile(is_dry=True)
    assert kinds <= looked.drift.keys()
    assert looked.repaired == 0
    assert all(looked.examples[kind][0]["entity_ids"] for kind in kinds)
    report = world.reconcile()
    assert report.drift == looked.drift
    assert report.repaired > 0
    world.is_right()


def test_repairs_are_told_with_the_reconciliation_as_their_cause(client: "redis.Redis") -> None:
    """Consumers hear of them as of anything else, and can tell why."""
    world = a_small_world(client)
    unread(world, said(3, who("user_id=a", "user_id=b", traits={"name": "Ada B."})))
    told = len(world.pair.told)
    report = world.reconcile()
    merged = [one for one in world.pair.told[told:] if isinstance(one, EntitiesMerged)]
    changed = [one for one in world.pair.told[told:] if isinstance(one, TraitChanged)]
    assert [(one.cause.source, one.cause.event_id) for one in merged] == [(SOURCE, report.cut)]
    assert [one.value for one in changed] == ["Ada B."]


def test_who_changes_meanwhile_is_no_drift(client: "redis.Redis") -> None:
    """What the stream learns behind the cut differs from the log up to there, and is left as it is."""
    world = a_small_world(client)
    world.meanwhile = lambda: world.learn([said(3, who("user_id=b", "email=b@x.test", traits={"name": "B"}))])
    report = world.reconcile()
    assert (report.drift, report.busy > 0) == ({}, True)
    world.is_right()


def test_who_is_said_the_same_of_meanwhile_is_no_drift(client: "redis.Redis") -> None:
    """A trait that somebody else says as well changes nothing that consumers know, only who said it last."""
    world = a_small_world(client)
    world.meanwhile = lambda: world.learn([said(3, who("user_id=b", traits={"name": "Bo"}))])
    report = world.reconcile()
    assert (report.drift, report.busy) == ({}, 1)
    world.is_right()


def test_who_is_not_summed_up_yet_is_no_drift(client: "redis.Redis") -> None:
    """A restructuring has parted two, and their traits are still those of the one."""
    world = World(Pair(client, rules=RULES, one_call=0))
    a, b = who("user_id=a", traits={"name": "Ada"}), who("user_id=b", traits={"theme": "dark"})
    world.learn([said(1, a), said(2, b), said(3, who("user_id=a", "user_id=b"))])
    pair, reports = world.pair, list[Report]()

    def look(step: str) -> None:
        if step == "restructure-settled":
            mine = Restructuring(client, "test", pair.store)
            reports.append(Reconciliation(client, "test", pair.store, world, mine).run(is_dry=True))

    pair.restructuring = Restructuring(client, "test", pair.store, look)
    pair.operate(Command("apart", "person", log_position(7, "operator", "o1"), _pair_of("a", "b")))
    pair.settle()
    assert [(one.drift, one.busy) for one in reports] == [({}, 2)]
    world.is_right()


def _pair_of(one: str, other: str) -> tuple[bytes, ...]:
    return tuple(sorted((key_of(f"user_id={one}"), key_of(f"user_id={other}"))))


def test_a_busy_entity_is_repaired_as_well(client: "redis.Redis") -> None:
    """Drift of an entity that changes while it is compared is not told from the change, and repaired."""
    world = a_small_world(client)
    unread(world, said(3, who("user_id=b", traits={"theme": "dark"})))
    world.meanwhile = lambda: world.learn([said(4, who("user_id=b", traits={"name": "B"}))])
    assert world.reconcile().drift == {}
    world.is_right()


@pytest.mark.parametrize("one_call", [0, ONE_CALL])
def test_what_is_pending_is_settled_and_no_drift(client: "redis.Redis", one_call: int) -> None:
    """An erasure that came late left only the log to tell what remains, also if it was settled by degrees."""
    world = World(Pair(client, one_call=one_call))
    world.learn([event(5, ["user_id=a", "user_id=b"], ms=5)])
    world.learn([event(9, ["user_id=a", "user_id=b"], ms=9)])
    position = log_position(7, "operator", "o1")
    world.pair.operate(Command("erase", "person", position, (key_of("user_id=a"),)))
    report = world.reconcile()
    assert (report.drift, report.pending > 0) == ({}, True)
    assert not world.pair.store.pending()
    world.is_right()


def test_a_log_that_began_after_the_stream_takes_nothing_away(client: "redis.Redis") -> None:
    """Where the log lacks much of what the stream has, nothing is repaired until somebody says so."""
    world = a_small_world(client)
    unlogged(world, *(event(10 + n, [f"user_id=old{n}"]) for n in range(101)))
    told = len(world.pair.told)
    with pytest.raises(StartRefused, match="101 of 10"):
        world.reconcile()
    assert len(world.pair.answered()) > 101
    assert world.reconcile(is_dry=True).drift == {"identifier_extra": 101}
    assert world.pair.told[told:] == []
    pair = world.pair
    job = Reconciliation(pair.client, "test", pair.store, world, pair.restructuring)
    assert job.run(trusts_log=True).repaired == 101
    pair.settle()
    world.is_right()


def test_one_at_a_time(client: "redis.Redis") -> None:
    """A second process is refused while the first one runs; whoever died does not hold it for ever."""
    world = a_small_world(client)
    client.set(world.pair.keys.reconciler, "somebody", px=60_000)
    with pytest.raises(Busy):
        world.reconcile()
    assert 0 < client.pttl(world.pair.keys.reconciler) <= 60_000
    client.delete(world.pair.keys.reconciler)
    world.is_right()
    assert not client.exists(world.pair.keys.reconciler)
