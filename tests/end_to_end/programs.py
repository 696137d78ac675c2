"""Runs `nexus` as its users do: a process with a folder to work in, settings, signals, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from schemas.mapping import Name

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 110.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> int:
        """How many messages a run says it took."""
        found = re.search(r"([\d,]+) messages", self.err)
        assert found is not None, self.err
        return int(found[1].replace(",", ""))


@dataclass(slots=True)
class Running:
    """A command that runs. Its output goes to files, so that no pipe fills up."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def wait(self, seconds: float = PATIENCE_S) -> Done:
        """Wait for the end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running after {seconds:g} s:\n{self.err.read_text()}") from None
        return Done(code, self.out.read_text(), self.err.read_text())

    def terminate(self, seconds: float = 15.0) -> Done:
        """Send SIGTERM and wait for the end."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    @property
    def stdin(self) -> IO[bytes]:
        """The pipe into the command."""
        assert self.process.stdin is not None, "started without a pipe"
        return self.process.stdin


@dataclass(slots=True)
class Nexus:
    """Commands that share a working folder and settings. `settings` are names as in the environment."""

    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    _started: int = 0

    def environment(self, more: Mapping[str, object]) -> dict[str, str]:
        """What a command finds: the settings given, and none that the tests themselves run under."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
        given = {name: str(value) for name, value in {**self.settings, **more}.items()}
        return {**kept, "PYTHONPATH": str(ROOT), **given}

    def start(self, *words: str | Path, pipe: bool = False, **more: object) -> Running:
        """Start a command."""
        self._started += 1
        out, err = (self.folder / f"{self._started}.{end}" for end in ("out", "err"))
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows", *map(str, words)],
                cwd=self.folder,
                env=self.environment(more),
                stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stdout=to_out,
                stderr=to_err,
            )
        return Running(process, out, err)

    @contextmanager
    def running(self, *words: str | Path, pipe: bool = False, **more: object) -> Iterator[Running]:
        """Run a command beside the block, and kill it where the block left it alive."""
        command = self.start(*words, pipe=pipe, **more)
        try:
            yield command
        finally:
            if command.process.stdin is not None:
                command.process.stdin.close()
            if command.process.poll() is None:
                command.process.kill()
                command.process.wait()

    def run(self, *words: str | Path, **more: object) -> Done:
        """Run a command to its end, whatever that is."""
        return self.start(*words, pipe=False, **more).wait()

    def ok(self, *words: str | Path, **more: object) -> Done:
        """Run a command that has to end well."""
        done = self.run(*words, **more)
        assert done.code == 0, done.err
        return done

    def mapping(self) -> dict[Name, str]:
        """What `export` says: every identifier with its entity id."""
        found: dict[Name, str] = {}
        for entity_type in ("person", "group"):
            rows = [json.loads(line) for line in self.ok("export", entity_type).out.splitlines()]
            names = [(row["identifier_type"], row["identifier_value"]) for row in rows]
            assert names == sorted(set(names)), "sorted by type and value, each once"
            found |= {
                (entity_type, kind, value): row["entity_id"]
                for (kind, value), row in zip(names, rows, strict=True)
            }
        return found


def eventually(holds: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"in {seconds:g} s it did not come true that {what}"
        time.sleep(0.05)
