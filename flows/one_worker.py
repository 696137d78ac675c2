"""The source of a flow with one worker: order is the point of publishing, and of notifying."""

from typing import Generic, Protocol, TypeVar

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from flows.stopping import Stop

Item = TypeVar("Item")


class Takes(Protocol[Item]):
    """What reads for one worker."""

    def take(self) -> list[Item]:
        """What comes next; empty if nothing came in a moment."""

    def is_worked_off(self) -> bool:
        """Whether nothing is left and nothing will come."""

    def close(self) -> None:
        """Let another process take over at once."""


class OneWorker(DynamicSource[Item], Generic[Item]):
    """A reader as a Bytewax source, until the run is to stop or it is worked off. What passes is tried again,
    and said to be waited for as `what`; a reader that fails stops the run, not the process.
    """

    def __init__(self, reader: Takes[Item], what: str, stop: Stop) -> None:
        self._reader, self._what, self._stop = reader, what, stop

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Partition[Item]":
        """The one worker's part."""
        return _Partition(self._reader, self._what, self._stop)


class _Partition(StatelessSourcePartition[Item]):
    def __init__(self, reader: Takes[Item], what: str, stop: Stop) -> None:
        self._reader, self._what, self._stop = reader, what, stop

    def next_batch(self) -> list[Item]:
        """What there is now."""
        try:
            found = self._taken()
        except Exception as error:
            self._stop.fail(error)
            raise StopIteration from error
        if found is None:
            raise StopIteration
        return found

    def _taken(self) -> list[Item] | None:
        """None when it is time to end."""
        found: list[Item] = []
        if self._stop.requested or not self._stop.persist(
            self._what, lambda: found.extend(self._reader.take())
        ):
            return None
        return None if not found and self._is_worked_off() else found

    def _is_worked_off(self) -> bool:
        said: list[bool] = []
        self._stop.persist(self._what, lambda: said.append(self._reader.is_worked_off()))
        return said == [True]

    def close(self) -> None:
        """Let another process take over at once."""
        self._reader.close()
