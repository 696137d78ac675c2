"""The stream is compared with the warehouse's answer, and repaired until there is nothing to repair.

The warehouse is DuckDB in memory; its event log holds what a test's history held.
"""

import json
import os
import random

import pytest
import redis

from resolver.reconcile import Reconciliation, Report
from resolver.store import Command, Cut
from schemas.log_rows import Row
from schemas.tables import tables
from tests.resolver.event_log import EventLog
from tests.resolver.histories import Pair, Said
from tests.resolver.profile_histories import Tick, a_history
from tests.resolver.test_repair import HARMS, Kept, replay

HISTORIES = int(os.environ.get("NEXUS_TEST_HISTORIES", "50"))


class World(Kept):
    """A stream, its reference and consumer, and a warehouse whose log has all of it when it is asked."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(pair)
        self.log = EventLog(pair.rules)
        self.engine = self.log.engine

    def reach(self, cut: Cut) -> None:
        """Something may come meanwhile; the log has it already, behind the cut."""
        count = len(self.all)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        commands = sorted(self.pair.reference.commands, key=lambda one: one.position)
        self.log.write(self.all, commands)
        table = tables()["nexus_operator_events"]
        columns = {column.name: column.type for column in table.columns}
        self.engine.replace(table.name, columns, [_row(*one) for one in enumerate(commands)])
        assert isinstance(cut.offsets, dict)
        cut.offsets["t", 0] = count  # the log counts events, and the store may have missed some

    def reconcile(self, *, is_dry: bool = False) -> Report:
        """One run."""
        pair = self.pair
        reconciliation = Reconciliation(pair.client, "test", pair.store, self, pair.restructuring)
        report = reconciliation.run(is_dry=is_dry)
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


def _row(offset: int, one: Command) -> Row:
    operation = {"keys": [key.hex() for key in one.keys], "blocked": [key.hex() for key in one.blocked]}
    said = (one.kind, one.entity_type, json.dumps(operation), "who", None)
    return ("control", 0, offset, int.from_bytes(one.position[:6], "big"), one.position, f"{offset}", *said)


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
