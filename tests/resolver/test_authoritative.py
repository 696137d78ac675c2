"""The warehouse gives the reference's answer."""

from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import given, settings

from resolver.reference import Reference
from resolver.store import Command
from schemas.events import Event
from schemas.rules import Rules
from tests.resolver.event_log import EventLog
from tests.resolver.histories import KEYRING, RULES, At, Said, chain, command, event, late_histories
from tests.resolver.test_all_rules import SHAPES, Shape


def agree(log: EventLog, events: Sequence[Event], commands: Sequence[Command]) -> None:
    """Assert that the warehouse and the reference give one answer."""
    reference = Reference(KEYRING, log.rules)
    reference.add(events)
    reference.operate(commands)
    log.write(events, commands)
    log.agrees(reference.answer())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_named_shapes(shape: Shape) -> None:
    """What the guards have a say in comes out as the reference has it."""
    agree(EventLog(RULES[shape.rules]), shape.events, shape.commands)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=60, deadline=None)
@given(history=late_histories)
def test_random_histories(name: str, history: list[list[Event] | At]) -> None:
    """Whatever events and operators say, all rules on, the answer is the reference's."""
    events = [one for step in history if isinstance(step, list) for one in step]
    agree(EventLog(RULES[name]), events, list(_commands(history)))


def _commands(history: Iterable[list[Event] | At]) -> Iterable[Command]:
    now_ms = 0
    for step in history:
        if isinstance(step, At):
            now_ms += step.later_ms
            yield command(step.kind, *step.names, ms=now_ms, blocked=step.blocked)
