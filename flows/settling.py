"""Restructurings that are too large for one call, settled beside the stream.

A process of its own computes them: in a thread of the stream's process it would hold the interpreter, and the
stream with it (measured: a 99th percentile of 300 ms instead of 5).
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flows.stopping import Crash, Stop
from resolver.restructure import Restructuring
from schemas.errors import NexusError, TransientError

if TYPE_CHECKING:
    from flows.settings import Settings

log = logging.getLogger("nexus.settling")

_PAUSE_S = 0.2
_CHILD = "from flows.settling import settle_from_stdin; settle_from_stdin()"


class Settling:
    """Looks whether something is to be settled, and settles it, one process at a time.

    `ended` is set once `no_more` says that nothing new comes and all is settled, or the run is told to end.
    `settings` says what a process of its own works under; without it, and where a crash is asked for, the
    work is done here.
    """

    def __init__(
        self,
        restructuring: Callable[[Callable[[str], None]], Restructuring],
        stop: Stop,
        crash: Crash,
        settings: "Callable[[], Settings] | None" = None,
    ) -> None:
        self._stop, self._crash = stop, crash
        self._settings = settings if crash.at is None else None
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
                self._stop.wait(_PAUSE_S)
        finally:
            self.ended.set()

    def _is_due(self) -> bool:
        due = []
        return self._stop.persist("the store", lambda: due.append(self._restructuring.is_due())) and due[0]

    def _settled(self) -> bool:
        """Settle what there is; False when the run is to end."""
        try:
            if self._settings is None:
                self._restructuring.run()
            elif self._restructuring.is_due():
                return self._settled_by_child(pickle.dumps(self._settings()))
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

    def _settled_by_child(self, settings: bytes) -> bool:
        """Let a process of its own settle it; False when the run is to end, which ends it too, whatever it is
        at: another one goes on.
        """
        path = os.pathsep.join(one for one in (str(Path.cwd()), *sys.path) if one)
        environment = {**os.environ, "PYTHONPATH": path}
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, env=environment
        ) as child:
            assert child.stdin is not None
            child.stdin.write(settings)
            child.stdin.close()
            while child.poll() is None:
                if self._stop.wait(0.02):
                    child.terminate()
                    return False
        if child.returncode != 0:
            log.warning("the process that settles ended with code %d: another one goes on", child.returncode)
            return not self._stop.wait(1)
        return True

    def _pass(self, step: str) -> None:
        self._crash(step)
        if self._stop.requested:
            raise _Interrupted


class _Interrupted(Exception):
    """The run is to end."""


def settle_from_stdin() -> None:
    """What the process of its own does: settle whatever is due, under the settings that come in."""
    from flows.wiring import Wiring

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the run ends this process
    with Wiring(pickle.load(sys.stdin.buffer)) as parts:
        parts.restructuring(lambda _: None).run()
