"""What a caller may rely on, whatever is behind it.

A sink is handed batches, in order, by one thread. `write` returns when the whole batch is durable at its
destination: acknowledged by every replica that must, or synced to disk. It either returns or raises:

- a TransientError (SinkUnavailable): some of the batch may be there, some not. Write the same batch again.
- a TerminalError: writing again will not help, a person must act.

Writing a batch twice is harmless: what arrives twice carries the same `transition_id`, or the same source
topic, partition and offset, and leaves one copy for who keys on it.

An erasure is durable like everything else, and with it the tombstones of the keys that must forget, at a
destination that has keys and can forget; where there are none, the `entity_erased` itself says it all.

Not promised: that a batch is visible all at once, nor any order between two transitions under different keys.
Who keeps the whole mapping applies transitions by their sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas.dead_letters import DeadLetter
from schemas.transitions import Transition


class TransitionSink(Protocol):
    """Takes transitions in the order of their sequence."""

    def write(self, transitions: Sequence[Transition]) -> None:
        """Return when all are durable. An empty batch is written at once."""

    def close(self) -> None:
        """Let go of connections and files. Closing twice is harmless; nothing is pending after any
        `write`.
        """


class DeadLetterSink(Protocol):
    """Takes messages that could not be read, with their reason and untouched payload."""

    def write(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Return when all are durable. An empty batch is written at once."""

    def close(self) -> None:
        """Let go of connections and files. Closing twice is harmless; nothing is pending after any
        `write`.
        """
