"""A sign of life for whoever watches over processes: a file that is young as long as the work goes on.

    test -n "$(find FILE -mmin -2)"

Whose age is judged, and how, is theirs to say. A question to the process would need a port, and `nexus check`
answers for the namespace, not for one process.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from bytewax.inputs import DynamicSource, StatelessSourcePartition

from flows.stopping import Stop
from schemas.errors import SettingsError

Item = TypeVar("Item")


class SignOfLife:
    """Touches the file every second, if since then each worker of each flow has looked for more to do.

    A worker that hangs does not look, nor does one that waits until a server takes or gives what it has in
    hand: the file is then as old as that lasts. Without a file nothing is told.
    """

    def __init__(self, file: Path | None = None, every_s: float = 1.0) -> None:
        """What an earlier process left is taken away. Raises SettingsError where no file can be."""
        self._file, self._every_s = file, every_s
        self._looked: dict[tuple[str, int], float] = {}  # when each worker did; 0: not yet
        if file is not None:
            try:
                file.touch()
                file.unlink()
            except OSError as error:
                raise SettingsError(f"--alive {file}: {error.strerror}; name another file") from error

    def of(self, name: str, source: DynamicSource[Item], workers: int = 1) -> DynamicSource[Item]:
        """The source of a flow, as one whose workers are watched until they end."""
        self._looked |= {(name, index): 0.0 for index in range(workers)}
        return _Watched(source, lambda index: self._look(name, index), lambda index: self._end(name, index))

    def _look(self, name: str, index: int) -> None:
        self._looked[name, index] = time.monotonic()

    def _end(self, name: str, index: int) -> None:
        self._looked.pop((name, index), None)

    def start(self, stop: Stop) -> None:
        """Tell until the run ends, in a thread of its own."""
        if self._file is not None:
            threading.Thread(target=self._tell, args=(stop,), name="alive", daemon=True).start()

    def _tell(self, stop: Stop) -> None:
        told = 0.0
        while not stop.wait(self._every_s):
            if min(list(self._looked.values()), default=0.0) > told:
                told = time.monotonic()
                self.touch()

    def touch(self) -> None:
        """Tell now. A file that cannot be written any more grows old, which is what it is to say."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.touch()


class _Watched(DynamicSource[Item], Generic[Item]):
    """Another source, each of whose workers says when it looks and when it has ended."""

    def __init__(
        self, source: DynamicSource[Item], look: Callable[[int], None], end: Callable[[int], None]
    ) -> None:
        self._source, self._look, self._end = source, look, end

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_WatchedPartition[Item]":
        """One worker's part."""
        return _WatchedPartition(
            self._source.build(step_id, worker_index, worker_count),
            lambda: self._look(worker_index),
            lambda: self._end(worker_index),
        )


class _WatchedPartition(StatelessSourcePartition[Item]):
    def __init__(
        self, part: StatelessSourcePartition[Item], look: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self._part, self._look, self._end = part, look, end

    def next_batch(self) -> Iterable[Item]:
        """What the other one has, now that it was looked for."""
        self._look()
        return self._part.next_batch()

    def next_awake(self) -> datetime | None:
        """When to look again."""
        return self._part.next_awake()

    def close(self) -> None:
        """It has ended."""
        self._end()
        self._part.close()
