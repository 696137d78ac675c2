"""A thousand timers, and everybody who could let them go off is killed again and again."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
import redis

from demo_producer import Record
from flows.settings import rules_from_file
from resolver.redis_store import RedisStore
from schemas.instants import format_instant
from schemas.transitions import StateCorrected, StateEntered
from tests.chaos.conftest import MakeWorld
from tests.chaos.processes import Process, until
from tests.chaos.verdict import assert_no_gaps, follow, transition, transitions_of

pytestmark = pytest.mark.services

CUSTOMERS = 1_000
KILLS = 10
SILENCE_S = 8

RULES = f"""
rules:
  states:
    silence:
      of: person
      values: ['yes']
      after: {{duration: {SILENCE_S}s, value: 'yes'}}
"""


def seen(number: int, occurred_ms: int) -> Record:
    """Something that a customer did."""
    event = {
        "event_id": f"e-{number}", "source": "app", "event_name": "seen",
        "occurred_at": format_instant(occurred_ms),
        "participants": [
            {"entity_type": "person", "identifiers": [{"type": "user_id", "value": f"u{number}"}]}
        ],
    }  # fmt: skip
    return Record("event", None, (), json.dumps(event).encode())  # type: ignore[arg-type]  # none of the demo's


def test_each_goes_off_once(make_world: MakeWorld, tmp_path: Path) -> None:
    """Without traffic, while processes are killed and replaced by others with more or fewer workers."""
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    world = make_world(formats=("event",))
    rules = rules_from_file(file)

    def start(turn: int) -> Process:
        return world.start("run", "--workers", str(1 + turn % 3), "--config", str(file))

    running = [start(0), start(1)]
    now_ms = time.time_ns() // 1_000_000
    world.produce([seen(number, now_ms + 5 * number) for number in range(CUSTOMERS)])  # due one by one
    client = redis.Redis.from_url(world.redis_url)

    def store() -> RedisStore:
        return RedisStore(client, world.namespace, world.keyring, rules=rules)

    until("the store is open", lambda: client.exists(f"nexus:{{{world.namespace}}}:meta"), 60)
    until("all is read", lambda: sum(store().offsets(world.inputs["event"]).values()) >= CUSTOMERS, 60)
    for kill in range(KILLS):
        time.sleep(0.7)
        running.pop(0).kill9()
        running.append(start(kill))
    until("all went off", lambda: store().clock()[1] is None and store().waiting() == 0, 90)
    store().check()
    published = transitions_of(world)
    told = {(one.generation, one.number): one for one in map(transition, published)}
    assert_no_gaps(told)
    entered = Counter(one.entity_id for one in told.values() if isinstance(one, StateEntered))
    assert len(entered) == CUSTOMERS
    assert set(entered.values()) == {1}
    assert not [one for one in told.values() if isinstance(one, StateCorrected)]
    timelines = follow(published).profiles.timelines()
    assert {len(each["silence"]) for each in timelines.values()} == {1}
