"""The record line: how one message is written down where there is no broker.

A line is a JSON object on one line of UTF-8, so that a person can read it and any tool can make it:

    {"ingested_at": "2026-01-05T10:00:00.000Z", "headers": {"nexus-format": "segment"}, "value": "{...}"}

- `value` is the payload as text. Bytes that are no UTF-8 stand in `value_base64` instead; `null` is a
  tombstone.
- `key` (or `key_base64`) and `headers` may be missing. A header that is no UTF-8 is `{"base64": "..."}`, and
  a name that occurs more than once has the list of its values.
- `ingested_at` is UTC with milliseconds. In the input log every line has it; in a file that is still to be
  taken in it may be missing.

What is encoded comes back byte for byte. The one thing that is not kept is how headers of different names
interleave.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from schemas.errors import BadMessage
from schemas.events import Message
from schemas.instants import format_instant, parse_instant

Headers = tuple[tuple[str, bytes], ...]

_FIELDS = frozenset({"ingested_at", "headers", "key", "key_base64", "value", "value_base64"})


@dataclass(frozen=True, slots=True)
class Record:
    """One message as a record line holds it, wherever that line stands."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    ingested_at_ms: int | None = None


def encode_record(
    value: bytes | None,
    *,
    ingested_at_ms: int | None = None,
    key: bytes | None = None,
    headers: Iterable[tuple[str, bytes]] = (),
) -> bytes:
    """The record line of a message, without its line end. Any bytes are accepted and come back as they
    were.
    """
    line: dict[str, object] = {}
    if ingested_at_ms is not None:
        line["ingested_at"] = format_instant(ingested_at_ms)
    named_headers = _headers_as_json(headers)
    if named_headers:
        line["headers"] = named_headers
    if key is not None:
        _put_bytes(line, "key", key)
    if value is None:
        line["value"] = None
    else:
        _put_bytes(line, "value", value)
    return to_json(line)


def parse_record(line: bytes) -> Record:
    """The message in a record line. BadMessage("not-a-record") if the line is none; no value is quoted in
    it.
    """
    fields = _fields(line)
    return Record(
        value=_bytes_of(fields, "value"),
        key=_bytes_of(fields, "key"),
        headers=_headers_of(fields.get("headers")),
        ingested_at_ms=_milliseconds_of(fields.get("ingested_at")),
    )


def decode_record(topic: str, line: bytes, offset: int, next_offset: int) -> Message:
    """The message that a line of the input log holds, as a broker would hand it over: partition 0, the log's
    time.

    BadMessage("not-a-record") for a line that is no record, or that does not say when it came in.
    """
    record = parse_record(line)
    if record.ingested_at_ms is None:
        raise _not_a_record("ingested_at is missing")
    return Message(
        topic=topic,
        partition=0,
        offset=offset,
        next_offset=next_offset,
        timestamp_ms=record.ingested_at_ms,
        value=record.value,
        key=record.key,
        headers=record.headers,
    )


def _not_a_record(detail: str) -> BadMessage:
    return BadMessage("not-a-record", detail)


def _fields(line: bytes) -> Mapping[str, Any]:
    try:
        fields = from_json(line)
    except ValueError:
        raise _not_a_record(
            "the line is not JSON in UTF-8"
        ) from None  # the parser's words may quote the payload
    if not isinstance(fields, dict):
        raise _not_a_record("the line is not a JSON object")
    if "value" not in fields and "value_base64" not in fields:
        raise _not_a_record("it has neither value nor value_base64")
    if not _FIELDS.issuperset(fields):
        raise _not_a_record("it has fields that no record has")
    return fields


def _put_bytes(line: dict[str, object], name: str, data: bytes) -> None:
    try:
        line[name] = data.decode()
    except UnicodeDecodeError:
        line[f"{name}_base64"] = base64.b64encode(data).decode("ascii")


def _bytes_of(fields: Mapping[str, Any], name: str) -> bytes | None:
    text = fields.get(name)
    if isinstance(text, str):
        return text.encode()
    if text is not None:
        raise _not_a_record(f"{name} is not a string")
    encoded = fields.get(f"{name}_base64")
    return None if encoded is None else _from_base64(encoded, f"{name}_base64")


def _from_base64(encoded: Any, name: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError):
        raise _not_a_record(f"{name} is not base64") from None


def _headers_as_json(headers: Iterable[tuple[str, bytes]]) -> dict[str, object]:
    named: dict[str, list[object]] = {}
    for name, value in headers:
        named.setdefault(name, []).append(_header_as_json(value))
    return {name: values[0] if len(values) == 1 else values for name, values in named.items()}


def _header_as_json(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def _headers_of(named: Any) -> Headers:
    if named is None:
        return ()
    if not isinstance(named, dict):
        raise _not_a_record("headers is not an object")
    return tuple(
        (name, _header_of(value))
        for name, values in named.items()
        for value in (values if isinstance(values, list) else (values,))
    )


def _header_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return _from_base64(value["base64"], "a header")
    raise _not_a_record("a header is neither a string nor base64")


def _milliseconds_of(text: Any) -> int | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise _not_a_record("ingested_at is not a string")
    try:
        milliseconds = parse_instant(text, "ingested_at")
    except BadMessage as error:
        raise _not_a_record(error.detail) from None
    if milliseconds < 0:
        raise _not_a_record("ingested_at: before 1970")
    return milliseconds
