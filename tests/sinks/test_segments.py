"""The segmented log: durable, readable from any line, whole after kill -9, shared by processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BrokerUnavailable, SettingsError, SinkUnavailable, StartRefused
from sinks.segments import Line, SegmentedLog


@pytest.fixture
def log(tmp_path: Path) -> SegmentedLog:
    """Give a log that begins a new segment after 100 bytes."""
    return SegmentedLog(tmp_path / "log", segment_bytes=100)


def everything(log: SegmentedLog, offset: int = 0) -> list[Line]:
    """Read to the end in small bites."""
    found: list[Line] = []
    while lines := log.read(offset, max_lines=7, max_bytes=50):
        found += lines
        offset = lines[-1].next_offset
    return found


def data(lines: Sequence[Line]) -> list[bytes]:
    return [line.data for line in lines]


def segments(log: SegmentedLog) -> list[Path]:
    return sorted(log.folder.glob("*.jsonl"))


def tear(log: SegmentedLog, tail: bytes) -> None:
    """Leave behind what a writer leaves that is killed in the middle."""
    with segments(log)[-1].open("ab") as segment:
        segment.write(tail)


# --- reading and writing


@given(st.lists(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=5)))
def test_what_is_appended_is_read(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]]
) -> None:
    """All lines come back in order, and each line's offset leads to it and to no other."""
    log = SegmentedLog(tmp_path_factory.mktemp("log"), segment_bytes=100)
    for batch in batches:
        assert log.append(batch) == log.end()
    lines = everything(log)
    assert data(lines) == [line for batch in batches for line in batch]
    assert all(log.read(line.offset, max_lines=1) == [line] for line in lines)


def test_an_empty_log_has_nothing_to_read(log: SegmentedLog) -> None:
    """It begins and ends at 0, and reading there is no error."""
    assert (log.first(), log.end(), log.read(0)) == (0, 0, [])


def test_reading_at_the_end_waits_for_more(log: SegmentedLog) -> None:
    """At the end there is nothing; what is appended later is found from there."""
    end = log.append([b"one"])
    assert log.read(end) == []
    log.append([b"two"])
    assert data(log.read(end)) == [b"two"]


def test_segments_are_named_by_their_first_offset(log: SegmentedLog) -> None:
    """A full segment is followed by one whose name is the offset where it begins."""
    first_end = log.append([b"x" * 120])
    log.append([b"y"])
    assert [path.name for path in segments(log)] == ["0" * 20 + ".jsonl", f"{first_end:020d}.jsonl"]


def test_a_line_longer_than_the_limit_is_read_all_the_same(log: SegmentedLog) -> None:
    """`max_bytes` cannot stop a reader for ever."""
    log.append([b"x" * 5000, b"y"])
    assert data(log.read(0, max_bytes=10)) == [b"x" * 5000]


def test_max_lines_is_kept(log: SegmentedLog) -> None:
    """No more lines than asked for, though more would fit."""
    log.append([b"1", b"2", b"3"])
    assert data(log.read(0, max_lines=2)) == [b"1", b"2"]


def test_a_line_end_inside_a_line_is_refused(log: SegmentedLog) -> None:
    """It would become two lines; the log stays as it was."""
    with pytest.raises(ValueError, match="line end"):
        log.append([b"good", b"b\nd"])
    assert log.end() == 0


def test_what_is_not_a_segment_is_left_alone(log: SegmentedLog) -> None:
    """A copy that somebody put beside the segments is not read."""
    log.append([b"one"])
    (log.folder / "copy of 00000000000000000000.jsonl").write_bytes(b"other\n")
    assert data(everything(log)) == [b"one"]


def test_only_we_may_read_it(log: SegmentedLog) -> None:
    """The files hold people's data."""
    log.append([b"one"])
    assert log.folder.stat().st_mode & 0o077 == 0
    assert segments(log)[0].stat().st_mode & 0o077 == 0


# --- impossible offsets


def test_an_offset_behind_the_end_is_refused(log: SegmentedLog) -> None:
    """A log that is shorter than a reader's offset was cut or replaced: not a case to begin anywhere else."""
    end = log.append([b"one"])
    with pytest.raises(StartRefused, match=f"the log ends at {end}"):
        log.read(end + 1)


def test_an_offset_inside_a_line_is_refused(log: SegmentedLog) -> None:
    """No half of a line is ever given out."""
    log.append([b"one", b"two"])
    with pytest.raises(StartRefused, match="no line begins there"):
        log.read(2)


