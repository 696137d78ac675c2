"""The event log in a folder, as its readers find it."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import duckdb
import pytest

from schemas.erasures import Erasures
from schemas.errors import SinkUnavailable, StartRefused
from schemas.log_rows import Row
from schemas.tables import LOG, tables
from sinks.segments import sync_folder
from sinks.warehouse import segments
from sinks.warehouse.segments import SegmentedEventLog
from tests.sinks.warehouse.loads import KEYRING, erasure_of, expected, load_at
from tests.sinks.warehouse.reading import in_order, manifest, read, read_all

POINTS = ("segment", "manifest", "together")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give where the log is."""
    return tmp_path / "events"


@pytest.fixture
def log(folder: Path) -> Iterator[SegmentedEventLog]:
    """Give a log that is open."""
    found = SegmentedEventLog(folder, KEYRING)
    assert found.open() is not None
    yield found
    found.close()


def events_in(folder: Path) -> list[Row]:
    """The rows of nexus_events."""
    return read(folder, tables()["nexus_events"])


def agree(folder: Path, count: int, erasures: Erasures | None = None) -> None:
    """Every table of events has exactly the rows of the first events."""
    found = {name: rows for name, rows in read_all(folder).items() if "event_index" in tables()[name].names}
    assert found == in_order(expected(count, erasures))


@pytest.mark.usefixtures("log")
def test_a_new_log_is_empty(folder: Path) -> None:
    """A log that nothing came into has every table, with the types of its columns, and no row."""
    with duckdb.connect() as session:
        session.execute((folder / "log.sql").read_text())
        for table in LOG:
            found = session.execute(f"DESCRIBE {table.name}").fetchall()
            assert [row[0] for row in found] == list(table.names)
            assert session.execute(f"SELECT count(*) FROM {table.name}").fetchone() == (0,)


def test_rows_come_back(log: SegmentedEventLog, folder: Path) -> None:
    """What was loaded is what DuckDB reads, value for value, and the offsets are where it ended."""
    for offset in range(20):
        assert log.load(load_at(offset))
    agree(folder, 20)
    standing = log.open()
    assert standing is not None
    assert (standing.offsets, standing.topics) == ({("events", 0): 20}, {"events": "id"})


def test_segments_are_put_together(log: SegmentedEventLog, folder: Path) -> None:
    """However many loads there were, the log is few files, with the same rows."""
    for offset in range(100):
        log.load(load_at(offset))
        log.tidy()
    assert len(manifest(folder).segments) < 16
    agree(folder, 100)


