"""The input without a broker: one log on disk, read by byte offset like a partition."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from flows.kafka_reader import Partition, Resume
from flows.reader import Taken
from resolver.store import Move
from schemas.errors import BadMessage
from schemas.events import Message
from schemas.records import decode_record
from sinks.segments import Line, SegmentedLog

TOPIC = "input"
_BATCH_BYTES = 2 << 20  # see kafka_reader


def log_id(folder: Path) -> str:
    """The id of a log, made when it is first asked for: a log that was deleted and made again has another."""
    path = folder / "id"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"id.{os.getpid()}"
        fresh.write_text(secrets.token_hex(16))
        with contextlib.suppress(FileExistsError):  # the first one wins
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text()


class LogReader:
    """The one reader of an input log. See `Reader` for the promise.

    A lock file takes the place of the consumer group: whoever holds it has the partition, the others wait.
    """

    def __init__(
        self,
        log: SegmentedLog,
        folder: Path,
        resume: Resume,
        *,
        from_beginning: bool = False,
        batch: int = 500,
        wait_s: float = 0.005,
    ) -> None:
        self._log, self._folder, self._resume = log, folder, resume
        self._from_beginning, self._batch, self._wait_s = from_beginning, batch, wait_s
        self._membership: IO[bytes] | None = None
        self._at: int | None = None
        self._epoch = 0

    def _is_member(self) -> bool:
        if self._membership is not None:
            return True
        membership = (self._folder / "reader.lock").open("ab")
        try:
            fcntl.flock(membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            membership.close()
            return False
        self._membership = membership
        self._at = self._resume(TOPIC, log_id(self._folder), {0: None}, self._from_beginning)[0]
        return True

    def take(self) -> Taken | None:
        """The next records. Raises StartRefused when the log is not the one that was read before."""
        if not self._is_member():
            time.sleep(0.1)
            return None
        start = self._at
        lines = self._log.read(start or 0, self._batch, _BATCH_BYTES)
        if not lines:
            time.sleep(self._wait_s)
            return None
        self._at = lines[-1].next_offset
        messages = tuple(_message(line) for line in lines)
        return Taken(self, messages, (Move(TOPIC, 0, start, self._at),), (self._epoch,))

    def reposition(self, taken: Taken, offsets: Mapping[Partition, int | None]) -> None:
        """Go on where the store stands."""
        if taken.epochs == (self._epoch,):
            self._epoch += 1
            self._at = offsets[TOPIC, 0]

    def commit(self, moves: tuple[Move, ...]) -> None:
        """There is no group to tell."""

    def keep_alive(self) -> None:
        """A lock needs no heartbeat."""

    def close(self) -> None:
        """Let another one read."""
        if self._membership is not None:
            self._membership.close()


def _message(line: Line) -> Message:
    """The message in a line. One that somebody wrote past Nexus and is no record has no format either, so
    it becomes a dead letter like any other.
    """
    try:
        return decode_record(TOPIC, line.data, line.offset, line.next_offset)
    except BadMessage:
        return Message(TOPIC, 0, line.offset, line.next_offset, 0, line.data)


class LogEnd:
    """Whether the store has passed the end that the log had when the run began."""

    def __init__(self, log: SegmentedLog, offsets: Callable[[str], Mapping[int, int]]) -> None:
        self._end, self._offsets = log.end(), offsets

    def __call__(self) -> bool:
        return self._offsets(TOPIC).get(0, 0) >= self._end
