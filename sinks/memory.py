"""Sinks that keep everything in memory: for tests and for trying things out. Nothing survives the process.

sink = MemoryTransitions()
sink.fail_next(2)        # the next two writes raise SinkUnavailable, as a broker that is away would
sink.write(batch)        # otherwise: appended
sink.written             # every copy, in the order written
sink.transitions         # one per transition_id, as a consumer that keys on it keeps them
sink.tombstones          # the keys that a topic would have been told to forget, in the order written
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from schemas.dead_letters import DeadLetter
from schemas.errors import SinkUnavailable
from schemas.transitions import Transition, tombstones

Item = TypeVar("Item")


class _MemorySink(Generic[Item]):
    """Keeps each batch whole, or, told to fail, none of it."""

    def __init__(self) -> None:
        self.written: list[Item] = []
        self._failures = 0

    def fail_next(self, times: int = 1) -> None:
        """Make the next writes raise SinkUnavailable and keep nothing."""
        self._failures = times

    def close(self) -> None:
        """What was written stays readable."""

    def _keep(self, items: Sequence[Item]) -> None:
        if self._failures:
            self._failures -= 1
            raise SinkUnavailable("the memory sink was told to fail")
        self.written.extend(items)


class MemoryTransitions(_MemorySink[Transition]):
    """A TransitionSink that remembers."""

    def write(self, transitions: Sequence[Transition]) -> None:
        """Keep the batch."""
        self._keep(transitions)

    @property
    def transitions(self) -> list[Transition]:
        """One copy of each transition, in the order of first arrival."""
        return list({transition.transition_id: transition for transition in self.written}.values())

    @property
    def tombstones(self) -> list[str]:
        """The key of every tombstone that a topic would hold, copies included."""
        return [key for transition in self.written for key in tombstones(transition)]


class MemoryDeadLetters(_MemorySink[DeadLetter]):
    """A DeadLetterSink that remembers."""

    def write(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Keep the batch."""
        self._keep(dead_letters)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """One copy of each message, by topic, partition and offset, in the order of first arrival."""
        return list({_place(dead_letter): dead_letter for dead_letter in self.written}.values())


def _place(dead_letter: DeadLetter) -> tuple[str, int, int]:
    message = dead_letter.message
    return message.topic, message.partition, message.offset
