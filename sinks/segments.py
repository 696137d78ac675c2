"""The log that takes a broker's place: append-only segments of lines in a folder, read by byte offset.

An offset is a byte position in the whole log, as if it were one file. A segment is named by the offset of its
first byte, padded so that names sort: `00000000000000000000.jsonl`, then `00000000000067108911.jsonl`.

What may be relied on, by any number of processes on one machine (not on a network file system):

- `append` returns when its lines are on disk: the file is synced, and the folder where a file is new.
- The lines of one `append` stand together, in order. An append that raises leaves nothing behind; a process
  that is killed in the middle of one leaves a beginning of it: whole lines, as if they had been all.
- A reader sees whole lines that are on disk, and none that may still be taken back.
- An offset that cannot be resumed at is refused, never rounded.

How: a writer holds `append.lock` exclusively while it appends, so a tail without a line end can only be what
a killed writer left, and the next writer cuts it off. A reader holds the lock shared only while it learns how
far the log goes, and syncs what it finds before it trusts it, for that may be the unsynced work of a killed
writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.errors import BrokerUnavailable, SettingsError, SinkUnavailable, StartRefused

_SEGMENT_NAME = re.compile(r"[0-9]{20}\.jsonl")  # anything else in the folder is not ours
_ORDINARY_BYTES = 2 * 1024  # a line, with room to spare
_BACKWARDS_BYTES = 64 * 1024  # read at once when looking back for the last line end


class Line(NamedTuple):
    """One line, without its line end. The next line begins at `next_offset`."""

    offset: int
    next_offset: int
    data: bytes


class SegmentedLog:
    """An append-only log of lines in a folder of its own. See the module for its promises.

    Opening creates the folder. No file stays open between calls, so an instance may be shared by threads,
    copied by a fork, and forgotten without closing it.
    """

    def __init__(
        self, folder: Path, segment_bytes: int = 64 * 1024 * 1024, lock_timeout_s: float = 10.0
    ) -> None:
        """A segment that has reached `segment_bytes` is followed by another; one append is never divided.

        `lock_timeout_s` is for a writer that was stopped (SIGSTOP) in the middle of an append and holds up
        the rest.
        """
        self.folder = folder
        self._segment_bytes = segment_bytes
        self._lock_timeout_s = lock_timeout_s
        self._named: set[int] = set()  # segments whose entry in the folder is known to be on disk
        self._readable = 0  # every byte before it is on disk, whatever happens next
        make_folder(folder)

    def append(self, lines: Sequence[bytes]) -> int:
        """Write the lines behind all others and return the offset after them, when they are on disk.

        ValueError if a line contains a line end. SinkUnavailable if the disk refuses; the log then has none
        of them.
        """
        if any(b"\n" in line for line in lines):
            raise ValueError("a line of the log cannot contain a line end")
        data = b"".join(line + b"\n" for line in lines)
        try:
            with self._locked(fcntl.LOCK_EX):
                return self._append(data)
        except OSError as error:
            raise SinkUnavailable(f"cannot append to the log in {self.folder}: {error.strerror}") from error

    def read(self, offset: int, max_lines: int = 1000, max_bytes: int = 1024 * 1024) -> list[Line]:
        """The lines from `offset` on: at most `max_lines`, and no more than fit in `max_bytes`, but at least
        one.

        None at the end of the log. StartRefused where no line begins, or where the log has lost something.
        """
        try:
            if not 0 <= offset < self._readable:
                self._readable = self._durable_end()
                if offset == self._readable:
                    return []
            return self._read(offset, max_lines, max_bytes)
        except OSError as error:
            raise BrokerUnavailable(f"cannot read the log in {self.folder}: {error.strerror}") from error

    def first(self) -> int:
        """The offset of the first line that is still there."""
        return next(iter(self._bases()), 0)

    def end(self) -> int:
        """The offset after the last line on disk, where the next one will stand."""
        try:
            return self._durable_end()
        except OSError as error:
            raise BrokerUnavailable(f"cannot read the log in {self.folder}: {error.strerror}") from error

    def _append(self, data: bytes) -> int:
        base = max(self._bases(), default=0)
        with self._opened(base, os.O_RDWR | os.O_CREAT) as segment:
            size = _cut_torn_tail(segment)
            if size < self._segment_bytes:
                return base + self._write(segment, base, size, data)
            self._sync(segment, base)  # nobody will look at it again
        base += size
        with self._opened(base, os.O_RDWR | os.O_CREAT) as segment:
            return base + self._write(segment, base, 0, data)

    def _write(self, segment: int, base: int, size: int, data: bytes) -> int:
        """Add the data to a segment of that size, on disk. Returns its new size."""
        try:
            _write_all(segment, data, size)
            self._sync(segment, base)
        except BaseException:  # an interrupt too: nobody was promised these lines, so nobody may find them
            os.ftruncate(segment, size)
            raise
        return size + len(data)

    def _sync(self, segment: int, base: int) -> None:
        os.fsync(segment)
        if base not in self._named:
            sync_folder(self.folder)  # a synced file whose name is lost is lost
            self._named.add(base)

    def _read(self, offset: int, max_lines: int, max_bytes: int) -> list[Line]:
        base, end = self._segment_of(offset)
        with self._opened(base, os.O_RDONLY) as segment:
            if offset > base and os.pread(segment, 1, offset - base - 1) != b"\n":
                raise self._refused(offset, "no line begins there")
            # As much as lines of an ordinary length take: what is read beyond `max_lines` is thrown away.
            wanted = max(1, min(max_bytes, max_lines * _ORDINARY_BYTES))
            data = _whole_lines(segment, offset - base, end - base, wanted)
        if not data:
            raise self._refused(offset, f"the segment {_name(base)} is not as long as it was")
        return _lines(data, offset, max_lines)

    def _segment_of(self, offset: int) -> tuple[int, int]:
        """The offsets at which the segment that holds `offset` begins, and at which what may be read of it
        ends.
        """
        bases = self._bases()
        following = bisect_right(bases, offset)
        if following == 0:
            raise self._refused(offset, f"the log begins at {bases[0] if bases else 0}")
        if offset > self._readable:
            raise self._refused(offset, f"the log ends at {self._readable}")
        return bases[following - 1], min([*bases[following : following + 1], self._readable])

    def _refused(self, offset: int, reason: str) -> StartRefused:
        return StartRefused(
            f"the log in {self.folder} cannot be read from offset {offset}: {reason}. Its files were "
            f"removed, cut or replaced by another copy: put them back, or read it from the beginning into an "
            f"empty store"
        )

    def _durable_end(self) -> int:
        with self._locked(fcntl.LOCK_SH):
            bases = self._bases()
            if not bases:
                return 0
            base = bases[-1]
            with self._opened(base, os.O_RDONLY) as segment:
                end = base + _whole_size(segment)
                if end != self._readable:
                    self._sync(segment, base)
            return end

    def _bases(self) -> list[int]:
        """The offsets at which the segments begin, in order."""
        with os.scandir(self.folder) as entries:
            return sorted(int(entry.name[:20]) for entry in entries if _SEGMENT_NAME.fullmatch(entry.name))

    @contextlib.contextmanager
    def _opened(self, base: int, flags: int) -> Iterator[int]:
        segment = os.open(self.folder / _name(base), flags, 0o600)
        try:
            yield segment
        finally:
            os.close(segment)

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        # Opened anew each time: a lock belongs to the open file, and threads that share one would not shut
        # each other out. Asked for again and again: to wait inside the kernel could be to wait for ever.
        lock = os.open(self.folder / "append.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + self._lock_timeout_s
            while not try_lock(lock, kind):
                if time.monotonic() > deadline:
                    raise TimeoutError(0, "another process has been appending for too long; is it stopped?")
                time.sleep(0.001)
            yield
        finally:
            os.close(lock)


def _name(base: int) -> str:
    return f"{base:020d}.jsonl"


def make_folder(folder: Path) -> None:
    """Make a folder, for us alone, and those above it; its name is on disk. SettingsError if that cannot
    be.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in reversed(missing):
            sync_folder(path.parent)
    except OSError as error:
        raise SettingsError(
            f"cannot keep data in {folder}: {error.strerror}; choose a folder that can be written"
        ) from error


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(lock: int, kind: int) -> bool:
    """Whether the open file could be locked at once (`fcntl.LOCK_EX` or `LOCK_SH`)."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cut_torn_tail(segment: int) -> int:
    """Cut off what stands behind the last line end. Returns the size that is left."""
    size = _whole_size(segment)
    if size < os.fstat(segment).st_size:
        os.ftruncate(segment, size)
        os.fsync(segment)  # or a power cut brings it back, in front of the next segment
    return size


def _whole_size(segment: int) -> int:
    """The size up to and with the last line end."""
    end = os.fstat(segment).st_size
    while end > 0:
        start = max(0, end - _BACKWARDS_BYTES)
        line_end = os.pread(segment, end - start, start).rfind(b"\n")
        if line_end >= 0:
            return start + line_end + 1
        end = start
    return 0


def _write_all(segment: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(segment, rest, position)
        rest, position = rest[written:], position + written


def _whole_lines(segment: int, start: int, end: int, max_bytes: int) -> bytes:
    """The whole lines between two positions that fit in `max_bytes`, or the first one if it does not fit."""
    wanted = max_bytes
    data = os.pread(segment, min(wanted, end - start), start)
    whole = data.rfind(b"\n") + 1
    while not whole and len(data) == wanted:
        wanted *= 2
        data = os.pread(segment, min(wanted, end - start), start)
        whole = data.find(b"\n") + 1
    return data[:whole]


def _lines(data: bytes, offset: int, max_lines: int) -> list[Line]:
    lines = []
    for line in data.split(b"\n", max_lines)[:-1]:  # what comes last is the rest, or nothing
        next_offset = offset + len(line) + 1
        lines.append(Line(offset, next_offset, line))
        offset = next_offset
    return lines
