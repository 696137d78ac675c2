"""The fake sinks fail when told to, and keep one copy for who keys on the id."""

from __future__ import annotations

import pytest

from schemas.errors import SinkUnavailable
from sinks.memory import MemoryDeadLetters, MemoryTransitions
from tests.sinks.made_up import created, dead_letter, entity, erased


def test_it_fails_as_often_as_told() -> None:
    """A failed write keeps nothing, and the next one after the failures succeeds."""
    sink = MemoryTransitions()
    sink.fail_next(2)
    for _ in range(2):
        with pytest.raises(SinkUnavailable):
            sink.write([created(1)])
    sink.write([created(2)])
    assert sink.written == [created(2)]


def test_one_copy_of_a_transition() -> None:
    """`transitions` is what a consumer that keys on transition_id has."""
    sink = MemoryTransitions()
    sink.write([created(1), created(2)])
    sink.write([created(1)])
    assert sink.transitions == [created(1), created(2)]


def test_tombstones_are_shown() -> None:
    """The keys that a topic would forget, for the entity and for each of its erased ids."""
    sink = MemoryTransitions()
    sink.write([created(1), erased(2, 1, 9)])
    assert sink.tombstones == [entity(1), entity(9)]


def test_one_copy_of_a_dead_letter() -> None:
    """`dead_letters` has one for each place in the input."""
    sink = MemoryDeadLetters()
    sink.write([dead_letter(1, b"x"), dead_letter(1, b"x"), dead_letter(2, b"x")])
    assert sink.dead_letters == [dead_letter(1, b"x"), dead_letter(2, b"x")]
