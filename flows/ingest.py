"""From a file or a pipe into the input log, where every flow reads it."""

import time
from collections.abc import Iterator
from typing import BinaryIO, cast

from flows.stopping import Stop
from schemas.decode import decode
from schemas.errors import BadMessage
from schemas.events import FORMAT_HEADER, Message
from schemas.records import Record, encode_record, parse_record
from sinks.segments import SegmentedLog

RECORD = "record"
"""The format of a line that is a record already, with headers and perhaps an `ingested_at` of its own."""

_BYTES = 1 << 20


class Ingest:
    """Appends lines to the input log, each with the instant that counts for it from then on.

    A line's own `ingested_at` is kept. For one without, `from_occurred_at` says whether the instant of its
    event counts (a first import of old data) or now. A line that cannot be read counts as of now, and
    becomes a dead letter later, like any bad message.
    """

    def __init__(self, log: SegmentedLog, format_name: str, *, from_occurred_at: bool = False) -> None:
        self._log, self._format, self._from_occurred_at = log, format_name, from_occurred_at
        self.lines = 0
        self.bytes = 0
        self.is_done = False

    def append(self, stream: BinaryIO, stop: Stop | None = None) -> None:
        """Append all lines, in pieces that are each on disk before the next; blank ones are left out."""
        for piece in _pieces(stream):
            if stop is not None and stop.requested:
                break
            now_ms = time.time_ns() // 1_000_000
            self._log.append([self._line(line, now_ms) for line in piece])
            self.lines += len(piece)
            self.bytes += sum(map(len, piece))
        self.is_done = True

    def _line(self, line: bytes, now_ms: int) -> bytes:
        record = self._record(line)
        instant = record.ingested_at_ms
        if instant is None:
            instant = self._occurred_at(record, now_ms) if self._from_occurred_at else now_ms
        return encode_record(record.value, ingested_at_ms=instant, key=record.key, headers=record.headers)

    def _record(self, line: bytes) -> Record:
        if self._format != RECORD:
            return Record(line, headers=((FORMAT_HEADER, self._format.encode()),))
        try:
            return parse_record(line)
        except BadMessage:
            return Record(line)

    @staticmethod
    def _occurred_at(record: Record, now_ms: int) -> int:
        events = decode(Message("", 0, 0, 0, now_ms, record.value, record.key, record.headers), None).events
        return max(0, events[0].occurred_at_ms) if events else now_ms  # a log begins in 1970 at the earliest


def _pieces(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines that each read gives: of a file a mebibyte at a time, of a pipe what is there, so that
    nothing waits.
    """
    rest = b""
    while chunk := _some(stream):
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line.removesuffix(b"\r") for line in lines if line.strip()]
    if rest.strip():
        yield [rest]


def _some(stream: BinaryIO) -> bytes:
    read1 = getattr(stream, "read1", stream.read)
    return cast(bytes, read1(_BYTES))
