"""The stream as a whole: the customers' lives, and what goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from demo_producer.calls import Format
from demo_producer.faults import Faults, with_faults
from demo_producer.record import Record
from demo_producer.stories import NEW_LINKS, Profile, Stories
from schemas.errors import SettingsError

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)  # fixed: no clock has a say in what is produced
BOTH: frozenset[Format] = frozenset({"segment", "stripe"})


def records(
    *,
    seed: int = 1,
    count: int = 10_000,
    customers: int | None = None,
    faults: Faults | str = "none",
    start: datetime = START,
    profile: Profile = "story",
    timestamps: bool = False,
    formats: frozenset[Format] = BOTH,
    line_safe: bool = False,
    shared: bool = False,
) -> Iterator[Record]:
    """`count` records, faults included; the same arguments give the same records on every machine.

    `customers` bounds how many people there are (None: as many as come). `faults` is a `Faults` or text for
    `Faults.parse`. `start` is when the 90 days that the stream tells of begin; the payloads carry these
    times. With `timestamps` each record also says when it came in, so that an overtaken one is older than its
    place in the stream. `profile` says how many records bring a link never seen: `story` 35 in a hundred,
    `steady` 5, `growth` two in three. `line_safe` leaves out malformed kinds that cannot be one line of plain
    text. With `shared`, some customers also sign in on a tablet and a kiosk that others use, too; in a
    stream of less than a thousand records nobody does.

    SettingsError for arguments that make no stream, before the first record.
    """
    if not isinstance(faults, Faults):
        faults = Faults.parse(faults)
    _check(count, customers, start, profile, formats)
    stories = Stories(
        seed,
        count,
        int(start.timestamp()) * 1_000,
        profile=profile,
        customers=customers,
        formats=formats,
        shared_within=int(count * faults.good / 100) if shared else 0,
    )
    stream = with_faults(iter(stories), faults, count, seed, line_safe)
    return stream if timestamps else map(without_timestamp, stream)


def without_timestamp(record: Record) -> Record:
    """The record as of whenever it comes in."""
    return record._replace(ingested_at_ms=None)


def _check(
    count: int, customers: int | None, start: datetime, profile: str, formats: frozenset[Format]
) -> None:
    if count < 0:
        raise SettingsError("count must be 0 or more")
    if customers is not None and customers < 1:
        raise SettingsError("customers must be 1 or more")
    check_start(start)
    if profile not in NEW_LINKS:
        raise SettingsError(f"unknown profile {profile!r}; use {', '.join(NEW_LINKS)}")
    if not formats or not formats <= BOTH:
        raise SettingsError("formats must be segment, stripe or both")


def check_start(start: datetime) -> None:
    """SettingsError for an instant that nothing can begin at."""
    if start.tzinfo is None or not 1970 <= start.year <= 9000:
        raise SettingsError("start must be a time with a zone, such as 2026-01-05T08:00:00Z")
