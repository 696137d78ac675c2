"""The servers from a shell: `python -m tests.services`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.services import __main__ as program

SHOW = "import os, sys; print(os.environ['NEXUS_TEST_KAFKA'], os.environ['NEXUS_TEST_REDIS']); sys.exit(7)"


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a note of running servers that is the test's own, and stop what it names at the end."""
    note = tmp_path / "running.json"
    monkeypatch.setattr(program, "RUNNING", note)
    yield note
    program.main(["stop"])


@pytest.mark.services
def test_run_gives_both_addresses_and_takes_the_code(capfd: pytest.CaptureFixture[str]) -> None:
    """The command finds Kafka and Redis in its environment; its exit code comes back; no server is left."""
    before = psutil.Process().children()
    assert program.main(["run", "--", sys.executable, "-c", SHOW]) == 7
    kafka, redis = capfd.readouterr().out.split()
    assert kafka.startswith("127.0.0.1:")
    assert redis.startswith("redis://127.0.0.1:")
    assert psutil.Process().children() == before


@pytest.mark.services
def test_start_is_remembered_until_stop(running: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`start` prints lines for `eval`, a second `start` starts nothing more, `stop` ends the processes."""
    assert program.main(["start"]) == 0
    pids = json.loads(running.read_text())["pids"]
    first = capsys.readouterr().out
    assert first.startswith("export NEXUS_TEST_KAFKA=127.0.0.1:")
    assert program.main(["start"]) == 0
    assert capsys.readouterr().out == first
    assert program.main(["stop"]) == 0
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)
    assert program.main(["status"]) == 1


def test_stop_spares_a_process_that_inherited_the_id(running: Path) -> None:
    """A process id in the note that now belongs to somebody else, here to this test, is left alone."""
    note = {"folder": str(running.parent / "gone"), "pids": {str(os.getpid()): 1.0}, "variables": {}}
    running.write_text(json.dumps(note))
    assert program.main(["stop"]) == 0


def test_wrong_usage_ends_with_code_2() -> None:
    """`run` without a command and unknown verbs explain the usage and end with 2."""
    assert program.main(["run", "--"]) == 2
    assert program.main(["stat"]) == 2
    assert program.main(["--help"]) == 0
