"""Time goes by: what becomes true because nothing happens is told when it does, also without traffic."""

import logging
import threading
from collections.abc import Callable

from flows.stopping import Stop
from resolver.store import Full, Store, Ticked
from schemas.errors import NexusError

log = logging.getLogger("nexus.ticking")

_PAUSE_S = 0.5


class Ticking:
    """Lets the store's `now` move on, twice a second. Every process may do it: each timer goes off once.

    `ended` is set once `no_more` says that nothing new comes and what is due was told, or the run is to end.
    """

    def __init__(self, store: Store, stop: Stop) -> None:
        self._store, self._stop = store, stop
        self.ended = threading.Event()

    def start(self, no_more: Callable[[], bool] | None = None) -> None:
        """Tick until the run ends, in a thread of its own."""
        threading.Thread(target=self._run, args=(no_more,), name="ticking", daemon=True).start()

    def _run(self, no_more: Callable[[], bool] | None) -> None:
        try:
            is_last = False
            while not self._stop.requested and not is_last:
                is_last = no_more is not None and no_more()
                if not self._tick():
                    break
                self._stop.wait(0 if is_last else _PAUSE_S)
        except NexusError as error:
            self._stop.fail(error)
        except Exception as error:  # a fault of ours: say where, and let the others drain
            log.exception("ticking failed")
            self._stop.fail(error)
        finally:
            self.ended.set()

    def _tick(self) -> bool:
        """Tell all that is due; False when the run is to end."""
        found: list[Ticked | Full] = []
        while self._stop.persist("the store", lambda: found.append(self._store.tick())):
            last = found.pop()
            if isinstance(last, Ticked) and not last.is_more:
                return True
            if isinstance(last, Full) and self._stop.wait(0.1):
                return False
        return False