def test_large_segments_are_left_alone(
    log: SegmentedEventLog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would not fit into memory together stays apart."""
    monkeypatch.setattr(segments, "_LARGE_ROWS", 1)
    for offset in range(20):
        log.load(load_at(offset))
        log.tidy()
    assert len(manifest(folder).segments) == 21


def test_readers_with_an_older_manifest_go_on(log: SegmentedEventLog, folder: Path) -> None:
    """Views made before segments were put together read what was there then."""
    for offset in range(8):
        log.load(load_at(offset))
    with duckdb.connect() as session:
        session.execute((folder / "log.sql").read_text())
        log.tidy()
        log.load(load_at(8))
        assert session.execute("SELECT count(*) FROM nexus_events").fetchone() == (8,)
    assert len(events_in(folder)) == 9


def test_former_segments_go(log: SegmentedEventLog, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while nothing is on disk that the manifest does not name."""
    for offset in range(8):
        log.load(load_at(offset))
    log.tidy()
    assert len(list((folder / "segments").iterdir())) > 5
    monkeypatch.setattr(segments, "_GRACE_S", 0.0)
    log.tidy()
    names = {one.name for one in manifest(folder).segments}
    assert {path.name for path in (folder / "segments").iterdir()} == names
    agree(folder, 8)


def test_a_reader_sees_one_moment(log: SegmentedEventLog, folder: Path) -> None:
    """While loads come and segments are put together, no reader sees a row twice, or misses one that was
    there before.
    """
    seen: list[Counter[int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(Counter(row[2] for row in events_in(folder)))

    looking = threading.Thread(target=look)
    looking.start()
    for offset in range(60):
        log.load(load_at(offset))
        log.tidy()
    done.set()
    looking.join()
    for found in seen:
        assert found == Counter(range(len(found)))
    assert len(seen) > 3


@pytest.mark.parametrize("seed", range(8))
def test_an_erasure_leaves_nothing(seed: int, folder: Path) -> None:
    """After an erasure the log is what it would be had it been known first, in every file on disk, and the
    erasure is known to whoever opens it next. The seed is the test's parameter.
    """
    draw = Random(seed)
    log = SegmentedEventLog(folder, KEYRING)
    log.open()
    for offset in range(20):
        log.load(load_at(offset))
        if draw.random() < 0.5:
            log.tidy()
    load = erasure_of(draw, 20)
    erasures = Erasures(KEYRING, dict(load.erased))
    assert log.load(load)
    agree(folder, 20, erasures)
    known = {one.name for one in manifest(folder).segments}
    assert {path.name for path in (folder / "segments").iterdir()} == known
    standing = log.open()
    assert standing is not None
    assert standing.erased == erasures.positions
    log.close()


def in_a_process(work: Callable[..., None], *arguments: object) -> int:
    """Run it in a process of its own; the exit code."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def killed_at(folder: Path, point: str, nth: int) -> None:
    """Load what is next, up to 20 events, and be killed the nth time that a point is passed."""
    passed = Counter[str]()

    def step(name: str) -> None:
        passed[name] += 1
        if (name, passed[name]) == (point, nth):
            os.kill(os.getpid(), signal.SIGKILL)

    log = SegmentedEventLog(folder, KEYRING, step)
    standing = log.open()
    assert standing is not None
    for offset in range(standing.offsets.get(("events", 0), 0), 20):
        assert log.load(load_at(offset))
        log.tidy()


@pytest.mark.parametrize("point", POINTS)
def test_kills_lose_nothing_and_load_nothing_twice(folder: Path, point: str) -> None:
    """A process that is killed again and again at a point between two writes is followed by one that goes on
    where it stood.
    """
    kills = 0
    while in_a_process(killed_at, folder, point, 1 + kills % 3) == -signal.SIGKILL:
        kills += 1
        assert kills < 100
        assert len(events_in(folder)) == len({row[2] for row in events_in(folder)})
    assert kills > (1 if point == "together" else 5)
    agree(folder, 20)


def test_what_is_no_manifest_is_refused(log: SegmentedEventLog, folder: Path) -> None:
    """A manifest that somebody wrote over stops the archive with its name."""
    (folder / "manifest.json").write_text('{"segments": 7}')
    with pytest.raises(StartRefused, match=r"manifest\.json is no manifest"):
        log.open()


def test_another_version_is_refused(log: SegmentedEventLog, folder: Path) -> None:
    """A log of another format is not touched."""
    (folder / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(StartRefused, match="another version"):
        log.open()


def test_a_full_disk_is_waited_for(
    log: SegmentedEventLog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the disk refuses is worth another try, and leaves the log as it was."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sinks.warehouse.segments.pq.write_table", full)
        with pytest.raises(SinkUnavailable, match="No space left"):
            log.load(load_at(0))
    assert log.load(load_at(0))
    agree(folder, 1)


def test_a_failure_behind_the_manifest_loads_nothing_twice(
    log: SegmentedEventLog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load whose last sync fails may be in: sent again, it is in once, and its files are left alone."""
    fails = [True]

    def fail_once(path: Path) -> None:
        sync_folder(path)
        if path == folder and fails:
            fails.clear()
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("sinks.warehouse.segments.sync_folder", fail_once)
        with pytest.raises(SinkUnavailable, match="Input/output"):
            log.load(load_at(0))
    written = {path: path.stat().st_mtime_ns for path in (folder / "segments").rglob("*.parquet")}
    assert log.load(load_at(0))
    agree(folder, 1)
    assert {path: path.stat().st_mtime_ns for path in (folder / "segments").rglob("*.parquet")} == written
