"""The alarm for a stream that stands still while there is something to read."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from flows.reader import AtEnd
from flows.stopping import Stop
from schemas.errors import NexusError

log = logging.getLogger("nexus.watch")


class Watch:
    """Looks at the store's offsets, whoever moves them, and warns when they rest though the input goes on.

    It repeats itself every `patience_s`, so that an alarm on this line stays on as long as the stream
    stands. A store or broker that does not answer is an alarm of its own.
    """

    def __init__(
        self,
        progress: Callable[[], Mapping[str, str]],
        at_end: Callable[[], AtEnd],
        stop: Stop,
        patience_s: float = 60.0,
    ) -> None:
        self._progress, self._at_end, self._stop, self._patience_s = progress, at_end, stop, patience_s

    def start(self) -> None:
        """Watch until the run ends, in a thread of its own."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def _watch(self) -> None:
        seen, since = None, time.monotonic()
        while not self._stop.wait(self._patience_s):
            try:
                now = self._progress()
                if now != seen:
                    seen, since = now, time.monotonic()
                elif not self._at_end()():
                    rest = time.monotonic() - since
                    log.warning(
                        "no progress for %d s though the input has more: is every worker alive?", rest
                    )
            except NexusError as error:
                log.warning("cannot see whether the stream moves: %s", error)
