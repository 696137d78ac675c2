"""What all server processes have in common: a folder, a log file, a port that stays, start, kill -9, stop."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"

# Below every system's range of ephemeral ports (Linux starts at 32768): while a server is down between kill
# and restart, no outgoing connection can be given its port.
PORT_RANGE = range(15_000, 30_000)


class ServerFailed(Exception):
    """A server ended by itself or did not answer in time; the message carries the end of its log."""


def free_port() -> int:
    """Return a loopback port on which nobody listens now."""
    # SystemRandom, so that seeding the tests' randomness does not make two test runs pick the same ports
    for port in random.SystemRandom().sample(PORT_RANGE, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free port found on the loopback interface")


class Server(ABC):
    """One server process with a folder of its own.

    `start` returns when it answers. `kill9` and `stop` return when the process is gone. After either, `start`
    brings it back on the same folder and ports, with what it had made durable. As a context manager it is
    stopped at the end. Nothing but its own process is ever signalled.
    """

    name = "server"
    start_seconds = 30.0
    stop_seconds = 20.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Say whether a client is served now; never raises for a server that is still starting."""

    def prepare(self) -> None:  # noqa: B027 - a server that needs no preparation is ordinary
        """Make what the server needs in its folder; run before each start."""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> Self:
        if self.running:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log.open("ab") as log:
            # a session of its own: Ctrl-C ends the tests, which then stop the server in order
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_it_answers()
        except BaseException:  # Ctrl-C too: who could not start it will not stop it
            self.kill9()
            raise
        return self

    def kill9(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze the process (SIGSTOP); `resume` continues it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            if not self.running:
                raise self._failed("ended while starting")
            if time.monotonic() > deadline:
                raise self._failed(f"did not answer in {self.start_seconds:g} s")
            time.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)  # a frozen process would keep SIGTERM for later
        self._process.send_signal(number)
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _failed(self, what: str) -> ServerFailed:
        end_of_log = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return ServerFailed(f"{self.name} {what}:\n{end_of_log}")