def test_a_negative_offset_is_refused(log: SegmentedLog) -> None:
    """There is nothing before the beginning."""
    with pytest.raises(StartRefused, match="begins at 0"):
        log.read(-1)


def test_an_offset_before_the_first_segment_is_refused(log: SegmentedLog) -> None:
    """What was removed is not passed over in silence."""
    log.append([b"x" * 120])
    log.append([b"y"])
    segments(log)[0].unlink()
    assert log.first() == 121
    with pytest.raises(StartRefused, match="begins at 121"):
        log.read(0)


def test_a_hole_is_refused(log: SegmentedLog) -> None:
    """A segment that became shorter stops the reader where its lines are missing."""
    end = log.append([b"x" * 60, b"y" * 60])
    log.append([b"z"])
    os.truncate(segments(log)[0], 61)
    lines = log.read(0)
    assert data(lines) == [b"x" * 60]
    with pytest.raises(StartRefused, match="not as long as it was"):
        log.read(lines[-1].next_offset)
    assert data(log.read(end)) == [b"z"]


# --- torn tails


@pytest.mark.parametrize("tail", [b"t", b"torn", b"x" * 200_000, b"\0" * 10])
def test_a_torn_tail_is_never_read_and_is_cut_by_the_next_writer(log: SegmentedLog, tail: bytes) -> None:
    """What has no line end was never acknowledged: nobody sees it, the next line takes its place."""
    end = log.append([b"one"])
    tear(log, tail)
    reader = SegmentedLog(log.folder)
    assert reader.end() == end
    assert data(everything(reader)) == [b"one"]
    log.append([b"two"])
    assert data(everything(reader)) == [b"one", b"two"]
    assert segments(log)[0].read_bytes() == b"one\ntwo\n"


def test_whole_lines_of_a_killed_writer_stay(log: SegmentedLog) -> None:
    """They may have been read already, so they cannot be taken back."""
    log.append([b"one"])
    tear(log, b"two\nthr")
    log.append([b"four"])
    assert data(everything(log)) == [b"one", b"two", b"four"]


def test_a_tail_torn_in_the_first_line_is_cut(tmp_path: Path) -> None:
    """A segment may hold nothing but a torn line."""
    log = SegmentedLog(tmp_path)
    (tmp_path / ("0" * 20 + ".jsonl")).write_bytes(b"torn")
    assert log.end() == 0
    log.append([b"one"])
    assert data(everything(log)) == [b"one"]


def test_an_empty_segment_left_behind_is_used(log: SegmentedLog) -> None:
    """A writer may be killed between making a segment and writing to it."""
    end = log.append([b"x" * 120])
    (log.folder / f"{end:020d}.jsonl").touch()
    assert log.read(end) == []
    log.append([b"y"])
    assert data(everything(log)) == [b"x" * 120, b"y"]
    assert len(segments(log)) == 2


# --- a disk that refuses


@pytest.mark.parametrize("failing", ["pwrite", "fsync"])
def test_an_append_that_fails_leaves_nothing(
    log: SegmentedLog, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Full disk or failed sync: the caller hears of it, and no reader finds a line of the batch."""
    log.append([b"one"])

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, refuse)
        with pytest.raises(SinkUnavailable, match="No space left"):
            log.append([b"two", b"three"])
    assert data(everything(SegmentedLog(log.folder))) == [b"one"]
    log.append([b"two", b"three"])
    assert data(everything(log)) == [b"one", b"two", b"three"]


def test_half_a_write_is_continued(log: SegmentedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take fewer bytes than it was given."""
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, position: write(fd, data[:3], position))
    log.append([b"a long line", b"another"])
    assert data(everything(log)) == [b"a long line", b"another"]


