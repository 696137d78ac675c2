"""The source of a flow with one worker: what it does with a reader that has nothing, waits, or fails."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flows.one_worker import OneWorker
from flows.stopping import Stop
from schemas.errors import StoreUnavailable


class Script:
    """A reader that does one thing after the other: it takes or says what is listed, or raises it."""

    def __init__(self, taken: Iterable[list[str] | Exception], is_done: Iterable[bool | Exception]) -> None:
        self._taken, self._is_done = iter(taken), iter(is_done)

    def take(self) -> list[str]:
        """What is next to be taken."""
        taken = next(self._taken)
        if isinstance(taken, Exception):
            raise taken
        return taken

    def is_worked_off(self) -> bool:
        """What is next to be said."""
        is_done = next(self._is_done)
        if isinstance(is_done, Exception):
            raise is_done
        return is_done

    def close(self) -> None:
        """Nothing is open."""


def test_it_ends_when_nothing_is_left_and_nothing_will_come() -> None:
    """Not while there is something, nor before the reader says so."""
    source = OneWorker(Script([["a"], [], []], [False, True]), "it", Stop()).build("", 0, 1)
    assert [source.next_batch(), source.next_batch()] == [["a"], []]
    with pytest.raises(StopIteration):
        source.next_batch()


def test_what_passes_is_waited_for() -> None:
    """A store that is away for a moment ends nothing, whichever question it leaves unanswered."""
    stop, away = Stop(), StoreUnavailable("away")
    source = OneWorker(Script([away, ["a"], []], [away, False]), "it", stop).build("", 0, 1)
    assert [source.next_batch(), source.next_batch()] == [["a"], []]
    assert stop.failure is None


@pytest.mark.parametrize(("taken", "is_done"), [([ValueError()], []), ([[]], [ValueError()])])
def test_a_reader_that_fails_stops_the_run(
    taken: list[list[str] | Exception], is_done: list[Exception]
) -> None:
    """And not the process: the other flows drain."""
    stop = Stop()
    with pytest.raises(StopIteration):
        OneWorker(Script(taken, is_done), "it", stop).build("", 0, 1).next_batch()
    assert isinstance(stop.failure, ValueError)
