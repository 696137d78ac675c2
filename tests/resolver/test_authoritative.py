"""The warehouse gives the reference's answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from resolver.reference import Reference
from resolver.store import Command
from schemas.events import Event, Participant, log_position
from schemas.identifiers import EntityType, Identifier, identifier
from tests.resolver.event_log import EventLog
from tests.resolver.histories import KEYRING, RULES, Said, event, key_of
from tests.resolver.profile_histories import STATED, a_history, an_event
from tests.resolver.test_all_rules import SHAPES, Shape

_WORLDS = 25
"""Histories that one log holds side by side: what a resolution costs hardly depends on how many they are."""


def agree(log: EventLog, events: Sequence[Event], commands: Sequence[Command] = (), now_ms: int = 0) -> None:
    """Assert that the warehouse and the reference give one answer."""
    reference = Reference(KEYRING, log.rules)
    reference.add(events)
    reference.operate(commands)
    log.write(events, commands)
    log.agrees(reference.answer(now_ms), now_ms)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_named_shapes(shape: Shape) -> None:
    """What the guards have a say in comes out as the reference has it."""
    agree(EventLog(RULES[shape.rules]), shape.events, shape.commands)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", STATED)
def test_random_histories(name: str, seed: int) -> None:
    """Whatever events and operators say, late and twice, all rules on, the answer is the reference's."""
    draw = Random(f"{name}, {seed}")  # what pytest prints of a failing test replays it
    events: list[Event] = []
    commands: list[Command] = []
    for world in range(_WORLDS):
        for step in a_history(draw, 0.4, is_long=draw.random() < 0.3)[1]:
            if isinstance(step, list):
                events += [_elsewhere(one, world) for one in step]
            elif isinstance(step, Said):
                commands.append(_command(draw, step, world, len(commands)))
    agree(EventLog(STATED[name], max_recursion=draw.choice([1, 3, 100])), events, commands, 1_009_000)


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


@pytest.mark.parametrize("now_ms", [0, 3_000, 1_000_000])
def test_time_alone_changes_timed_states(now_ms: int) -> None:
    """`now` is an input: earlier than all, amid what happened, long after."""
    draw = Random(7)
    agree(EventLog(STATED["the defaults"]), [an_event(draw) for _ in range(60)], now_ms=now_ms)


@pytest.mark.parametrize("max_recursion", [3, 100])
@pytest.mark.parametrize("is_shuffled", [False, True])
def test_chains_are_whole(max_recursion: int, is_shuffled: bool) -> None:
    """A chain of 10,000 is one entity, in order or shuffled, however deep the recursion may go."""
    values = list(range(10_001))
    if is_shuffled:
        Random(1).shuffle(values)
    pairs = pairwise(values)
    log = EventLog(RULES["the defaults"], max_recursion)
    log.write([event(n, (f"user_id=u{one}", f"user_id=u{other}")) for n, (one, other) in enumerate(pairs)])
    report = log.resolve()
    first = min(key_of(f"user_id=u{value}") for value in values[:2])
    assert Counter(log.entity_of().values()) == {f"per_{first.hex()}": 10_001}
    assert 1 < report.depth <= max_recursion


def test_a_star_is_whole() -> None:
    """A value with 100,000 neighbours is one entity with all of them."""
    log = EventLog(RULES["the defaults"])
    log.write([event(n, ("email=hub@b.test", f"user_id=u{n}")) for n in range(100_000)])
    log.resolve()
    assert [*Counter(log.entity_of().values()).values()] == [100_001]
