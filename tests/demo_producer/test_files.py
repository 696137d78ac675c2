"""The stream in a file."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_producer import Record, records
from demo_producer.files import plain_line, record_line, write_lines
from schemas.errors import SinkUnavailable
from schemas.records import parse_record


def test_record_lines_keep_every_byte(tmp_path: Path) -> None:
    """What is written comes back: key, headers, time and value, also where that is no text or nothing."""
    path = tmp_path / "demo.jsonl"
    sent = list(records(count=1_500, faults="malformed=20", timestamps=True))
    assert write_lines(sent, path.open("wb"), record_line) == len(sent)
    for record, line in zip(sent, path.read_bytes().splitlines(), strict=True):
        found = parse_record(line)
        assert (found.key, found.headers, found.value) == record[1:4]
        assert found.ingested_at_ms == record.ingested_at_ms


def test_plain_lines_are_the_payloads(tmp_path: Path) -> None:
    """A file of one format has one payload a line, as its source sends it."""
    path = tmp_path / "demo.jsonl"
    sent = list(records(count=200, faults="all", formats=frozenset({"segment"}), line_safe=True))
    write_lines(sent, path.open("wb"), plain_line)
    assert path.read_bytes().split(b"\n") == [*(record.value for record in sent), b""]


class _Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said() -> None:
    """A file that does not take the records is an error, not a short file."""
    with pytest.raises(SinkUnavailable, match="No space left on device"):
        write_lines(records(count=5), _Full(), record_line)


def test_live_lines_are_out_at_once(tmp_path: Path) -> None:
    """Who follows a paced stream sees each line when it is written."""
    path = tmp_path / "live.jsonl"
    seen = []

    def watched() -> Iterator[Record]:
        for record in records(count=3):
            yield record
            seen.append(path.read_bytes().count(b"\n"))

    write_lines(watched(), path.open("wb"), record_line, live=True)
    assert seen == [1, 2, 3]
