"""An incremental run makes the tables that a full run makes, and looks at little of the log for it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import redis

from resolver.authoritative import Authoritative, Row
from resolver.last_answer import LastAnswer
from resolver.reconcile import LogInWarehouse
from resolver.store import Command, Cursor, Cut
from resolver.touched import Touched
from schemas.events import Event
from schemas.rules import Rules
from schemas.tables import FINAL, KEPT, RESOLVED
from sinks.warehouse.duckdb import DuckDB
from tests.resolver.event_log import EventLog
from tests.resolver.histories import KEYRING, RULES, Pair, Said, command, event
from tests.resolver.profile_histories import STATED, Tick, a_history
from tests.resolver.test_authoritative import _command, _elsewhere
from tests.resolver.test_facts import said, who
from tests.resolver.test_reconcile import DRIFTS, World, a_small_world, unlogged, unread
from tests.resolver.test_repair import replay

_WORLDS: Final = 20
"""Histories that one log holds side by side; in each stretch something happens to some of them."""
_STRETCHES: Final = 4
MADE = [table.name for table in (*RESOLVED, *FINAL, *KEPT)]
_WHEN: Final = "_processed_at"


class Answered:
    """A log in a warehouse, and the answer to it, as of one cut after the other."""

    def __init__(self, rules: Rules) -> None:
        self.engine = DuckDB(Path(":memory:"))
        self.log = EventLog(self.engine, rules)
        self.said = LogInWarehouse(self)
        self.last = LastAnswer(self.engine, self.said, KEYRING)

    def reach(self, cut: Cut) -> None:
        """The log has all of it."""

    def answer(self, events: list[Event], commands: list[Command], now_ms: int, *, is_whole: bool) -> bool:
        """Make the tables; whether a part was enough."""
        rules = self.log.rules
        self.log.write(events, commands)
        offsets = {("t", 0): len(events), ("control", 0): len(commands)}
        cut = Cut(offsets, Cursor(1, 1), now_ms, rules.version)
        since = None if is_whole else self.last.since(cut, ())
        part = since and Touched(self.engine, rules, since)
        authoritative = Authoritative(self.engine, KEYRING, part=part)
        report = authoritative.resolve(rules, self.said.commands(offsets), offsets)
        authoritative.describe(rules, now_ms)
        authoritative.publish(report, 0)
        self.last.keep(cut)
        return since is not None

    def tables(self) -> dict[str, list[Row]]:
        """All tables, row for row, but for when each row was made."""
        return {name: sorted(self._rows(name), key=repr) for name in MADE}

    def _rows(self, table: str) -> Iterator[Row]:
        names = sorted(f'"{name}"' for name in self.engine.columns(table) if name != _WHEN)
        return self.engine.rows(f"SELECT {', '.join(names)} FROM {table}")


@pytest.mark.parametrize("name", STATED)
def test_stretch_after_stretch_the_tables_are_those_of_a_full_run(name: str) -> None:
    """Random logs with all rules on: events late and twice, operators, time that goes by."""
    seed = random.randrange(1 << 30)
    with replay(seed):
        _stretch_after_stretch(STATED[name], random.Random(seed))


def _stretch_after_stretch(rules: Rules, draw: random.Random) -> None:
    steps = [a_history(draw, 0.3, is_long=draw.random() < 0.5)[1] for _ in range(_WORLDS)]
    events: list[Event] = []
    commands: list[Command] = []
    one, other = Answered(rules), Answered(rules)
    now_ms, parts = 2_000, 0
    for stretch in range(_STRETCHES):
        takes_out = stretch == 2
        for world in range(_WORLDS):
            if draw.random() < 0.3 and stretch:
                continue
            for step in steps[world][stretch::_STRETCHES]:
                if isinstance(step, list):
                    events += [_elsewhere(each, world) for each in step]
                elif isinstance(step, Said) and (takes_out or step.kind != "erase"):
                    commands.append(_command(draw, step, world, len(commands)))
        now_ms += draw.choice([0, 2_000, 4_000])
        parts += one.answer(events, commands, now_ms, is_whole=False)
        other.answer(events, commands, now_ms, is_whole=True)
        found, wanted = one.tables(), other.tables()
        for table in MADE:
            assert found[table] == wanted[table], (table, stretch)
    assert parts >= _STRETCHES - 2


_TIES: Final = {
    "a former id that is named": (["user_id=a"], ["previous_id=a"], []),
    "an id whose former one is known": (["previous_id=a"], ["user_id=a"], []),
    "one of two that were put together": (
        ["user_id=a"],
        ["user_id=b"],
        [command("together", "user_id=a", "user_id=b", ms=1)],
    ),
}


@pytest.mark.parametrize("tie", _TIES)
def test_who_becomes_one_without_an_event_about_both(tie: str) -> None:
    """One of them is named for the first time; the other was there before, and is in the part as well."""
    known, new, commands = _TIES[tie]
    log = Answered(RULES["the defaults"])
    events = [event(1, known), event(2, ["user_id=somebody else"])]
    log.answer(events, commands, 0, is_whole=True)
    assert log.answer([*events, event(3, new)], commands, 0, is_whole=False)
    assert len(log.tables()["nexus_entity_aliases"]) == 1


def test_who_is_released_joins_whom_it_was_named_with() -> None:
    """Nothing was named since; what operators say of one that was out of the graph concerns its partners."""
    log = Answered(RULES["the defaults"])
    events = [event(n, ["anonymous_id=kiosk", f"user_id=u{n}"]) for n in range(3)]
    log.answer(events, [], 0, is_whole=True)
    assert log.answer(events, [command("release", "anonymous_id=kiosk", ms=9)], 0, is_whole=False)
    assert len(log.tables()["nexus_entity_aliases"]) == 3
    assert log.tables()["nexus_quarantine"] == []


# beside the stream


def a_reconciled_world(client: "redis.Redis") -> World:
    """Two persons, one of them in a group, with a trait and a state each; all of it looked at."""
    world = a_small_world(client)
    assert not world.reconcile(extent="incremental").is_incremental  # the first run has nothing to build upon
    return world


def test_a_healthy_stream_has_no_drift(client: "redis.Redis") -> None:
    """Random histories, looked at every few steps: nothing differs, and nothing is told."""
    draw = random.Random(seed := random.randrange(1 << 30))
    world = World(Pair(client, rules=STATED["everything at once"]))
    with replay(seed):
        for _ in range(4):
            for step in a_history(draw, 0.1)[1]:
                if isinstance(step, Said):
                    world.pair.say(step)
                elif isinstance(step, Tick):
                    world.pair.tick(step.until_ms)
                else:
                    world.learn(step)
            report = world.reconcile(extent="incremental")
            assert (report.drift, report.busy) == ({}, 0)


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_of_whom_something_happened_to_is_repaired(client: "redis.Redis", drift: str) -> None:
    """What is wrong with them is found under the kinds that a full run gives it, and set right."""
    world = a_reconciled_world(client)
    harm, kinds = DRIFTS[drift]
    world.learn(
        [said(8, who("user_id=a", traits={"theme": "dark"})), said(8, who("user_id=b", "email=b@x.test"))]
    )
    harm(world)
    report = world.reconcile(extent="incremental")
    assert report.is_incremental
    assert kinds <= report.drift.keys()
    world.is_right()


def test_drift_elsewhere_waits_for_a_full_run(client: "redis.Redis") -> None:
    """Of whom nothing happened to the stream is not asked; the next full run finds what is wrong there."""
    world = a_reconciled_world(client)
    unlogged(world, said(3, who("user_id=b", traits={"name": "Bob"})))
    world.learn([said(4, who("user_id=a", traits={"name": "Ada B."}))])
    report = world.reconcile(extent="incremental")
    assert (report.is_incremental, report.drift) == (True, {})
    assert world.reconcile().drift == {"trait": 1}
    world.is_right()


def test_what_was_not_repaired_is_found_again(client: "redis.Redis") -> None:
    """After a dry run that found something nobody builds upon its tables."""
    world = a_reconciled_world(client)
    unread(world, said(3, who("user_id=b", traits={"name": "Bob"})))
    assert world.reconcile(is_dry=True, extent="incremental").is_incremental
    report = world.reconcile(extent="incremental")
    assert (report.is_incremental, report.drift) == (False, {"trait": 1})
    world.is_right()


def test_an_erasure_is_for_a_full_run(client: "redis.Redis") -> None:
    """It takes out of the log what nobody can find there afterwards."""
    world = a_reconciled_world(client)
    world.pair.say(Said("erase", ("user_id=a",)))
    assert not world.reconcile(extent="incremental").is_incremental
    world.learn([said(4, who("user_id=b", traits={"name": "Bob"}))])
    assert world.reconcile(extent="incremental").is_incremental
    world.is_right()


def test_other_rules_are_for_a_full_run(client: "redis.Redis") -> None:
    """The tables of other rules say nothing of these."""
    world = a_reconciled_world(client)
    world.engine.execute("UPDATE nexus_reconciled SET rules = 'others'")
    assert not world.reconcile(extent="incremental").is_incremental
