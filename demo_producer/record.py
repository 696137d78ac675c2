"""One record of the demo's stream: what is sent, and what only the demo knows about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from demo_producer.calls import Format

FaultName = Literal["duplicates", "late", "shuffled", "malformed", "junk"]
FORMAT_HEADER = "nexus-format"


class Record(NamedTuple):
    """A message for the input, with the truth about it.

    What is sent: `format`, `key`, `headers`, `value` (None is a tombstone) and, where it was asked for,
    `ingested_at_ms`, the instant that the system first learned of it.

    The truth: `fault` names what was done to it and `kind` which sort of that (malformed and junk have
    sorts); `customer` is the number of the person it is about (None: nobody real), `company` of the group it
    names; `completes` says that with this record everything the customer showed so far is connected; `shared`
    is the anonymous id of a device that several customers use, where the record names one.
    """

    format: Format
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None
    ingested_at_ms: int | None = None
    fault: FaultName | None = None
    kind: str | None = None
    customer: int | None = None
    company: int | None = None
    completes: bool = False
    shared: str | None = None
