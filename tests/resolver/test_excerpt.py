"""Whoever asks the log about somebody, as of then, gets the reference's answer to the log up to there."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from resolver.excerpt import AskedLog, Excerpt, Then, TooMuch, commands_until, known_then
from resolver.profiles import NOTHING
from resolver.reference import Answer, Reference
from resolver.store import Command, Cut
from resolver.words import words
from schemas.events import Event, log_position
from schemas.identifiers import Identifier, identifier
from schemas.rules import Rules
from schemas.tables import LOG
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from tests.resolver.event_log import EventLog
from tests.resolver.histories import KEYRING, Said, chain, event, key_of
from tests.resolver.profile_histories import STATED, a_history, an_event

FIRST_MS, S = 1_000_000, 1_000


@dataclass
class Opened:
    """A warehouse that nobody fills meanwhile."""

    engine: Engine

    def reach(self, cut: Cut) -> None:
        """It has everything."""


@pytest.fixture
def warehouse() -> Iterator[Opened]:
    """Give a DuckDB with the tables of the log."""
    with contextlib.closing(DuckDB(Path(":memory:"))) as opened:
        opened.create(LOG)
        yield Opened(opened)


def a_log(draw: Random) -> tuple[Rules, list[Event], list[Command]]:
    """A random history, with operator events amid the events, retractions among them."""
    rules, steps = a_history(draw, 0.4)
    events = [one for step in steps if isinstance(step, list) for one in step]
    said = [step for step in steps if isinstance(step, Said)]
    commands = [_command(draw, one, number) for number, one in enumerate(said)]
    if events and draw.random() < 0.3:
        position = log_position(FIRST_MS + S * draw.randrange(12), "operator", "o99")
        commands.append(Command("retract", "person", position, (), event=draw.choice(events).key))
    return rules, events, commands


def _command(draw: Random, said: Said, number: int) -> Command:
    position = log_position(FIRST_MS + S * draw.randrange(15), "operator", f"o{number:04}")
    keys = tuple(sorted(key_of(each, said.entity_type) for each in said.names))
    others = ("anonymous_id=a",) if said.kind == "erase" and said.entity_type == "person" else ()
    blocked = tuple(key_of(each) for each in others if each not in said.names)
    return Command(said.kind, said.entity_type, position, keys, blocked)


def reference(rules: Rules, events: Sequence[Event], commands: Sequence[Command], until_ms: int) -> Answer:
    """The answer to what was there by then, timed states as of then."""
    learned = Reference(KEYRING, rules)
    learned.add(one for one in events if one.ingested_at_ms <= until_ms)
    learned.operate(commands_until(commands, until_ms))
    return learned.answer(until_ms)


def asked(warehouse: Opened, rules: Rules, one: Identifier | bytes, until_ms: int) -> Then:
    """What the log says of one identifier."""
    with contextlib.closing(AskedLog(warehouse)) as log:
        return known_then(log, KEYRING, rules, one, until_ms)


def is_the_same(expected: Answer, found: Then, one: Identifier, key: bytes) -> None:
    """Assert that what was found of an identifier is what an answer says."""
    name = expected.entity_of.get(one)
    assert found.excess == expected.quarantined.get(key)
    assert (found.state == "blocked") == (key in expected.blocked)
    assert (found.state == "in") == (name is not None)
    if name is None or found.profile is None:
        return
    entity = found.profile.entity
    members = {(one.identifier_type, one.identifier_value) for one in expected.entities[name]}
    assert (entity.entity_id, entity.size) == (name, len(members))
    assert {one[:2] for one in entity.members} == members
    assert found.profile.profile == expected.profiles.get(name, NOTHING)
    memberships = {key: one for key, one in expected.memberships.items() if name in key[:2]}
    assert {one[:3]: one[3:] for one in found.profile.memberships} == memberships


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_at_several_instants(warehouse: Opened, seed: int) -> None:
    """Under all rules, of everybody whom the log names, and of whoever came back after an erasure."""
    draw = Random(seed)
    rules, events, commands = a_log(draw)
    log = EventLog(warehouse.engine, rules)
    log.write(events, commands)
    erasures = words(KEYRING, commands).erasures
    for until_ms in (FIRST_MS + S * draw.randrange(12), FIRST_MS + 99 * S):
        expected = reference(rules, events, commands, until_ms)
        participants = [participant for each in events for participant in each.participants]
        named = {one for participant in participants for one in participant.identifiers}
        for one in draw.sample(sorted(named, key=str), min(len(named), 6)):
            found = asked(warehouse, rules, one, until_ms)
            key = erasures.living(KEYRING.key(one), log_position(until_ms + 1, "", ""))
            if key is None:
                assert found == Then("erased")
            else:
                is_the_same(expected, found, one, key)


def test_before_the_first_event_nobody_was_known(warehouse: Opened) -> None:
    """Neither by a name nor by an id; a millisecond later there is somebody."""
    EventLog(warehouse.engine, Rules()).write([event(7, ("user_id=a",), ms=7)])
    one, key = identifier("person", "user_id", "a"), key_of("user_id=a")
    assert asked(warehouse, Rules(), one, 6) == asked(warehouse, Rules(), key, 6) == Then("unnamed")
    assert asked(warehouse, Rules(), key, 7) == asked(warehouse, Rules(), one, 7)
    assert asked(warehouse, Rules(), key, 7).state == "in"


def test_nothing_is_left_behind(warehouse: Opened) -> None:
    """Whoever asks makes tables of another name than the resolution, and takes them away again."""
    EventLog(warehouse.engine, Rules()).write([event(1, ("user_id=a", "user_id=b"))])
    before = tables(warehouse)
    asked(warehouse, Rules(), key_of("user_id=a"), 5)
    assert tables(warehouse) == before


def tables(warehouse: Opened) -> set[str]:
    """The tables that there are."""
    return {name for (name,) in warehouse.engine.rows("SELECT table_name FROM duckdb_tables()")}


def test_only_what_hangs_together_is_read(warehouse: Opened) -> None:
    """A value that ten thousand share and that is quarantined leads to none of them."""
    shared = [event(n, (f"user_id=u{n}", "anonymous_id=kiosk")) for n in range(10_000)]
    EventLog(warehouse.engine, Rules()).write(shared)
    with contextlib.closing(AskedLog(warehouse)) as log:
        log.bound(None, ())
        excerpt = Excerpt(log, KEYRING, Rules(), ())
        excerpt.widen([key_of("user_id=u7")])
    assert set(excerpt.read) == {*map(key_of, ("user_id=u7", "anonymous_id=kiosk", "previous_id=u7"))}
    assert key_of("anonymous_id=kiosk") in excerpt.resolution().quarantined


def test_there_is_a_bound(warehouse: Opened) -> None:
    """Who hangs together with more than that is too large for a question."""
    EventLog(warehouse.engine, Rules()).write(chain(20))
    with contextlib.closing(AskedLog(warehouse)) as log:
        log.bound(None, ())
        with pytest.raises(TooMuch):
            Excerpt(log, KEYRING, Rules(), (), most=5).widen([key_of("user_id=u000000")])


def test_every_engine_gives_the_same(engine: Engine) -> None:
    """Who somebody was by then, all that came under the key of an event, and the newest events of a set."""
    draw = Random(5)
    events = [an_event(draw) for _ in range(30)]
    rules, warehouse = STATED["everything at once"], Opened(engine)
    gone, until_ms = events[3].key, FIRST_MS + 8 * S
    commands = [Command("retract", "person", log_position(FIRST_MS, "operator", "o1"), (), event=gone)]
    EventLog(engine, rules).write(events, commands)
    expected = reference(rules, events, commands, until_ms)
    for value in "abc":
        one = identifier("person", "user_id", value)
        is_the_same(expected, asked(warehouse, rules, one, until_ms), one, KEYRING.key(one))
    with contextlib.closing(AskedLog(warehouse)) as log:
        assert len(log.copies(gone)) == sum(one.key == gone for one in events)
        log.bound(None, {gone}, 2)
        sets = {key for key, _ in log.links([key_of("user_id=a")])}
        newest = sorted({(one.occurred_at_ms, *one.key) for one in log.newest(sets)})
    naming = [one for one in events if one.key != gone and key_of("user_id=a") in named_by(one)]
    assert newest == sorted({(one.occurred_at_ms, *one.key) for one in naming})[-2:]


def named_by(one: Event) -> set[bytes]:
    """The keys of all identifiers of an event."""
    return {KEYRING.key(each) for participant in one.participants for each in participant.identifiers}
