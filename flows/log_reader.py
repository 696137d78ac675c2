"""The input without a broker: a log on disk, and one of operator events, each read like a partition."""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
CONTROL = "control"
_LOOK_S = 0.02
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


@dataclass(slots=True)
class _Track:
    """A log as partition 0 of its topic. `folder` is where its id is kept."""

    topic: str
    log: SegmentedLog
    folder: Path
    at: int | None = None
    epoch: int = 0


class LogReader:
    """The one reader of an input log, and of the control log beside it. See `Reader` for the promise.

    A lock file takes the place of the consumer group: whoever holds it has both partitions, the others wait.
    Operator events come one at a time, and before what the input has then: a reader that begins with a replay
    knows of the erasures first. Nothing depends on that, for they act on the whole log whenever they come.
    Without an input log (None) it reads the operator events alone, under the same lock.
    """

    def __init__(
        self,
        log: SegmentedLog | None,
        folder: Path,
        resume: Resume,
        *,
        control: SegmentedLog | None = None,
        from_beginning: bool = False,
        batch: int = 500,
        wait_s: float = 0.005,
        lock: str = "reader.lock",
    ) -> None:
        """`lock` names the lock file in the folder: who reads for another purpose has another one."""
        self._folder, self._resume, self._lock = folder, resume, lock
        self._input = None if log is None else _Track(TOPIC, log, folder)
        self._control = None if control is None else _Track(CONTROL, control, control.folder)
        self._from_beginning, self._batch, self._wait_s = from_beginning, batch, wait_s
        self._membership: IO[bytes] | None = None
        self._next_look = 0.0

    @property
    def _tracks(self) -> list[_Track]:
        return [track for track in (self._control, self._input) if track is not None]

    def _is_member(self) -> bool:
        if self._membership is not None:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        membership = (self._folder / self._lock).open("ab")
        try:
            fcntl.flock(membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            membership.close()
            return False
        try:
            for track in self._tracks:
                track.at = self._resume(track.topic, log_id(track.folder), {0: None}, self._from_beginning)[0]
        except BaseException:
            membership.close()  # where to go on is not known: the next try asks again
            raise
        self._membership = membership
        return True

    def take(self) -> Taken | None:
        """The next records, or the next operator event. Raises StartRefused when a log is not the one that
        was read before.
        """
        if not self._is_member():
            time.sleep(0.1)
            return None
        taken = self._take_operation() or self._take_records()
        if taken is None:
            time.sleep(self._wait_s)
        return taken

    def _take_operation(self) -> Taken | None:
        """They are rare: after none was there it is some time until the next look, which costs a lock."""
        if self._control is None or time.monotonic() < self._next_look:
            return None
        taken = self._take(self._control, 1)
        if taken is None:
            self._next_look = time.monotonic() + _LOOK_S
        return taken

    def _take_records(self) -> Taken | None:
        return None if self._input is None else self._take(self._input, self._batch)

    def _take(self, track: _Track, most: int) -> Taken | None:
        start = track.at
        lines = track.log.read(start or 0, most, _BATCH_BYTES)
        if not lines:
            return None
        track.at = lines[-1].next_offset
        messages = tuple(message_of(track.topic, line) for line in lines)
        return Taken(self, messages, (Move(track.topic, 0, start, track.at),), (track.epoch,))

    def reposition(self, taken: Taken, offsets: Mapping[Partition, int | None]) -> None:
        """Go on where the store stands."""
        for track in self._tracks:
            if track.topic == taken.moves[0].topic and taken.epochs == (track.epoch,):
                track.epoch += 1
                track.at = offsets[track.topic, 0]

    def commit(self, moves: tuple[Move, ...]) -> None:
        """There is no group to tell."""

    def keep_alive(self) -> None:
        """A lock needs no heartbeat."""

    def close(self) -> None:
        """Let another one read."""
        if self._membership is not None:
            self._membership.close()


def message_of(topic: str, line: Line) -> Message:
    """The message in a line. One that somebody wrote past Nexus and is no record has no format either, so
    it becomes a dead letter like any other; nor has it an instant, without which no operator event is taken.
    """
    try:
        return decode_record(topic, line.data, line.offset, line.next_offset)
    except BadMessage:
        timestamp_ms = -1 if topic == CONTROL else 0
        return Message(topic, 0, line.offset, line.next_offset, timestamp_ms, line.data)


class LogEnd:
    """Whether the store has passed the ends that the logs, by topic, had when the run began."""

    def __init__(self, logs: Mapping[str, SegmentedLog], offsets: Callable[[str], Mapping[int, int]]) -> None:
        self._ends = {topic: log.end() for topic, log in logs.items()}
        self._offsets = offsets

    def __call__(self) -> bool:
        return all(self._offsets(topic).get(0, 0) >= end for topic, end in self._ends.items())
