"""Restructurings that are too large for one call, settled beside the stream by a thread of its process."""

import logging
import threading
from collections.abc import Callable

from flows.stopping import Crash, Stop
from resolver.restructure import Restructuring
from schemas.errors import NexusError, TransientError

log = logging.getLogger("nexus.settling")

_PAUSE_S = 0.2


class Settling:
    """Looks whether something is to be settled, and settles it, one process at a time.

    `ended` is set once `no_more` says that nothing new comes and all is settled, or the run is told to end.
    """

    def __init__(
        self, restructuring: Callable[[Callable[[str], None]], Restructuring], stop: Stop, crash: Crash
    ) -> None:
        self._stop, self._crash = stop, crash
        self._restructuring = restructuring(self._pass)
        self.ended = threading.Event()

    def start(self, no_more: Callable[[], bool] | None = None) -> None:
        """Settle until the run ends, in a thread of its own."""
        threading.Thread(target=self._settle, args=(no_more,), name="settling", daemon=True).start()

    def _settle(self, no_more: Callable[[], bool] | None) -> None:
        try:
            while not self._stop.requested:
                is_last = no_more is not None and no_more()
                if not self._settled() or (is_last and not self._is_due()):
                    break
                if not is_last:
                    self._stop.wait(_PAUSE_S)
        finally:
            self.ended.set()

    def _is_due(self) -> bool:
        due = []
        return self._stop.persist("the store", lambda: due.append(self._restructuring.is_due())) and due[0]

    def _settled(self) -> bool:
        """Settle what there is; False when the run is to end."""
        try:
            self._restructuring.run()
        except _Interrupted:
            return False
        except TransientError as error:
            log.warning("what is too large for one call has to wait: %s", error)
            return not self._stop.wait(1)
        except NexusError as error:
            self._stop.fail(error)
            return False
        except Exception as error:  # a fault of ours: say where, and let the others drain
            log.exception("settling failed")
            self._stop.fail(error)
            return False
        return True

    def _pass(self, step: str) -> None:
        self._crash(step)
        if self._stop.requested:
            raise _Interrupted


class _Interrupted(Exception):
    """The run is to end."""
