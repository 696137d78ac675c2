"""The warehouse gives the reference's answer: DuckDB always, the others where emulators stand in for them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any, Final

import pytest

from resolver.reference import Reference
from resolver.store import Command
from schemas.events import Event, Participant, log_position
from schemas.identifiers import EntityType, Identifier, entity_id, identifier
from schemas.rules import Rules
from sinks.warehouse.engine import Engine
from tests.resolver.event_log import EventLog
from tests.resolver.final_tables import FinalTables
from tests.resolver.histories import KEYRING, RULES, Said, event
from tests.resolver.profile_histories import STATED, a_history, an_event
from tests.resolver.test_all_rules import SHAPES, Shape

_WORLDS: Final = 25
"""Histories that one log holds side by side: what a resolution costs hardly depends on how many they are."""


def agree(log: EventLog, events: Sequence[Event], commands: Sequence[Command] = (), now_ms: int = 0) -> None:
    """Assert that the warehouse and the reference give one answer."""
    reference = Reference(KEYRING, log.rules)
    reference.add(events)
    reference.operate(commands)
    log.write(events, commands)
    answer = reference.answer(now_ms)
    log.agrees(answer, now_ms)
    FinalTables(log.engine, reference, answer).agree()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_named_shapes(duckdb: Engine, shape: Shape) -> None:
    """What the guards have a say in comes out as the reference has it."""
    agree(EventLog(duckdb, RULES[shape.rules]), shape.events, shape.commands)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STATED)
def test_histories(engine: Engine, name: str) -> None:
    """Whatever events and operators say, late and twice, all rules on, the answer is the reference's: random
    histories, and beside them the named shapes.
    """
    _a_log_agrees(engine, name, seed=0)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STATED)
def test_more_histories(duckdb: Engine, name: str, seed: int) -> None:
    """The same with other histories."""
    _a_log_agrees(duckdb, name, seed)


def _a_log_agrees(engine: Engine, name: str, seed: int) -> None:
    draw = Random(f"{name}, {seed}")  # what pytest prints of a failing test replays it
    events: list[Event] = []
    commands: list[Command] = []
    for world in range(_WORLDS):
        for step in a_history(draw, 0.4, is_long=draw.random() < 0.3)[1]:
            if isinstance(step, list):
                events += [_elsewhere(one, world) for one in step]
            elif isinstance(step, Said):
                commands.append(_command(draw, step, world, len(commands)))
    shapes = [shape for shape in SHAPES.values() if shape.rules == name]
    for world, shape in enumerate(shapes, _WORLDS):
        events += [_elsewhere(one, world) for one in shape.events]
        commands += _commands_elsewhere(shape, world)
    commands += [_retraction(draw, events, len(commands) + n) for n in range(draw.choice([0, 3, 30]))]
    log = EventLog(engine, STATED[name], max_recursion=draw.choice([1, 3, 100]))
    agree(log, events, commands, now_ms=1_009_000)


def _commands_elsewhere(shape: Shape, world: int) -> Iterator[Command]:
    """The shape's operator events, about those who are in another world."""
    moved = {KEYRING.key(one): KEYRING.key(_renamed(one, world)) for one in _known(shape)}
    erasures = [each for each in shape.commands if each.kind == "erase"]
    reborn = {
        KEYRING.reborn(key, each.position): KEYRING.reborn(there, each.position)
        for key, there in moved.items()
        for each in erasures
    }
    places = {**moved, **reborn}
    for each in shape.commands:
        keys, blocked = (tuple(sorted(places[key] for key in named)) for named in (each.keys, each.blocked))
        yield replace(each, keys=keys, blocked=blocked)


def _known(shape: Shape) -> Iterator[Identifier]:
    """Whom its events name, and whom operator events of shapes name besides."""
    for each in shape.events:
        for participant in each.participants:
            yield from participant.identifiers
    for value in "abcdefgh":
        for kind, named in (("user_id", value), ("anonymous_id", value), ("email", f"{value}@b.test")):
            yield identifier("person", kind, named)


def _retraction(draw: Random, events: Sequence[Event], number: int) -> Command:
    """Some event is retracted, with all that bear its key."""
    position = log_position(1_000_000 + 1_000 * draw.randrange(15), "operator", f"o{number:04}")
    return Command("retract", "person", position, (), event=draw.choice(events).key)


def _elsewhere(event: Event, world: int) -> Event:
    """The same event in another world, where nobody is who they are here."""
    return replace(event, participants=tuple(_moved(each, world) for each in event.participants))


def _moved(participant: Participant, world: int) -> Participant:
    return replace(participant, identifiers=tuple(_renamed(each, world) for each in participant.identifiers))


def _renamed(one: Identifier, world: int) -> Identifier:
    value = one.identifier_value
    if value != "null":  # it names nobody in any world
        value = f"{world}-{value}"
    return identifier(one.entity_type, one.identifier_type, value)


