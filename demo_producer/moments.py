"""The instant at which something happens in the demo, with the chance that decides its details."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from demo_producer.chance import Chance


@dataclass(slots=True)
class Moment:
    """The stream's clock: one object that moves on, for a new one per record costs as much as the record."""

    at_ms: int
    chance: Chance


def stamp(at_ms: int) -> str:
    """An instant as RFC 3339 in UTC with milliseconds."""
    second, ms = divmod(at_ms, 1_000)
    return f"{_second(second)}.{ms:03d}Z"


def instant(at_ms: int) -> datetime:
    """An instant as Python has it, in UTC and whole seconds."""
    return datetime.fromtimestamp(at_ms // 1_000, UTC)


@lru_cache(maxsize=1_024)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
