"""Time goes by: what becomes true because nothing happens is told when it does, also without traffic.

`now` never passes what is read: it moves to an instant once all that was in the input by then is worked off.
Otherwise a stream that was down for a day would raise alarms about silence that there was none of.
"""

import logging
import threading
from collections.abc import Callable

from flows.reader import AtEnd
from flows.stopping import Stop
from resolver.store import Full, Store
from schemas.errors import NexusError

log = logging.getLogger("nexus.ticking")

_PAUSE_S = 0.5
_POLL_S = 0.1


class Ticking:
    """Lets the store's `now` move on when a timer is due. Every process may do it: each goes off once.

    `at_end` says whether the input, as it was when it was called, is worked off. `ended` is set once
    `no_more` says that nothing new comes and what is due was told, or the run is to end; until then time
    stands still in a run that has an end.
    """

    def __init__(self, store: Store, at_end: Callable[[], AtEnd], stop: Stop) -> None:
        self._store, self._at_end, self._stop = store, at_end, stop
        self.ended = threading.Event()

    def start(self, no_more: Callable[[], bool] | None = None) -> None:
        """Tick until the run ends, in a thread of its own."""
        threading.Thread(target=self._run, args=(no_more,), name="ticking", daemon=True).start()

    def _run(self, no_more: Callable[[], bool] | None) -> None:
        try:
            if no_more is None:
                while not self._stop.wait(_PAUSE_S):
                    self._stop.persist("the store", self._tick_if_due)
            else:
                while not no_more() and not self._stop.wait(_POLL_S):
                    pass
                self._stop.persist("the store", lambda: self._tick(None))
        except NexusError as error:
            self._stop.fail(error)
        except Exception as error:  # a fault of ours: say where, and let the others drain
            log.exception("ticking failed")
            self._stop.fail(error)
        finally:
            self.ended.set()

    def _tick_if_due(self) -> None:
        instant_ms, timer_ms = self._store.clock()
        if timer_ms is None or timer_ms > instant_ms:
            return
        is_read = self._at_end()
        while not is_read():
            if self._stop.wait(_POLL_S):
                return
        self._tick(instant_ms)

    def _tick(self, until_ms: int | None) -> None:
        """Tell all that is due by then."""
        while not self._stop.requested:
            ticked = self._store.tick(until_ms)
            if isinstance(ticked, Full):
                self._stop.wait(_POLL_S)
            elif not ticked.is_more:
                return
