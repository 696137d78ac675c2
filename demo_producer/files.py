"""The stream into a file, or to standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import BinaryIO

from demo_producer.record import Record
from schemas.errors import SinkUnavailable
from schemas.records import encode_record

Encode = Callable[[Record], bytes]


def record_line(record: Record) -> bytes:
    """A record line, which keeps key, headers and any bytes; see `schemas.records`."""
    return encode_record(
        record.value, ingested_at_ms=record.ingested_at_ms, key=record.key, headers=record.headers
    )


def plain_line(record: Record) -> bytes:
    """The payload as it is: for streams of one format whose malformed records are `line_safe`."""
    assert record.value is not None, "a line-safe record has a value"
    return record.value


def write_lines(records: Iterable[Record], file: BinaryIO, encode: Encode, *, live: bool = False) -> int:
    """Write one line per record, close the file, and return how many lines it has.

    `live` lets each line out at once, for a reader who follows a paced stream. SinkUnavailable when the file
    does not take them; BrokenPipeError when its reader has seen enough, which is no failure.
    """
    written = 0
    try:
        for written, record in enumerate(records, 1):  # noqa: B007  # the last number is the answer
            file.write(encode(record) + b"\n")
            if live:
                file.flush()
        file.close()
    except OSError as error:
        with suppress(OSError):
            file.close()  # tries once more to write what is buffered, and fails as before
        if isinstance(error, BrokenPipeError):
            raise
        raise SinkUnavailable(f"cannot write: {error.strerror}") from error
    return written
