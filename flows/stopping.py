"""How a run ends: on a signal, at the end of its input, or on a failure, and always with the batch in hand
finished.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Generic, Protocol, TypeVar

from schemas.errors import NexusError, TransientError

log = logging.getLogger("nexus")

In = TypeVar("In")
Item = TypeVar("Item")
Written_contra = TypeVar("Written_contra", contravariant=True)
Out = TypeVar("Out")


@dataclass(slots=True)
class Stop:
    """The one word by which all flows of a process end. Sources look at it and end; steps behind them drain.

    `failure` is the first error that made the run stop; the process ends with code 1 when there is one.
    """

    failure: BaseException | None = None
    _event: threading.Event = field(default_factory=threading.Event)

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask all flows to end."""
        self._event.set()

    def fail(self, error: BaseException) -> None:
        """Ask all flows to end, because of an error. The first one is kept."""
        if self.failure is None:
            self.failure = error
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end to be asked for; True when it was."""
        return self._event.wait(seconds)

    def persist(self, what: str, attempt: Callable[[], None]) -> bool:
        """Attempt until it works; False when the run is to end before that, and the item in hand is to be
        dropped.

        Only transient errors are tried again. Pauses grow from 20 ms to 5 s, and from 1 s on they are logged.
        """
        pause, since = 0.02, time.monotonic()
        while True:
            try:
                attempt()
                return True
            except TransientError as error:
                if self.wait(pause):
                    return False
                if pause >= 1.0:
                    log.warning("waiting for %s for %d s: %s", what, time.monotonic() - since, error)
                pause = min(pause * 1.6, 5.0)

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for the end; a second one of either ends the process at once."""

        def handle(number: int, _frame: FrameType | None) -> None:
            if self.requested:
                os._exit(128 + number)
            log.info("%s: finishing the batch in hand", signal.Signals(number).name)
            self.request()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)


@dataclass(frozen=True, slots=True)
class Crash:
    """Ends the process with SIGKILL at a named point, the nth time it is passed. For the chaos suite.

    Every step of every flow has two points, `before-STEP` and `after-STEP`; `bury` and `send` have one more
    in the middle of what they write, `within-STEP`. `at` is `POINT` or `POINT:N`.
    """

    at: str | None = None
    _passed: dict[str, int] = field(default_factory=dict)

    def __call__(self, point: str) -> None:
        """Pass a point."""
        if self.at is None:
            return
        name, _, nth = self.at.partition(":")
        if name == point:
            self._passed[point] = self._passed.get(point, 0) + 1
            if self._passed[point] == int(nth or 1):
                os.kill(os.getpid(), signal.SIGKILL)

    def aims_at(self, point: str) -> bool:
        """Whether this is the point."""
        return self.at is not None and self.at.partition(":")[0] == point


@dataclass(frozen=True, slots=True)
class Steps:
    """Makes the named steps of a flow. A step that fails stops the run loudly and drops its item, never the
    process: what was dropped moved no offset and no cursor, so the next run does it again.
    """

    stop: Stop
    crash: Crash = field(default_factory=Crash)

    def __call__(self, name: str, step: Callable[[In], Out | None]) -> Callable[[In], Out | None]:
        """The step under its name, for Bytewax's filter_map."""
        before, after = f"before-{name}", f"after-{name}"

        def guarded(item: In) -> Out | None:
            self.crash(before)
            try:
                result = step(item)
            except NexusError as error:
                self.stop.fail(error)
                return None
            except Exception as error:  # a fault of ours: say where, and let the others drain
                log.exception("step %s failed", name)
                self.stop.fail(error)
                return None
            self.crash(after)
            return result

        return guarded


class Writes(Protocol[Written_contra]):
    """A sink of either kind."""

    def write(self, items: Sequence[Written_contra], /) -> None:
        """Returns when all are durable."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class InHalves(Generic[Item]):
    """A sink whose batches go out in two halves, with a crash point between them. For the chaos suite."""

    sink: Writes[Item]
    crash: Crash
    point: str

    def write(self, items: Sequence[Item]) -> None:
        """Returns when all are durable."""
        if half := len(items) // 2:
            self.sink.write(items[:half])
            self.crash(self.point)
        self.sink.write(items[half:])

    def close(self) -> None:
        """Let go of the sink."""
        self.sink.close()
