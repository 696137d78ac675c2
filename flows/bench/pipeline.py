"""Everything in turn, by the commands that people type: produce, run, reconcile, lose Redis, rebuild.

Besides the times it is judged that nothing drifts, and that an emptied Redis is filled with what was there.
"""

import filecmp
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flows.bench.figures import Figure
from flows.bench.place import Place

_SEED: Final = 5
_NEW: Final = 10_000  # records that come after the first reconciliation
_EXPORTS: Final = ("person", "group", "traits", "memberships", "states")


def pipeline(place: Place, scale: float) -> Iterator[Figure]:
    """A million records of the demo producer (times the scale), embedded, with two workers."""
    count = max(1_000, int(1_000_000 * scale))
    new = min(_NEW, count // 10)
    first, later = _records(place.folder, count, new)
    nexus = _Nexus(place.folder / "pipeline")
    yield _seconds(f"{count:,} records: nexus run", nexus.run_on(first))
    seconds, report = nexus.reconcile()
    yield _seconds("nexus reconcile", seconds)
    yield Figure("pipeline", "drift", _drift(report), "", at_most=0)
    nexus.run_on(later)
    part, report = nexus.reconcile("--incremental")
    yield _seconds(f"nexus reconcile --incremental after {new:,} more", part)
    yield Figure("pipeline", "drift then", _drift(report), "", at_most=0)
    seconds, report = nexus.reconcile()
    yield _seconds("nexus reconcile of all that", seconds)
    is_judged = count == 1_000_000
    yield Figure(
        "pipeline", "incremental against full", part / seconds, "", at_most=0.1 if is_judged else None
    )
    yield from _rebuilt(nexus, place.folder)


def _rebuilt(nexus: "_Nexus", folder: Path) -> Iterator[Figure]:
    before = nexus.exported(folder / "before")
    shutil.rmtree(nexus.data / "redis")
    yield _seconds("nexus rebuild into an empty Redis", nexus.timed("rebuild")[0])
    after = nexus.exported(folder / "after")
    _, others, missing = filecmp.cmpfiles(before, after, _EXPORTS, shallow=False)
    yield Figure(
        "pipeline", "exports that are not byte for byte the same", float(len(others + missing)), "", at_most=0
    )
    _, report = nexus.reconcile()
    yield Figure("pipeline", "drift after the rebuild", _drift(report), "", at_most=0)


def _records(folder: Path, count: int, new: int) -> tuple[Path, Path]:
    """Two files of records, one after the other in time."""
    whole, first, later = (folder / f"{name}.jsonl" for name in ("whole", "first", "later"))
    options = ["--count", str(count + new), "--seed", str(_SEED), "--shared", "--timestamps", "--quiet"]
    subprocess.run([sys.executable, "-m", "demo_producer", *options, "--to", whole], check=True)
    with whole.open("rb") as lines, first.open("wb") as one, later.open("wb") as other:
        for number, line in enumerate(lines):
            (one if number < count else other).write(line)
    whole.unlink()
    return first, later


def _seconds(what: str, seconds: float) -> Figure:
    return Figure("pipeline", what, seconds, "s")


def _drift(report: dict[str, Any]) -> float:
    return float(sum(report["drift"].values()))


class _Nexus:
    """The command line with a data folder of its own, and none of the settings around it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
        self._environment = {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def timed(self, *words: str) -> tuple[float, str]:
        """The seconds that a command took, and what it said. It has to end well."""
        self.data.mkdir(exist_ok=True)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows", *words, "--data", str(self.data)],
            cwd=self.data, env=self._environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return time.monotonic() - began, done.stdout

    def run_on(self, file: Path) -> float:
        """Work a file off; in how many seconds."""
        words = ("--source", str(file), "--as", "record", "--until-end", "--workers", "2")
        return self.timed("run", *words)[0]

    def reconcile(self, *options: str) -> tuple[float, dict[str, Any]]:
        """The seconds of a reconciliation, and its report."""
        seconds, said = self.timed("reconcile", "--json", *options)
        return seconds, json.loads(said)

    def exported(self, folder: Path) -> Path:
        """A folder with everything that can be exported."""
        folder.mkdir()
        for name in _EXPORTS:
            (folder / name).write_text(self.timed("export", name)[1], encoding="utf-8")
        return folder
