"""The command line in processes of its own, which may be killed, frozen and told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """One `nexus ARGUMENTS`, running in the working tree's code, with what it says kept in files."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"nexus {' '.join(arguments)}"
        self._out, self._err = folder / "stdout", folder / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows", "--verbose", *arguments], cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """The results it wrote so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return self._err.read_text(errors="replace")

    @property
    def said(self) -> str:
        """What it said, without the middle where that is long: an abort says first why, then where."""
        text = self.stderr
        return text if len(text) < 6_000 else f"{text[:3_000]}\n...\n{text[-3_000:]}"

    @property
    def last_words(self) -> str:
        """The line that an error ends with."""
        return next((line for line in reversed(self.stderr.splitlines()) if line.startswith("nexus: ")), "")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill9(self) -> None:
        """End it as a power cut would; returns when it is gone."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code, when it has ended."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} has not ended in {seconds:g} s:\n{self.said}") from None

    def ends_well(self, seconds: float = 60.0) -> None:
        """Assert that it ends with code 0 and never with a fault of its own."""
        assert self.wait(seconds) == 0, f"{self.name} ended with {self.code}:\n{self.said}"
        assert "Traceback" not in self.stderr, self.said

    def is_refused(self, *words: str, seconds: float = 60.0) -> None:
        """Assert that it ends with code 1 and one line that holds these words."""
        assert self.wait(seconds) == 1, f"{self.name} ended with {self.code}:\n{self.stderr}"
        assert "Traceback" not in self.stderr, self.stderr
        assert all(word in self.last_words for word in words), self.stderr


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1", **settings}


def until(what: str, is_so: Callable[[], object], seconds: float = 30.0, every: float = 0.05) -> None:
    """Wait for something that has to happen; fails with its name when it does not."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what}: not in {seconds:g} s"
        time.sleep(every)
