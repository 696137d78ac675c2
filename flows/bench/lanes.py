"""The input of a benchmark: as many logs as there are workers, each read as one partition by one worker."""

import gc
import time
import zlib
from collections.abc import Callable, Mapping, Sequence

from flows.log_reader import LogReader
from flows.reader import ReaderFactory, Taken
from flows.wiring import Wiring
from resolver.store import Move
from schemas.events import Message
from schemas.records import encode_record

LANE = "bench"

Offsets = Callable[[], Mapping[int, int]]


class Lane:
    """One log as partition `number`. See `Reader` for the promise. `spent_s`: how long its `take` took."""

    def __init__(self, parts: Wiring, reader_name: str, number: int, offsets: Offsets) -> None:
        folder = parts.settings.data / "bench" / f"{reader_name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        self._number, self.spent_s = number, 0.0
        self._log = LogReader(
            parts.log(_log(number)), folder, lambda *_: {0: offsets().get(number)}, batch=parts.settings.batch
        )

    def take(self) -> Taken | None:
        """What the log has, as a message of this partition."""
        started = time.perf_counter()
        taken = self._log.take()
        self.spent_s += time.perf_counter() - started
        if taken is None:
            return None
        move = taken.moves[0]
        return Taken(
            self, taken.messages, (Move(LANE, self._number, move.expected, move.next),), taken.epochs
        )

    def reposition(self, taken: Taken, offsets: Mapping[tuple[str, int], int | None]) -> None:
        """Nobody else reads a benchmark, so a refusal is a fault."""
        raise AssertionError("a batch of a benchmark was refused")

    def commit(self, moves: tuple[Move, ...]) -> None:
        """There is no group to tell."""

    def keep_alive(self) -> None:
        """Nothing to keep."""

    def close(self) -> None:
        """Let another one read."""
        self._log.close()


def lanes(parts: Wiring, reader_name: str, offsets: Offsets, made: list[Lane] | None = None) -> ReaderFactory:
    """A lane for each worker; `made` collects them."""

    def lane(worker_index: int) -> Lane:
        # A run begins by taking what is there out of the collector's sight. Here that is the caches of the
        # passes before, which in one long run the collector sees.
        gc.unfreeze()
        one = Lane(parts, reader_name, worker_index, offsets)
        if made is not None:
            made.append(one)
        return one

    return lane


def append(parts: Wiring, messages: Sequence[Message]) -> None:
    """Put messages into the lanes by their key, as Kafka's producers do."""
    lines: dict[int, list[bytes]] = {}
    for message in messages:
        number = zlib.crc32(message.key or b"") % parts.settings.workers
        lines.setdefault(number, []).append(_line(message))
    for number, those in lines.items():
        parts.log(_log(number)).append(those)


def _log(number: int) -> str:
    return f"input-{number}"


def _line(message: Message) -> bytes:
    return encode_record(
        message.value, ingested_at_ms=message.timestamp_ms, key=message.key, headers=message.headers
    )