def _command(draw: Random, said: Said, world: int, number: int) -> Command:
    """An operator event amid the instants of the events; some come after all of them."""
    position = log_position(1_000_000 + 1_000 * draw.randrange(15), "operator", f"o{number:04}")
    keys = tuple(sorted(_key(each, said.entity_type, world) for each in said.names))
    others = ("anonymous_id=a",) if said.kind == "erase" and said.entity_type == "person" else ()
    blocked = tuple(_key(each, "person", world) for each in others if each not in said.names)
    return Command(said.kind, said.entity_type, position, keys, blocked)


def _key(text: str, entity_type: EntityType, world: int) -> bytes:
    kind, _, value = text.partition("=")
    return KEYRING.key(_renamed(identifier(entity_type, kind, value), world))


@pytest.mark.parametrize("within", [{"cut": {("t", 0): 40}}, {"until_ms": 1_005_000}])
def test_the_log_ends_where_it_is_told_to(duckdb: Engine, within: dict[str, Any]) -> None:
    """Up to a cut, or as of an instant, the answer is that of what the log held there."""
    draw = Random(11)
    events = [an_event(draw) for _ in range(60)]
    log = EventLog(duckdb, STATED["everything at once"])
    log.write(events)
    known = events[:40] if "cut" in within else [one for one in events if one.ingested_at_ms <= 1_005_000]
    reference = Reference(KEYRING, log.rules)
    reference.add(known)
    log.agrees(reference.answer(1_009_000), 1_009_000, **within)


_NAMELESS: Final = {
    "user_id": (
        "N/A",
        "TEST",
        "te\N{LATIN SMALL LETTER LONG S}t",
        "0",
        "-",
        "000-000",
        "cus_0000",
        "Kiosk",
        "temp-7",
    ),
    "phone": ("+49000000000",),
    "email": ("a@example.com", "b@example.org"),
}


def test_values_that_name_nobody_are_found(engine: Engine) -> None:
    """Words, zeros, test addresses, what rules name and what their patterns match: none joins anybody."""
    blocked = {"user_id": {"blocked": {"exact": ["Kiosk"], "patterns": ["temp-[0-9]+"]}}}
    rules = Rules.from_data({"internal_domains": ["acme.test"], "identifiers": blocked})
    named = [f"{kind}={value}" for kind, values in _NAMELESS.items() for value in values]
    events = [event(n, (f"email=p{n}@b.test", one, "user_id=u100")) for n, one in enumerate(named)]
    domains = ["gmail.com", "acme.test", "example.com", "b.test"]
    groups = [
        event(90 + n, (f"domain={one}", "group_id=g"), entity_type="group") for n, one in enumerate(domains)
    ]
    log = EventLog(engine, rules)
    agree(log, [*events, *groups])
    assert len(log.entity_of()) == len(named) + 1 + 2


@pytest.mark.parametrize("now_ms", [0, 3_000, 1_000_000])
def test_time_alone_changes_timed_states(duckdb: Engine, now_ms: int) -> None:
    """`now` is an input: before anything happened, amid it, long after."""
    draw = Random(7)
    log = EventLog(duckdb, STATED["the defaults"])
    agree(log, [an_event(draw) for _ in range(60)], now_ms=now_ms)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_shuffled", [False, True], ids=["sorted", "shuffled"])
def test_chains_are_whole(engine: Engine, is_shuffled: bool) -> None:
    """A chain of 10,000 is one entity."""
    agree(EventLog(engine, RULES["the defaults"]), _chain(is_shuffled=is_shuffled))


@pytest.mark.parametrize(("max_recursion", "is_shuffled"), [(3, False), (3, True), (100, True)])
def test_depth_is_no_matter(duckdb: Engine, max_recursion: int, is_shuffled: bool) -> None:
    """However deep the recursion may go, the chain is one, and the recursion goes no deeper."""
    log = EventLog(duckdb, RULES["the defaults"], max_recursion)
    events = _chain(is_shuffled=is_shuffled)
    log.write(events)
    report = log.resolve()
    senior = min(KEYRING.key(one) for one in events[0].participants[0].identifiers)
    assert Counter(log.entity_of().values()) == {entity_id("person", senior): 10_001}
    assert 1 < report.depth <= max_recursion


def _chain(*, is_shuffled: bool) -> list[Event]:
    values = list(range(10_001))
    if is_shuffled:
        Random(1).shuffle(values)
    links = enumerate(pairwise(values))
    return [event(n, (f"user_id=u{one}", f"user_id=u{other}")) for n, (one, other) in links]


@pytest.mark.timeout(500)
def test_a_star_is_whole(patient_engine: Engine) -> None:
    """A value with 100,000 neighbours is one entity with all of them."""
    events = [event(n, ("email=hub@b.test", f"user_id=u{n}")) for n in range(100_000)]
    agree(EventLog(patient_engine, RULES["the defaults"]), events)