def test_files_and_folder_are_synced_before_append_returns(
    log: SegmentedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each append syncs its segment; the folder is synced too while a segment's name may not be on disk."""
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    first, second = "0" * 20 + ".jsonl", f"{121:020d}.jsonl"
    log.append([b"x" * 60])
    log.append([b"y" * 59])
    log.append([b"z"])
    assert synced == [first, "log", first, first, second, "log"]


def test_a_reader_syncs_what_it_did_not_write(log: SegmentedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a killed writer may be in memory only: no reader's offset may outlive them."""
    log.append([b"one"])
    tear(log, b"two\n")
    reader = SegmentedLog(log.folder)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    reader.read(0)
    assert len(synced) == 2  # the segment and its folder


def test_a_folder_that_cannot_be_is_a_setting_to_correct(tmp_path: Path) -> None:
    """A file where the folder should be ends with a sentence that says what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="choose a folder"):
        SegmentedLog(tmp_path / "file" / "log")


def test_a_folder_that_vanished_is_reported(log: SegmentedLog) -> None:
    """Neither reading nor writing goes on as if nothing had happened."""
    log.append([b"one"])
    for path in log.folder.iterdir():
        path.unlink()
    log.folder.rmdir()
    with pytest.raises(SinkUnavailable):
        log.append([b"two"])
    with pytest.raises(BrokerUnavailable):
        log.end()


def test_a_writer_that_was_stopped_does_not_hang_the_others(tmp_path: Path) -> None:
    """Who cannot get the lock in time says so."""
    log = SegmentedLog(tmp_path, lock_timeout_s=0.05)
    with (tmp_path / "append.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SinkUnavailable, match="appending for too long"):
            log.append([b"one"])
        with pytest.raises(BrokerUnavailable):
            log.read(0)
    log.append([b"one"])


# --- several writers, and kill -9


def _append_many(folder: Path, name: int, batches: int) -> None:
    log = SegmentedLog(folder, segment_bytes=5_000)
    for batch in range(batches):
        log.append([b"%d:%d:%d" % (name, batch, line) for line in range(10)])


def _whole_batches(lines: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Every ten lines must be one batch of one writer, in order."""
    for start in range(0, len(lines), 10):
        numbers = [tuple(int(part) for part in line.split(b":")) for line in lines[start : start + 10]]
        name, batch, _ = numbers[0]
        assert numbers == [(name, batch, line) for line in range(10)]
        yield name, batch


@contextlib.contextmanager
def _processes(folder: Path, count: int, batches: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")  # nothing shared with us but the folder
    writers = [spawn.Process(target=_append_many, args=(folder, name, batches)) for name in range(count)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        for writer in writers:
            writer.join()
    assert [writer.exitcode for writer in writers] == [0] * count


def test_processes_append_side_by_side(tmp_path: Path) -> None:
    """Four writers and a reader: every batch is there once, in one piece, in its writer's order."""
    log = SegmentedLog(tmp_path)
    found: list[Line] = []
    with _processes(tmp_path, 4, 60):
        while len(found) < 4 * 60 * 10:
            lines = log.read(found[-1].next_offset if found else 0, max_lines=33)
            assert not lines or lines[0].offset == (found[-1].next_offset if found else 0)
            found += lines
    batches = list(_whole_batches(data(found)))
    assert all([b for n, b in batches if n == name] == list(range(60)) for name in range(4))
    assert len(segments(log)) > 3


def test_threads_append_side_by_side(tmp_path: Path) -> None:
    """Threads that share one log shut each other out as processes do."""
    log = SegmentedLog(tmp_path)

    def append(name: int) -> None:
        for batch in range(30):
            log.append([b"%d:%d:%d" % (name, batch, line) for line in range(10)])

    threads = [threading.Thread(target=append, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(_whole_batches(data(everything(log))))) == 120


WRITER = """
import sys
from pathlib import Path
from sinks.segments import SegmentedLog
log = SegmentedLog(Path(sys.argv[1]), segment_bytes=200_000)
number = int(sys.argv[2])
while True:
    log.append([b"%d " % (number + i) + b"x" * 2_000 for i in range(100)])
    number += 100
    print(number, flush=True)
"""


def _write_until_killed(folder: Path, number: int, seconds: float) -> int:
    """Append numbered lines in a process that is killed; return the number after the acknowledged ones."""
    command = [sys.executable, "-c", WRITER, str(folder), str(number)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert writer.stdout is not None
    acknowledged = int(writer.stdout.readline())  # it is under way
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate()[0].split(b"\n")[:-1]
    return int(rest[-1]) if rest else acknowledged


def test_kill_9_in_the_middle_of_appends_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After each of eight kills everything acknowledged is there, lines are whole, and writing goes on."""
    moments = random.Random(7)
    log = SegmentedLog(tmp_path)
    number = 0
    for _ in range(8):
        acknowledged = _write_until_killed(tmp_path, number, moments.uniform(0, 0.05))
        numbers = [int(line.split(b" ")[0]) for line in data(everything_at_once(log))]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged
        number = len(numbers)
    assert all(len(line) > 2_000 for line in data(everything_at_once(log)))


def everything_at_once(log: SegmentedLog) -> list[Line]:
    found: list[Line] = []
    while lines := log.read(found[-1].next_offset if found else 0):
        found += lines
    return found
