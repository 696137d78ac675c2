"""What the resolve flow asks of its input, whether that is Kafka or an input log."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from flows.stopping import Stop
from resolver.store import Move
from schemas.errors import TransientError
from schemas.events import Message

log = logging.getLogger("nexus.input")


@dataclass(frozen=True, slots=True)
class Taken:
    """Messages that one reader took in one go, and the partitions they move. `epochs` go with the moves: a
    partition that was positioned anew since has a higher one.
    """

    reader: "Reader"
    messages: tuple[Message, ...]
    moves: tuple[Move, ...]
    epochs: tuple[int, ...]


class Reader(Protocol):
    """A worker's share of the input. One thread uses it.

    Promises: what `take` returns continues, for each partition, where the last one ended or where
    `reposition` put it; nothing is left out in between.
    """

    def take(self) -> Taken | None:
        """The next messages, waiting some milliseconds for the first; None when there are none yet."""

    def reposition(self, taken: Taken, offsets: Mapping[tuple[str, int], int | None]) -> None:
        """Go on at these offsets with the partitions of a refused batch, those that are still owned."""

    def commit(self, moves: tuple[Move, ...]) -> None:
        """Tell the input how far the store is, as advice for people and for `resume`."""

    def keep_alive(self) -> None:
        """Stay a member of the group while a batch has to wait."""

    def close(self) -> None:
        """Leave the group."""


class IdleReader:
    """For a worker that has nothing to read."""

    def take(self) -> None:
        """Nothing, after a while."""
        time.sleep(0.05)

    def reposition(self, taken: Taken, offsets: Mapping[tuple[str, int], int | None]) -> None:
        """Nothing was taken."""

    def commit(self, moves: tuple[Move, ...]) -> None:
        """Nothing was taken."""

    def keep_alive(self) -> None:
        """Nothing to keep."""

    def close(self) -> None:
        """Nothing to leave."""


class ReaderFactory(Protocol):
    """Makes each worker's reader."""

    def __call__(self, worker_index: int) -> Reader: ...


class AtEnd(Protocol):
    """Whether the input, as it was when the run began, is worked off."""

    def __call__(self) -> bool: ...


class Intake(DynamicSource[Taken]):
    """The input as a Bytewax source: every worker thread has a reader of its own."""

    def __init__(self, readers: ReaderFactory, stop: Stop, at_end: AtEnd | None = None) -> None:
        self._readers, self._stop, self._at_end = readers, stop, at_end

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "IntakePartition":
        """One worker's part. One that cannot be made stops the run, not the process."""
        try:
            reader: Reader = self._readers(worker_index)
        except Exception as error:  # noqa: BLE001 -- told at the end of the run; Bytewax would print its own
            self._stop.fail(error)
            reader = IdleReader()
        return IntakePartition(reader, self._stop, self._at_end)


class IntakePartition(StatelessSourcePartition[Taken]):
    """Takes until the run is to stop or the input is worked off. A failing reader stops the run, not the
    process.
    """

    _AT_END_EVERY_S = 0.2

    def __init__(self, reader: Reader, stop: Stop, at_end: AtEnd | None) -> None:
        self._reader, self._stop, self._at_end = reader, stop, at_end
        self._next_look = 0.0

    def next_batch(self) -> list[Taken]:
        """What there is now; ends the source when it is time."""
        if self._stop.requested:
            raise StopIteration
        try:
            taken = self._reader.take()
            if taken is not None:
                return [taken]
            if self._is_worked_off():
                raise StopIteration
        except StopIteration:
            raise
        except TransientError as error:
            log.warning("waiting for the input: %s", error)
            self._stop.wait(1.0)
        except Exception as error:
            self._stop.fail(error)
            raise StopIteration from error
        return []

    def _is_worked_off(self) -> bool:
        if self._at_end is None or time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + self._AT_END_EVERY_S
        return self._at_end()

    def close(self) -> None:
        """Leave the input."""
        self._reader.close()
