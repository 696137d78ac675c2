"""The sign of life: a file that is young as long as all that is to work does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bytewax.inputs import DynamicSource, StatelessSourcePartition

from flows.alive import SignOfLife
from flows.stopping import Stop
from schemas.errors import SettingsError
from tests.conftest import StartRedis
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.test_embedded import call

EVERY_S = 0.02


class Nothing(StatelessSourcePartition[str]):
    """Has never anything."""

    def next_batch(self) -> list[str]:
        """Nothing."""
        return []


class Quiet(DynamicSource[str]):
    """A source whose workers have nothing."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Nothing:
        """One worker's part."""
        return Nothing()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the file, as an earlier process has left it."""
    file = tmp_path / "alive"
    file.touch()
    return file


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Give a run that ends with the test."""
    stop = Stop()
    yield stop
    stop.request()


def watched(file: Path, stop: Stop, workers: int) -> list[StatelessSourcePartition[str]]:
    """The workers of a run with one flow, as Bytewax has them."""
    life = SignOfLife(file, EVERY_S)
    source = life.of("flow", Quiet(), workers)
    life.start(stop)
    return [source.build("", index, workers) for index in range(workers)]


def is_touched(file: Path, seconds: float = 10 * EVERY_S) -> bool:
    """Whether the file is touched within that time."""
    file.unlink(missing_ok=True)
    time.sleep(seconds)
    return file.exists()


def test_what_an_earlier_process_left_says_nothing(file: Path, stop: Stop) -> None:
    """Before anything has looked for work there is no file."""
    watched(file, stop, 1)
    time.sleep(10 * EVERY_S)
    assert not file.exists()


def test_all_workers_have_to_look(file: Path, stop: Stop) -> None:
    """The file is touched once the last of them has; one that hangs keeps it from being touched again."""
    one, other = watched(file, stop, 2)
    one.next_batch()
    assert not is_touched(file)
    other.next_batch()
    eventually(file.exists, "both have looked")
    one.next_batch()
    assert not is_touched(file)


def test_who_has_ended_is_not_waited_for(file: Path, stop: Stop) -> None:
    """A flow that worked off its input leaves the others to tell."""
    one, other = watched(file, stop, 2)
    other.close()
    one.next_batch()
    eventually(file.exists, "one has looked")


def test_a_file_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """At once, with the option's name."""
    with pytest.raises(SettingsError, match="--alive"):
        SignOfLife(tmp_path / "nowhere" / "alive")


def test_a_run_says_that_it_lives_and_not_that_it_waits(tmp_path: Path, start_redis: StartRedis) -> None:
    """All flows turn, idle; while Redis is frozen they wait, and the file grows old; then they go on."""
    server, file = start_redis(), tmp_path / "alive"
    nexus = Nexus(tmp_path, {"NEXUS_REDIS__URL": server.url})
    with nexus.running("run", "--alive", file) as run:
        eventually(file.exists, "the run is at work")
        server.pause()
        time.sleep(1.0)
        assert not is_touched(file, 3.0)
        server.resume()
        eventually(file.exists, "the run goes on")
        assert run.terminate().code == 0


def test_reconcile_says_that_it_has(tmp_path: Path) -> None:
    """The file of the job is touched by a run that was made, and by none that was not."""
    file = tmp_path / "alive"
    nexus = Nexus(tmp_path)
    (tmp_path / "calls.jsonl").write_bytes(call(1) + b"\n")
    nexus.ok("run", "--source", "calls.jsonl", "--as", "segment", "--until-end")
    with nexus.running("reconcile", "--every", "1h", "--alive", file) as job:
        eventually(file.exists, "the first run was made")
        assert job.terminate().code == 0
    assert nexus.run("reconcile", "--alive", file, NEXUS_WAREHOUSE__ENGINE="none").code == 2
    assert not file.exists()
