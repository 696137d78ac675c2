"""One call of a source, before it becomes bytes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Format = Literal["segment", "stripe"]
Payload = dict[str, Any]


class Call(NamedTuple):
    """What a source sends. `key` is what its partition is chosen by; `company` is the number of a group it
    names.
    """

    format: Format
    key: str
    payload: Payload
    company: int | None = None
