"""One call of a source, before it becomes bytes."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

Format = Literal["segment", "stripe", "gmail", "google_calendar", "shopify"]
ALL: frozenset[Format] = frozenset(get_args(Format))
Payload = dict[str, Any]


class Call(NamedTuple):
    """What a source sends. `key` is what its partition is chosen by; `company` is the number of a group it
    names. `headers` are the delivery's own.
    """

    format: Format
    key: str
    payload: Payload
    company: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
