"""Record lines give back what was put in, whatever it was, and say what is wrong with a line that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BadMessage
from schemas.events import Message
from schemas.records import Record, decode_record, encode_record, parse_record

NOW_MS = 1_767_607_200_123
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
BYTES = st.one_of(st.binary(max_size=40), st.text(st.characters(codec="utf-8")).map(str.encode))


@given(
    BYTES | st.none(), BYTES | st.none(), st.dictionaries(NAMES, BYTES), st.integers(0, 253_402_300_799_999)
)
def test_any_message_comes_back(
    value: bytes | None, key: bytes | None, headers: dict[str, bytes], instant_ms: int
) -> None:
    """Any payload, key and headers survive byte for byte, and the instant to the millisecond."""
    record = Record(value, key, tuple(headers.items()), instant_ms)
    line = encode_record(value, key=key, headers=record.headers, ingested_at_ms=instant_ms)
    assert parse_record(line) == record
    assert b"\n" not in line


def test_a_line_can_be_read_by_a_person() -> None:
    """Text stands in the line as text."""
    line = encode_record(
        b'{"a":1}', ingested_at_ms=NOW_MS, key="ü".encode(), headers=[("nexus-format", b"stripe")]
    )
    assert json.loads(line) == {
        "ingested_at": "2026-01-05T10:00:00.123Z",
        "headers": {"nexus-format": "stripe"},
        "key": "ü",
        "value": '{"a":1}',
    }


def test_a_header_that_occurs_twice_is_kept_twice() -> None:
    """Kafka allows a header's name more than once, and the values keep their order."""
    headers = (("trace", b"1"), ("trace", b"\xff"), ("trace", b""))
    assert parse_record(encode_record(b"x", headers=headers)).headers == headers


def test_a_tombstone_is_not_an_empty_payload() -> None:
    """No payload and an empty one are told apart."""
    assert parse_record(encode_record(None)).value is None
    assert parse_record(encode_record(b"")).value == b""


def test_a_line_of_the_log_becomes_a_message() -> None:
    """The message has partition 0, the log's offsets, and the line's time."""
    line = encode_record(b"x", ingested_at_ms=NOW_MS, key=b"k", headers=[("h", b"v")])
    expected = Message("input", 0, 10, 99, NOW_MS, b"x", b"k", (("h", b"v"),))
    assert decode_record("input", line, 10, 99) == expected


def test_a_line_of_the_log_needs_a_time() -> None:
    """A line without `ingested_at` is not a line of the input log."""
    with pytest.raises(BadMessage, match="ingested_at is missing"):
        decode_record("input", encode_record(b"x"), 0, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"nonsense-canary",
        b"[1]",
        b"null",
        b"{}",
        b'{"event_id": "canary"}',
        b'{"value": 5}',
        b'{"value": "canary", "surplus": 1}',
        b'{"value_base64": "canary!"}',
        b'{"value_base64": 5}',
        b'{"value": "x", "key": ["canary"]}',
        b'{"value": "x", "headers": []}',
        b'{"value": "x", "headers": {"a": 5}}',
        b'{"value": "x", "headers": {"a": {"base64": "canary!"}}}',
        b'{"value": "x", "headers": {"a": {"b": "canary"}}}',
        b'{"value": "x", "ingested_at": "canary"}',
        b'{"value": "x", "ingested_at": "2026-01-05T10:00:00"}',
        b'{"value": "x", "ingested_at": "1026-01-05T10:00:00Z"}',
        b'{"value": "x", "ingested_at": 5}',
        b'{"value": "\\ud800"}',
        b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_line_that_is_no_record_is_told_why_without_its_content(line: bytes) -> None:
    """Nothing but BadMessage comes out, with a stable code, and the reason quotes no value."""
    with pytest.raises(BadMessage) as refused:
        parse_record(line)
    assert refused.value.reason == "not-a-record"
    assert "canary" not in str(refused.value)
